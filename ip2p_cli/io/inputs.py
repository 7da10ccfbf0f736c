"""What was named on the command line, as photos: files, folders, globs, paths on stdin."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.names import printable, reason

PHOTO_ENDINGS = frozenset(
    ".jpg .jpeg .jpe .png .webp .tif .tiff .gif .bmp .avif .jp2 .ppm .heic .heif".split()  # noqa: SIM905 - read at a glance
)
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class InputPhoto:
    """A photo to read, and the folder it comes from, relative to what the user named: the output's tree mirrors it."""

    path: Path
    folder: PurePath = field(default_factory=PurePath)


def expand(
    words: Sequence[str], *, recursive: bool = False, stdin: Iterable[str] = (), exclude: Path | None = None
) -> list[InputPhoto]:
    """The photos that `words` name, in their order, each once; a folder's and a glob's in the order of names.

    A word is a file, a folder (with `recursive` the folders in it too; hidden ones are left out), a glob, or "-":
    paths from `stdin`, one a line. exclude: an output folder, whose files are no inputs of a folder around it.
    A single file need not exist: it fails later, alone. Raises UsageError for a URL, InputError for a folder or a glob
    without a photo.
    """
    found: dict[str, InputPhoto] = {}
    for word in words:
        lines = (line.rstrip("\r\n") for line in stdin) if word == "-" else [word]
        for line in lines:
            for photo in _photos(line, recursive, exclude) if line else ():
                found.setdefault(os.path.abspath(photo.path), photo)  # noqa: PTH100 - a link is a photo of its own
    if not found:
        raise InputError("no photos were named: give files, folders, globs, or paths on stdin with -")
    return list(found.values())


def _photos(word: str, recursive: bool, exclude: Path | None) -> list[InputPhoto]:
    if _URL.match(word):
        raise UsageError(f"{word} is a web address: download it first, and give the file.")
    path = Path(word).expanduser()
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a text too long for a name
        return _in_folder(path, recursive, exclude)
    if glob.has_magic(word) and not os.path.lexists(path):
        return _matching(str(path))
    return [InputPhoto(path=path)]


def _in_folder(folder: Path, recursive: bool, exclude: Path | None) -> list[InputPhoto]:
    left_out = exclude.resolve() if exclude is not None else None
    photos: list[InputPhoto] = []
    try:
        for here, folders, names in os.walk(folder, onerror=_raise):
            place = Path(here)
            folders[:] = sorted(
                name
                for name in folders
                if recursive and not name.startswith(".") and (place / name).resolve() != left_out
            )
            photos += [
                InputPhoto(path=place / name, folder=place.relative_to(folder))
                for name in sorted(names)
                if PurePath(name).suffix.lower() in PHOTO_ENDINGS and not name.startswith(".")
            ]
    except OSError as error:
        raise InputError(f"{printable(folder)}: {reason(error)}: check its permissions") from error
    if not photos:
        hint = "" if recursive else " (--recursive also looks into the folders in it)"
        raise InputError(f"{printable(folder)}: no photos in this folder{hint}")
    return photos


def _raise(error: OSError) -> None:
    raise error


def _matching(pattern: str) -> list[InputPhoto]:
    fixed = Path(*_before_magic(Path(pattern).parts))
    paths = [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - takes any path
    photos = [p for p in paths if p.suffix.lower() in PHOTO_ENDINGS and p.is_file()]
    if not photos:
        raise InputError(f"{pattern}: no photo matches")
    return [InputPhoto(path=p, folder=p.parent.relative_to(fixed)) for p in photos]


def _before_magic(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The leading folders of a pattern that hold no wildcard."""
    for count, part in enumerate(parts):
        if glob.has_magic(part):
            return parts[:count]
    return parts[:-1]
