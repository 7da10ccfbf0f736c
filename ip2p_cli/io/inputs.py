"""The photos that the command line names: files, folders, globs, paths on stdin."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.formats import FORMAT_OF_ENDING
from ip2p_cli.io.names import printable, reason

PHOTO_ENDINGS = frozenset(FORMAT_OF_ENDING)
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class InputPhoto:
    """A photo to read, and the folder it comes from, relative to what the user named: the output's tree mirrors it."""

    path: Path
    folder: PurePath = field(default_factory=PurePath)


@dataclass(frozen=True, kw_only=True)
class FoundPhotos:
    """The photos that some words name.

    Attributes:
        photos: Each photo once, in the order of the words; those of a folder or glob in the order of names.
        passed_over: How many files of folders and globs have an ending that is not a photo's, by ending.
    """

    photos: list[InputPhoto]
    passed_over: Counter[str]


def expand(
    words: Sequence[str], *, recursive: bool = False, stdin: Iterable[str] = (), exclude: Path | None = None
) -> list[InputPhoto]:
    """Find the photos that `words` name; see `find_photos`."""
    return find_photos(words, recursive=recursive, stdin=stdin, exclude=exclude).photos


def find_photos(
    words: Sequence[str], *, recursive: bool = False, stdin: Iterable[str] = (), exclude: Path | None = None
) -> FoundPhotos:
    """Find the photos that `words` name.

    Args:
        words: Each a file, a folder, a glob, or "-". A file need not exist: it fails later, alone.
        recursive: Whether folders in a folder are searched too, links to folders included; hidden ones are not.
        stdin: The lines that "-" stands for: words, one a line.
        exclude: An output folder, whose files are not inputs of a folder around it.

    Raises:
        UsageError: A word is a web address.
        InputError: A folder or a glob has no photo, or nothing was named.
    """
    photos: dict[str, InputPhoto] = {}
    passed_over: Counter[str] = Counter()
    for word in words:
        lines = (line.rstrip("\r\n") for line in stdin) if word == "-" else [word]
        for line in filter(None, lines):
            for photo in _photos(line, recursive, exclude, passed_over):
                photos.setdefault(os.path.abspath(photo.path), photo)  # noqa: PTH100 - a link is a photo of its own
    if not photos:
        raise InputError("no photos were named: give files, folders, globs, or paths on stdin with -")
    return FoundPhotos(photos=list(photos.values()), passed_over=passed_over)


def _photos(word: str, recursive: bool, exclude: Path | None, passed_over: Counter[str]) -> list[InputPhoto]:
    if _URL.match(word):
        raise UsageError(f"{word} is a web address: download it first, and give the file.")
    path = Path(word).expanduser()
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a text too long for a name
        return _in_folder(path, recursive, exclude, passed_over)
    if glob.has_magic(word) and not os.path.lexists(path):
        return _matching(str(path), passed_over)
    return [InputPhoto(path=path)]


def _in_folder(folder: Path, recursive: bool, exclude: Path | None, passed_over: Counter[str]) -> list[InputPhoto]:
    try:
        photos = [
            InputPhoto(path=parent / name, folder=parent.relative_to(folder))
            for parent, names in _walk(folder, recursive, exclude)
            for name in names
            if _has_photo_ending(name, passed_over)
        ]
    except OSError as error:
        raise InputError(f"{printable(folder)}: {reason(error)}: check its permissions") from error
    if not photos:
        hint = "" if recursive else " (--recursive also looks into the folders in it)"
        raise InputError(f"{printable(folder)}: no photos in this folder{hint}")
    return photos


def _walk(folder: Path, recursive: bool, exclude: Path | None) -> Iterator[tuple[Path, list[str]]]:
    """Walk through a folder: each folder with the names of its files, sorted, hidden ones left out.

    A folder that is reached a second time, through a link, is passed over: links can make a circle.
    """
    excluded = os.path.realpath(exclude) if exclude is not None else None
    visited: set[str] = set()
    for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited or (visited and real == excluded):
            folders.clear()
            continue
        visited.add(real)
        kept = [name for name in folders if recursive and not name.startswith(".")]
        # Links come last, so that a folder keeps its own name where it is reached by both.
        folders[:] = sorted(kept, key=lambda name: ((Path(parent) / name).is_symlink(), name))
        yield Path(parent), sorted(name for name in names if not name.startswith("."))


def _raise(error: OSError) -> None:
    raise error


def _matching(pattern: str, passed_over: Counter[str]) -> list[InputPhoto]:
    fixed = Path(*_before_magic(Path(pattern).parts))
    paths = [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - takes any path
    photos = [path for path in paths if path.is_file() and _has_photo_ending(path.name, passed_over)]
    if not photos:
        raise InputError(f"{pattern}: no photo matches")
    return [InputPhoto(path=path, folder=path.parent.relative_to(fixed)) for path in photos]


def _has_photo_ending(name: str, passed_over: Counter[str]) -> bool:
    """Whether a file's ending is a photo's; counts the file in `passed_over` otherwise."""
    ending = PurePath(name).suffix.lower()
    if ending not in PHOTO_ENDINGS:
        passed_over[ending] += 1
    return ending in PHOTO_ENDINGS


def _before_magic(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the leading folders of a pattern that hold no wildcard."""
    for count, part in enumerate(parts):
        if glob.has_magic(part):
            return parts[:count]
    return parts[:-1]
