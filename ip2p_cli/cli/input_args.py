"""What was asked for, and where its results go: shared by the commands that work on many photos."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ip2p_cli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from ip2p_cli.cli.output import Output
    from ip2p_cli.io.inputs import InputPhoto
    from ip2p_cli.io.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class InputArgs:
    """What to edit, as far as the words and files on the command line say it."""

    words: list[str]
    jobs: Path | None
    recursive: bool
    out: str | None

    def check(self) -> None:
        """Raise UsageError where photos or an instruction are missing."""
        if self.jobs is not None:
            if self.words:
                raise UsageError("--jobs names photos and instructions in its rows: give neither beside it.")
            return
        *inputs, instruction = self.words or [""]
        if not inputs:
            raise UsageError('give a photo and an instruction: ip2p edit in.jpg "make it winter" -o out.jpg')
        if instruction == "-" or os.path.exists(instruction):  # noqa: PTH110 - Path.exists raises for a long text
            raise UsageError(f"{instruction} is a file: the instruction comes last, in quotes, after the photos.")
        if not instruction.strip():
            raise UsageError('the instruction is empty: say what to change, e.g. "make it winter".')

    def photos(self, out_folder: Path | None) -> list[InputPhoto]:
        """The photos that the words name."""
        from ip2p_cli.io.inputs import expand

        return expand(self.words[:-1], recursive=self.recursive, stdin=sys.stdin, exclude=out_folder)


class Place:
    """Where results go: a folder with a manifest, the current folder without one, or a single file."""

    def __init__(self, asked: InputArgs, part: tuple[int, int] | None, dry_run: bool) -> None:
        from ip2p_cli.io.manifest import open_manifest

        out = asked.out
        # A Path would lose the last slash.
        as_folder = out is not None and (Path(out).is_dir() or out.endswith(("/", os.sep)) or asked.jobs is not None)
        self.file = None if out is None or as_folder else Path(out)
        self.folder = self.file.parent if self.file else Path(out or ".")
        self.manifest: Manifest | None = None
        self._dry_run = dry_run
        if self.file is None and (out is not None or asked.jobs is not None):
            self.manifest = open_manifest(self.folder, f"{part[0]}-of-{part[1]}" if part else "")
        if part and self.manifest is None:
            raise UsageError("--shard needs a folder for the results: give one with -o, ended with /.")

    def begin(self, photos: Sequence[Path]) -> None:
        """Make the folder, once `photos` are known to be worth it; OutputError where that is not possible."""
        check_lone(photos, self.manifest)
        if self.manifest is not None and not self._dry_run:
            make_folder(self.folder)


def check_lone(photos: Sequence[Path], manifest: Manifest | None) -> None:
    """Say what is wrong with a lone photo before a folder is made for it; among several it only fails itself, later.

    One that earlier runs may have done already need not be there any more.
    """
    if len(photos) == 1 and not (manifest and manifest.entries):
        from ip2p_cli.io.images import read_size

        read_size(photos[0])


def seed_of(manifest: Manifest | None, output: Output) -> int:
    """The seed of those that name none: the folder's, drawn by its first run; else a new one."""
    from ip2p_cli.settings import draw_seed

    if manifest is None:
        return draw_seed()
    if manifest.seed is None:
        return manifest.note_seed(draw_seed()) if manifest.folder.is_dir() else draw_seed()
    output.say(f"seed {manifest.seed}, as before in {manifest.folder}")
    return manifest.seed


def make_folder(folder: Path) -> None:
    """Make a folder for results; OutputError where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); give another -o.") from error


def assignments(texts: Sequence[str], example: str) -> dict[str, str]:
    """Names and values of --set NAME=VALUE; UsageError, with `example`, for what is none."""
    said: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {text}: give NAME=VALUE, for example --set {example}")
        said[name.strip()] = value.strip()
    return said


def part_of(shard: str | None) -> tuple[int, int] | None:
    """(I, N) of --shard I/N."""
    if shard is None:
        return None
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", shard.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {shard} is not possible: give I/N with I from 1 to N, for example 1/4.")
    return int(match[1]), int(match[2])


def batch_size_of(text: str) -> int | None:
    """N of --batch-size N; None for auto."""
    if text == "auto":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise UsageError(f"--batch-size {text} is not possible: give auto or a number from 1 to 1024.")
    return int(text)
