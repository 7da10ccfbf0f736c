"""The items of a job: a photo, what to do with it, and the files that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

from ip2p_cli.errors import Ip2pError
from ip2p_cli.io.inputs import InputPhoto

State = Literal["to do", "done", "redo"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One photo and what to do with it, before names are decided.

    Attributes:
        photo: The photo, and the folder that it comes from.
        task: What to do, for the `Work` that runs it; opaque to this package.
        recipe: Everything that decides the bytes of the outputs besides the photo, as plain JSON values.
        name: The name of its output where neither the user nor an earlier run gave one, relative to the folder.
        output: The name that the user gave.
        title: Tells an earlier run's item apart from others of the same photo, e.g. the instruction.
        is_folder: Whether the output is a folder of files. An existing folder is used, an existing file is not.
        lacks_more: Whether something outside the job's folder is still to be made, so that the item is not done.
    """

    photo: InputPhoto
    task: Any
    recipe: Mapping[str, Any]
    name: PurePath
    output: str | None = None
    title: str = ""
    is_folder: bool = False
    lacks_more: bool = False


@dataclass(frozen=True, kw_only=True)
class Item:
    """One photo of a plan, with its outputs.

    Attributes:
        source: The photo.
        name: Its output (a file, or a folder of files) relative to the job's folder, with slashes. Names it in the
            manifest.
        files: Every file that belongs to it, relative to the job's folder. The item is done when all of them exist.
        size: The photo's upright (width, height); None if its header cannot be read. The item then fails in its turn.
        state: "done" by an earlier run; "redo" if it was done with another recipe.
        overwrite: Whether files that no run made may be replaced.
        lacks_more: As in `Request`.
        verdicts: Of an item that is done, what the earlier run said of each result; None if nothing.
    """

    source: Path
    name: str
    files: tuple[str, ...]
    task: Any
    recipe: Mapping[str, Any]
    title: str = ""
    size: tuple[int, int] | None = None
    state: State = "to do"
    overwrite: bool = False
    lacks_more: bool = False
    verdicts: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the plan's item `index`.

    Attributes:
        state: "done" now, "skipped" because an earlier run did it, "failed" with `error`, or "left out" because the
            user wants no such items, which `error` describes.
        seconds: Spent on it, from reading to saving; its share of a group.
        results: The pictures that the user asked for.
        records: How each of `results` was made; empty if it was skipped.
        notes: Lines for the user.
        verdicts: What is said of each of `results`: "verdict", and more; None if nothing.
    """

    index: int
    state: Literal["done", "skipped", "failed", "left out"]
    seconds: float = 0.0
    error: Ip2pError | None = None
    results: tuple[Path, ...] = ()
    records: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    verdicts: tuple[Mapping[str, Any], ...] | None = None
