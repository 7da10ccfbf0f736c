"""What a command prints: data on stdout, everything else on stderr; rich, JSON or quiet.

Every text is printed without control characters, which could move the cursor, hide parts of a line or run commands of a
terminal: names of files and the content of records come from anywhere. Printing never ends the work, and a stream that
is closed or full is given up, with one exception: where the reader of stdout has gone, the command ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

BROKEN_PIPE = 141  # the exit code of a command that SIGPIPE ends: 128 + 13
# C0 (but tab and line feed), DEL and C1; what turns the direction of writing; line separators; lone surrogates.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: str) -> str:
    """Escape the characters of a text that control a terminal, as Python's `repr` does."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class _Stream:
    """`sys.stdout` or `sys.stderr` as it is at the time of writing.

    Writing raises nothing but SystemExit, where the reader of stdout has gone.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def _stream(self) -> Any:
        stream = getattr(sys, self._name)  # None where there is no console
        # A live progress bar puts a proxy there, which writes to stderr.
        return getattr(stream, "rich_proxied_file", stream)

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        encodable = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        self._try(lambda: self._stream.write(encodable))
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        self._try(lambda: self._stream.buffer.write(data))

    def flush(self) -> None:
        self._try(lambda: self._stream.flush())

    def isatty(self) -> bool:
        return bool(self._try(lambda: self._stream.isatty()))

    def fileno(self) -> int:
        return int(self._stream.fileno())

    def _try(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except (AttributeError, OSError, ValueError) as error:  # no stream, a full disk, a closed file
            # Nothing may be flushed into it at exit either.
            with contextlib.suppress(AttributeError, OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if isinstance(error, BrokenPipeError) and self._name == "stdout":
                raise SystemExit(BROKEN_PIPE) from error
            if isinstance(error, OSError) and error.strerror and self._name == "stdout":
                _Stream("stderr").write(f"stdout: {error.strerror}: nothing more is printed there\n")


class Output:
    """Where a command prints. json: whether data are JSON lines. quiet: whether to print only data and errors."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json, self.quiet = json, quiet
        self._out, self._stderr = _Stream("stdout"), _Stream("stderr")
        plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False, "soft_wrap": True}
        self._err = Console(file=cast("TextIO", self._stderr), stderr=True, **plain)

    def say(self, text: str) -> None:
        """Print a line for a person, on stderr."""
        if not self.quiet:
            self._err.print(safe(text))

    def warn(self, text: str) -> None:
        """Print a warning, on stderr."""
        if not self.quiet:
            self._err.print(safe(text), style="yellow")

    def error(self, text: str) -> None:
        """Print what went wrong, on stderr, `quiet` or not."""
        self._err.print(Text.assemble(("error:", "red"), " ", safe(text)))

    def trace(self, text: str) -> None:
        """Print a traceback, on stderr."""
        self._stderr.write(safe(text))

    def data(self, text: str, data: dict[str, Any]) -> None:
        """Print data on stdout: `text`, or with `json` one object."""
        self.text(self._json_line(data) if self.json else text)

    def result(self, text: str, data: dict[str, Any]) -> None:
        """Print what was made: `text` on stderr; on stdout JSON, or in a pipe the path `data["output"]`."""
        self.data_only(str(data["output"]), data)
        self.say(text)

    def data_only(self, text: str, data: dict[str, Any]) -> None:
        """Print data as `data` does, but not on a terminal, where a person would take it for a message."""
        if self.json or not self._out.isatty():
            self.data(text, data)

    def text(self, text: str) -> None:
        """Print a text on stdout, `json` or not."""
        self._out.write(safe(text) + "\n")
        self._out.flush()

    def ask(self, text: str) -> None:
        """Print a question on stderr, without a line break."""
        self._stderr.write(safe(text))
        self._stderr.flush()

    def draw(self, data: bytes) -> None:
        """Write the bytes that draw a picture, on stderr, as they are."""
        self._stderr.flush()
        self._stderr.write_bytes(data)
        self._stderr.flush()

    def _json_line(self, data: dict[str, Any]) -> str:
        """Write an object in readable letters, as far as stdout has them; control characters are escaped."""
        line = _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(data, ensure_ascii=False))
        try:
            line.encode(self._out.encoding)
        except UnicodeEncodeError:
            return json.dumps(data)
        return line

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """Show a progress bar until the block ends; yields a function of (done, total) that moves it."""
        description = TextColumn("{task.description}", markup=False)
        columns = (SpinnerColumn(), description, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # A bar that cannot be redrawn would fill a log with lines.
        hidden = self.quiet or not self._err.is_terminal
        with Progress(*columns, console=self._err, transient=True, disable=hidden, redirect_stdout=False) as bar:
            task = bar.add_task(safe(label), total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
