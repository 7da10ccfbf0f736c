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
from ip2p_cli.folders import expand_home
from ip2p_cli.io.formats import FORMAT_OF_ENDING
from ip2p_cli.io.names import printable, reason

PHOTO_ENDINGS = frozenset(FORMAT_OF_ENDING)
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class InputPhoto:
    """A photo to read.

    Attributes:
        folder: The folder it comes from, relative to what the user named; the output's tree mirrors it.
        is_named: Whether the user named this very file, not a folder or a pattern.
    """

    path: Path
    folder: PurePath = field(default_factory=PurePath)
    is_named: bool = False


@dataclass(frozen=True, kw_only=True)
class FoundPhotos:
    """The photos that some words name.

    Attributes:
        photos: Each photo once, in the order of the words; those of a folder or glob in the order of names.
        passed_over: How many files of folders and globs have an ending that is not a photo's, by ending.
        unreadable: Folders in a folder that cannot be read.
    """

    photos: list[InputPhoto]
    passed_over: Counter[str]
    unreadable: list[str]


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
    search = _Search(recursive, exclude)
    photos: dict[str, InputPhoto] = {}
    for word in words:
        for line in _lines(stdin) if word == "-" else [word]:
            for photo in search.photos(line):
                photos.setdefault(os.path.abspath(photo.path), photo)  # noqa: PTH100 - a link is a photo of its own
    if not photos:
        raise InputError("no photos were named: give files, folders, globs, or paths on stdin with -")
    return FoundPhotos(photos=list(photos.values()), passed_over=search.passed_over, unreadable=search.unreadable)


def user_path(text: str) -> Path:
    """Return the path that a user typed; a leading ~ is the home folder unless a file has that name."""
    path = Path(text)
    return path if not text.startswith("~") or os.path.lexists(path) else expand_home(path)


def _lines(stdin: Iterable[str]) -> Iterator[str]:
    """The words on stdin: separated by line breaks or, as `find -print0` writes them, by NUL."""
    for line in stdin:
        yield from filter(None, (word.strip("\r\n") for word in line.split("\0")))


class _Search:
    """Finds the photos that a word names, and counts what it passes over."""

    def __init__(self, recursive: bool, exclude: Path | None) -> None:
        self.passed_over: Counter[str] = Counter()
        self.unreadable: list[str] = []
        self._recursive = recursive
        self._excluded = os.path.realpath(exclude) if exclude is not None else None

    def photos(self, word: str) -> list[InputPhoto]:
        """Return the photos of a word; raises InputError and UsageError."""
        if _URL.match(word):
            raise UsageError(f"{word} is a web address: download it first, and give the file.")
        path = user_path(word)
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a text too long for a name
            return self._in_folder(path)
        if glob.has_magic(word) and not os.path.lexists(path):
            return self._matching(str(path))
        return [InputPhoto(path=path, is_named=True)]

    def _in_folder(self, folder: Path) -> list[InputPhoto]:
        try:
            os.scandir(folder).close()
        except OSError as error:
            raise InputError(f"{printable(folder)}: {reason(error)}: check its permissions") from error
        photos = [
            InputPhoto(path=parent / name, folder=parent.relative_to(folder))
            for parent, names in self._walk(folder)
            for name in names
            if self._has_photo_ending(name)
        ]
        if not photos:
            hint = "" if self._recursive else " (--recursive also looks into the folders in it)"
            raise InputError(f"{printable(folder)}: no photos in this folder{hint}")
        return photos

    def _walk(self, folder: Path) -> Iterator[tuple[Path, list[str]]]:
        """Walk through a folder: each folder with the names of its files, sorted, hidden ones left out.

        A folder that is reached a second time, through a link, is passed over: links can make a circle.
        """
        visited: set[str] = set()
        for parent, folders, names in os.walk(folder, onerror=self._note_unreadable, followlinks=True):
            real = os.path.realpath(parent)
            if real in visited or (visited and real == self._excluded):
                folders.clear()
                continue
            visited.add(real)
            kept = [name for name in folders if self._recursive and not name.startswith(".")]
            # Links come last, so that a folder keeps its own name where it is reached by both.
            folders[:] = sorted(kept, key=lambda name: ((Path(parent) / name).is_symlink(), name))
            yield Path(parent), sorted(name for name in names if not name.startswith("."))

    def _note_unreadable(self, error: OSError) -> None:
        self.unreadable.append(f"{printable(str(error.filename))} ({reason(error)})")

    def _matching(self, pattern: str) -> list[InputPhoto]:
        parts = _escaped(Path(pattern).parts)
        fixed = Path(*_before_magic(Path(pattern).parts))
        found = glob.glob(os.path.join(*parts), recursive=True)  # noqa: PTH118, PTH207 - takes any path
        photos = [path for path in map(Path, sorted(found)) if path.is_file() and self._has_photo_ending(path.name)]
        if not photos:
            raise InputError(f"{printable(pattern)}: no photo matches")
        return [InputPhoto(path=path, folder=path.parent.relative_to(fixed)) for path in photos]

    def _has_photo_ending(self, name: str) -> bool:
        ending = PurePath(name).suffix.lower()
        if ending not in PHOTO_ENDINGS:
            self.passed_over[ending] += 1
        return ending in PHOTO_ENDINGS


def _escaped(parts: tuple[str, ...]) -> list[str]:
    """The parts of a pattern, with leading folders that exist under this very name taken as they are written."""
    for count, part in enumerate(parts):
        if glob.has_magic(part) and not os.path.isdir(os.path.join(*parts[: count + 1])):  # noqa: PTH112, PTH118
            return [*map(glob.escape, parts[:count]), *parts[count:]]
    return [*map(glob.escape, parts[:-1]), parts[-1]]


def _before_magic(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The leading folders of a pattern that hold no wildcard."""
    escaped = _escaped(parts)
    return tuple(part for part, text in zip(parts, escaped, strict=True) if glob.escape(part) == text)[: len(parts) - 1]
