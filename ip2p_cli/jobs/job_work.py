"""What a job asks of those who do its work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ip2p_cli.errors import Ip2pError
from ip2p_cli.jobs.item import Item
from ip2p_cli.jobs.output_files import OutputFiles

# What is said of each result of an item, see `Outcome`.
Verdicts = tuple[Mapping[str, Any], ...] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """A photo that is ready to be worked on.

    Attributes:
        work: What `Work.read` made of it.
        sha256: Of the photo's bytes.
        missing: The files that are still to be made.
        notes: Lines for the user.
        verdicts: Judges the results where nothing is missing; None where nobody can.
    """

    work: Any
    sha256: str
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()
    verdicts: Callable[[], Verdicts] | None = None


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What was written of an item: see `Outcome`."""

    results: tuple[Path, ...]
    records: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    verdicts: Verdicts = None


Finish = Callable[[], Saved]
OnUnits = Callable[[int], None]


class FatalError(Exception):
    """Ends a job, not only an item: the model cannot be loaded.

    Attributes:
        error: What to tell the user.
    """

    def __init__(self, error: Ip2pError) -> None:
        super().__init__(str(error))
        self.error = error


class Work(Protocol):
    """What a job does with its items."""

    def read(self, item: Item, files: OutputFiles) -> Read:
        """Read the item's photo, in a thread of its own, and find out what is still to be made."""

    def run(self, items: Sequence[Item], ready: Mapping[int, Read], on_units: OnUnits) -> Mapping[int, Finish]:
        """Run the model on a group, on the main thread.

        Args:
            items: All items of the group. Those that are not ready only keep the group's shape.
            ready: The items to work on, by their place in `items`.
            on_units: Told how many of the group's units of work are done.

        Returns:
            For each place in `ready`, what finishes and writes the item, to be called in a thread of its own.
        """

    def results(self, item: Item) -> Sequence[str]:
        """The item's files that the user asked for, without what is beside them."""

    def units(self, item: Item) -> int:
        """How much work an item is, in denoising steps."""
