"""Where captions come from: `SOURCE` on the command line, as rows in a fixed order."""

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
from ip2p_cli.io.names import printable, reason
from ip2p_cli.io.text_readers import fingerprint, read_texts

PHOTOS = "photos:"
NO_CAPTION = "a photo"

_MAX_SIDECAR = 64 << 10  # bytes
_CAMERA = frozenset(
    "img dsc dscn dscf pxl pano vid mvimg screenshot image photo picture pic copy edited final jpg".split()  # noqa: SIM905
)
_FUNCTION = frozenset("a an the my our his her its of in on at with and by under over near from to for".split())  # noqa: SIM905


@dataclass(frozen=True, kw_only=True)
class Raw:
    """A caption as found. image: the photo it is of. written: whether a person wrote it, or a file's name gave it."""

    text: str
    image: Path | None = None
    written: bool = True

    def content(self) -> str | None:
        """The sha256 of the photo, in hex; None without one. Raises InputError where it cannot be read."""
        if self.image is None:
            return None
        try:
            with self.image.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{printable(self.image)}: {reason(error)}") from error


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file or folder of captions, or of photos. column: of a table, None for the first usual one."""

    path: Path
    photos: bool = False
    column: str | None = None

    def rows(self) -> Iterator[Raw]:
        """All rows in order. Raises InputError, UsageError where they cannot be read."""
        if self.photos:
            return _photos(self.path)
        return (Raw(text=text) for text in read_texts(self.path, self.column))

    def fingerprint(self) -> str:
        """What tells this source from another one. Raises InputError where there is nothing to read."""
        if not self.path.exists():
            raise InputError(f"{printable(self.path)}: no such file or folder: check the path")
        if not self.photos:
            return fingerprint(self.path)
        found = hashlib.sha256()
        for photo in _walk(self.path):
            sidecar = photo.with_suffix(".txt")
            said = sidecar.stat().st_size if sidecar.is_file() else -1
            place = photo.relative_to(self.path).as_posix()
            found.update(f"{place}:{photo.stat().st_size}:{said}\n".encode(errors="surrogateescape"))
        return found.hexdigest()


def source_of(text: str, column: str | None = None) -> Source:
    """The source that `text` names: a path, or photos:FOLDER."""
    photos = text.startswith(PHOTOS)
    path = expand_home(text.removeprefix(PHOTOS) if photos else text)
    return Source(path=path, photos=photos, column=column)


def caption_of_name(stem: str) -> str:
    """What a photo's file name says it shows: "n02_red-fox" is "a photo of a red fox"; "IMG_1234" is "a photo"."""
    words = [word.lower() for word in re.split(r"[\s_\-.,+()\[\]]+", stem)]
    words = [word for word in words if word.isalpha() and word not in _CAMERA and not _is_code(word)]
    if not words:
        return NO_CAPTION
    name = " ".join(words)
    if _FUNCTION & set(words):  # a phrase as it is
        return name
    plural = name.endswith("s") and not name.endswith(("ss", "us", "is", "as"))
    article = "" if plural else "an " if name[0] in "aeiou" else "a "
    return f"{NO_CAPTION} of {article}{name}"


def _is_code(word: str) -> bool:
    """No word: one letter, or a run without a vowel."""
    return word.isascii() and (len(word) < 2 or not re.search("[aeiouy]", word))


def _photos(folder: Path) -> Iterator[Raw]:
    found = False
    for photo in _walk(folder):
        found = True
        sidecar = photo.with_suffix(".txt")
        text = _sidecar(sidecar) if sidecar.is_file() else ""
        image = Path(os.path.abspath(photo))  # noqa: PTH100 - a link keeps its own name
        if text.strip():
            yield Raw(text=text, image=image)
        else:
            yield Raw(text=caption_of_name(photo.stem), image=image, written=False)
    if not found:
        raise InputError(f"{printable(folder)}: no photos in this folder or those in it")


def _sidecar(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SIDECAR).decode("utf-8-sig", "replace")
    except OSError as error:
        raise InputError(f"{printable(path)}: {reason(error)}") from error


def _walk(folder: Path) -> Iterator[Path]:
    """The photos of a folder and the ones in it, by name; only one folder's names are in memory."""
    try:
        with os.scandir(folder) as entries:
            names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError as error:
        raise InputError(f"{printable(folder)}: {reason(error)}: check the path and its permissions") from error
    for name, is_folder in names:
        if name.startswith("."):
            continue
        if is_folder:
            yield from _walk(folder / name)
        elif Path(name).suffix.lower() in PHOTO_ENDINGS:
            yield folder / name
