"""What reaches the terminal: data on stdout, everything else on stderr; rich, JSON or quiet."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn


class Output:
    """Where a command prints. json: results become JSON lines on stdout. quiet: nothing but data and errors."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json, self.quiet = json, quiet
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A line for a person, on stderr."""
        if not self.quiet:
            self._err.print(escape(text))

    def warn(self, text: str) -> None:
        """A line that a person should see, on stderr."""
        if not self.quiet:
            self._err.print(f"[yellow]{escape(text)}[/]")

    def error(self, text: str) -> None:
        """One line about what went wrong, on stderr, `--quiet` or not."""
        self._err.print(f"[red]error:[/] {escape(text)}")

    def data(self, text: str, data: dict[str, Any]) -> None:
        """A line of data on stdout: `text`, or with --json one object."""
        sys.stdout.write((json.dumps(data, ensure_ascii=False) if self.json else text) + "\n")
        sys.stdout.flush()

    def result(self, text: str, data: dict[str, Any]) -> None:
        """Something that was made: told to a person on stderr; on stdout JSON, or in a pipe the path `output`."""
        self.data_only(str(data["output"]), data)
        self.say(text)

    def data_only(self, text: str, data: dict[str, Any]) -> None:
        """As `data`, but not on a terminal, where a person would take it for a message."""
        if self.json or not sys.stdout.isatty():
            self.data(text, data)

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """A progress bar with an estimate, as a function of (done, total); gone when it ends."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        # A bar that cannot be redrawn would fill a log with lines.
        hidden = self.quiet or not self._err.is_terminal
        with Progress(*columns, console=self._err, transient=True, disable=hidden) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
