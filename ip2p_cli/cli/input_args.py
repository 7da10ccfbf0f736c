"""What the words on the command line mean: photos, an instruction or a recipe, and where results go."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from ip2p_cli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from ip2p_cli.cli.output import Output
    from ip2p_cli.io.inputs import InputPhoto
    from ip2p_cli.jobs.manifest import Manifest


_QUOTES = "“”„‟\"'‘’«»"  # what word processors and web pages put around an instruction


@dataclass(frozen=True, kw_only=True)
class InputArgs:
    """What to edit, as far as the words and files on the command line say it.

    Attributes:
        words: Photos and, last, the instruction.
        jobs: A file with an edit a row, instead.
    """

    words: Sequence[str]
    jobs: Path | None = None
    recursive: bool = False

    def check(self) -> None:
        """Raise UsageError if photos or an instruction are missing."""
        if self.jobs is not None:
            if self.words:
                raise UsageError("--jobs names photos and instructions in its rows: give neither beside it.")
            return
        from ip2p_cli.io.instructions import checked_instruction

        check_words(self.words)
        *inputs, instruction = self.words or [""]
        if not inputs:
            raise UsageError('give a photo and an instruction: ip2p edit in.jpg "make it winter" -o out.jpg')
        if instruction == "-" or _has_photo_ending(instruction):
            raise UsageError(f"{instruction} is a photo: the instruction comes last, in quotes, after the photos.")
        checked_instruction(instruction)
        check_instruction(instruction)
        unquoted = [word for word in inputs if not _may_be_photo(word)]
        # An instruction in quotes after paths that do not exist: the paths are wrong, which reading them says.
        if unquoted and not (unquoted == inputs and " " in instruction):
            start = next(place for place, word in enumerate(self.words) if word in unquoted)
            quoted = shlex.join([*self.words[:start], " ".join(word.strip(_QUOTES) for word in self.words[start:])])
            raise UsageError(f"{unquoted[0]} is no file: put the instruction in quotes: ip2p edit {quoted}")

    @property
    def instruction(self) -> str:
        """The instruction."""
        return self.words[-1].strip()

    def photos(self, out_folder: Path | None, output: Output) -> list[InputPhoto]:
        """Return the photos that the words name; out_folder: a folder whose files are results, not photos."""
        return photos_of(self.words[:-1], recursive=self.recursive, out_folder=out_folder, output=output)


def check_instruction(instruction: str) -> None:
    """Raise UsageError for what other tools write into a prompt and ip2p takes as a flag."""
    if found := re.search(r"<lora:([^:>]+):?([^>]*)>", instruction):
        path, weight = found[1], found[2] or "1"
        raise UsageError(f"{found[0]}: LoRAs are given as --lora {path}.safetensors:{weight}, not in the instruction.")
    if found := re.search(r"\([^()]*:\d+(\.\d+)?\)", instruction):
        raise UsageError(f"{found[0]}: words have no weights here; raise --cfg-text to follow the instruction more.")


def check_words(words: Sequence[str]) -> None:
    """Raise UsageError for words that were meant as options."""
    for word in words:
        plain = word.replace("—", "--").replace("–", "-")
        if word[:1] in "–—" and plain.strip("-"):
            raise UsageError(f"{word}: an option begins with plain hyphens: --{plain.lstrip('-')}")
        if len(word) > 1 and word.startswith("-") and not os.path.lexists(word):
            raise UsageError(f"{word}: options come before --; after it there are only photos and the instruction.")


def _may_be_photo(word: str) -> bool:
    """Whether a word can name photos: it exists, or is written like a path, a pattern or a file's name."""
    exists = os.path.lexists(word) if "\0" not in word else False
    return exists or word == "-" or any(sign in word for sign in "/\\*?[~.:")


def _has_photo_ending(word: str) -> bool:
    from ip2p_cli.io.inputs import PHOTO_ENDINGS

    return " " not in word and PurePath(word).suffix.lower() in PHOTO_ENDINGS


def photos_of(words: Sequence[str], *, recursive: bool, out_folder: Path | None, output: Output) -> list[InputPhoto]:
    """Return the photos that words name: files, folders, globs, or "-" for paths on stdin."""
    from ip2p_cli.io.inputs import find_photos

    found = find_photos(words, recursive=recursive, stdin=sys.stdin, exclude=out_folder)
    for folder in found.unreadable:
        output.warn(f"passed over the folder {folder}")
    if found.passed_over:
        endings = ", ".join(f"{count} {ending or 'without an ending'}" for ending, count in found.passed_over.items())
        output.say(f"passed over files that are no photos by their names: {endings}")
    return _without_results(found.photos, output)


def _without_results(photos: list[InputPhoto], output: Output) -> list[InputPhoto]:
    """Leave out what ip2p made, of the photos that were found in folders, unless nothing else was found there."""
    from ip2p_cli.jobs.made import Made

    made = Made()
    kept = [photo for photo in photos if photo.is_named or photo.path not in made]
    if not any(not photo.is_named for photo in kept):
        return photos
    if len(kept) < len(photos):
        output.say(f"passed over {len(photos) - len(kept)} pictures that ip2p made: name them to edit them again")
    return kept


class OutputPlace:
    """Where results go: a folder with a manifest, the current folder without one, or a single file.

    Args:
        out: -o as given. It names a file if it has an ending, and otherwise a folder, which is made.
        part: (I, N) of --shard.
        must_be_folder: Whether it can only be a folder.
    """

    def __init__(self, out: str | None, part: tuple[int, int] | None = None, *, must_be_folder: bool = False) -> None:
        from ip2p_cli.jobs.manifest import open_manifest

        is_folder = out is not None and (must_be_folder or not _is_file_name(out))
        self.file = None if out is None or is_folder else Path(out)
        self.folder = self.file.parent if self.file else Path(out or ".")
        self.manifest: Manifest | None = None
        if is_folder:
            self.manifest = open_manifest(self.folder, f"{part[0]}-of-{part[1]}" if part else "")
        if part and self.manifest is None:
            raise UsageError("--shard needs a folder for the results: name one with -o.")

    def begin(self, photos: Sequence[Path], *, dry_run: bool) -> None:
        """Make the folder, unless the only photo cannot be read; raises InputError and OutputError."""
        from ip2p_cli.io.files import sweep_temporary
        from ip2p_cli.jobs.plan import check_readable

        check_readable(photos, self.manifest)
        if self.manifest is None or dry_run:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be made ({error.strerror}); give another -o.") from error
        sweep_temporary(self.folder)

    def seed(self, output: Output) -> int:
        """Return the seed of edits that name none: the folder's, drawn by its first run, else a new one."""
        from ip2p_cli.settings import draw_seed

        if self.manifest is None:
            return draw_seed()
        if self.manifest.seed is None:
            return self.manifest.note_seed(draw_seed()) if self.folder.is_dir() else draw_seed()
        output.say(f"seed {self.manifest.seed}, as before in {self.folder}")
        return self.manifest.seed


def _is_file_name(out: str) -> bool:
    """Whether -o names a file: it has an ending, such as .png, and is no folder."""
    # A Path would lose the last slash.
    return bool(re.search(r"[^/\\]\.[A-Za-z][A-Za-z0-9]{1,4}$", out)) and not Path(out).is_dir()


def is_picture_name(out: str) -> bool:
    """Whether -o has a picture's ending, and so names no folder."""
    from ip2p_cli.io.inputs import PHOTO_ENDINGS

    return PurePath(out).suffix.lower() in PHOTO_ENDINGS and not Path(out).is_dir()


def assignments(texts: Sequence[str], example: str) -> dict[str, str]:
    """Return names and values of --set NAME=VALUE; raises UsageError, with `example`, for other text."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {text}: give NAME=VALUE, for example --set {example}")
        values[name.strip()] = value.strip()
    return values


def part_of(shard: str | None) -> tuple[int, int] | None:
    """Return (I, N) of --shard I/N."""
    if shard is None:
        return None
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", shard.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {shard} is not possible: give I/N with I from 1 to N, for example 1/4.")
    return int(match[1]), int(match[2])


def batch_size_of(text: str) -> int | None:
    """Return N of --batch-size N; None for auto."""
    if text == "auto":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise UsageError(f"--batch-size {text} is not possible: give auto or a number from 1 to 1024.")
    return int(text)
