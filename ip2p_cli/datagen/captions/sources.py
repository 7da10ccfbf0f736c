"""The sources of captions: text files, tables, and folders of photos."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ip2p_cli.errors import InputError
from ip2p_cli.folders import expand_home
from ip2p_cli.io.inputs import PHOTO_ENDINGS
from ip2p_cli.io.names import printable
from ip2p_cli.io.tables import pyarrow, reading
from ip2p_cli.io.text_readers import fingerprint, read_texts

PHOTOS = "photos:"
NO_CAPTION = "a photo"

_MAX_SIDECAR = 64 << 10  # bytes
_CAMERA_WORDS = frozenset(
    "img dsc dscn dscf pxl pano vid mvimg screenshot image photo picture pic copy edited final jpg".split()  # noqa: SIM905
)
_FUNCTION_WORDS = frozenset("a an the my our his her its of in on at with and by under over near from to for".split())  # noqa: SIM905


@dataclass(frozen=True, kw_only=True)
class FoundCaption:
    """A caption of a source.

    Attributes:
        text: The caption, as it was found.
        image: The photo that it describes, or None.
        written: Whether somebody wrote it; else it was made from a file's name.
    """

    text: str
    image: Path | None = None
    written: bool = True

    def photo_hash(self) -> str | None:
        """The sha256 of the photo's bytes, in hex; None without a photo. Raises InputError for an unreadable photo."""
        if self.image is None:
            return None
        with reading(self.image), self.image.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file or folder of captions, or of photos.

    Attributes:
        path: The file or folder.
        photos: Whether it is a folder of photos.
        column: The column of a table. None is the first usual one.
    """

    path: Path
    photos: bool = False
    column: str | None = None

    def captions(self) -> Iterator[FoundCaption]:
        """Read the captions in a fixed order. Raises InputError or UsageError where they cannot be read."""
        if self.photos:
            return _captions_of_photos(self.path)
        return (FoundCaption(text=text) for text in read_texts(self.path, self.column))

    def check(self) -> None:
        """Check that there is something to read, and what reads it.

        Raises:
            InputError: There is no such file or folder.
            UsageError: pyarrow is needed, and not installed.
        """
        if not self.path.exists():
            raise InputError(f"{printable(self.path)}: no such file or folder: check the path")
        if not self.photos and (self.path.suffix.lower() == ".parquet" or self.path.is_dir()):
            pyarrow()

    def fingerprint(self) -> str:
        """A hash that tells sources apart. Raises InputError where there is nothing to read."""
        self.check()
        if not self.photos:
            return fingerprint(self.path)
        digest = hashlib.sha256()
        for photo in _photos_in(self.path):
            sidecar = photo.with_suffix(".txt")
            sidecar_size = sidecar.stat().st_size if sidecar.is_file() else -1
            name = photo.relative_to(self.path).as_posix()
            digest.update(f"{name}:{photo.stat().st_size}:{sidecar_size}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def source_of(text: str, column: str | None = None) -> Source:
    """The source that a text names: a path, or photos:FOLDER."""
    photos = text.startswith(PHOTOS)
    path = expand_home(text.removeprefix(PHOTOS) if photos else text)
    return Source(path=path, photos=photos, column=column)


def caption_of_name(stem: str) -> str:
    """Make a caption from a photo's file name: "n02_red-fox" gives "a photo of a red fox", "IMG_1234" "a photo"."""
    words = [word.lower() for word in re.split(r"[\s_\-.,+()\[\]]+", stem)]
    words = [word for word in words if word.isalpha() and word not in _CAMERA_WORDS and not _is_code(word)]
    if not words:
        return NO_CAPTION
    name = " ".join(words)
    if _FUNCTION_WORDS & set(words):  # the name is a phrase already
        return name
    plural = name.endswith("s") and not name.endswith(("ss", "us", "is", "as"))
    article = "" if plural else "an " if name[0] in "aeiou" else "a "
    return f"{NO_CAPTION} of {article}{name}"


def _is_code(word: str) -> bool:
    """Whether it is not a word: a single letter, or letters without a vowel."""
    return word.isascii() and (len(word) < 2 or not re.search("[aeiouy]", word))


def _captions_of_photos(folder: Path) -> Iterator[FoundCaption]:
    """The caption of each photo: the text file beside it, else the photo's name."""
    empty = True
    for photo in _photos_in(folder):
        empty = False
        text = _read_sidecar(photo.with_suffix(".txt"))
        image = Path(os.path.abspath(photo))  # noqa: PTH100 - a link keeps its own name
        written = bool(text.strip())
        yield FoundCaption(text=text if written else caption_of_name(photo.stem), image=image, written=written)
    if empty:
        raise InputError(f"{printable(folder)}: no photos in this folder or its subfolders")


def _read_sidecar(path: Path) -> str:
    if not path.is_file():
        return ""
    with reading(path), path.open("rb") as file:
        return file.read(_MAX_SIDECAR).decode("utf-8-sig", "replace")


def _photos_in(folder: Path) -> Iterator[Path]:
    """The photos of a folder and its subfolders, by name; the names of one folder at a time are in memory."""
    with reading(folder), os.scandir(folder) as entries:
        names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in names:
        if name.startswith("."):
            continue
        if is_folder:
            yield from _photos_in(folder / name)
        elif Path(name).suffix.lower() in PHOTO_ENDINGS:
            yield folder / name
