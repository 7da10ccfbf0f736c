"""The picture formats that ip2p reads and writes, and how a file's format is recognised by its content."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from PIL import Image, ImageFile

from ip2p_cli.errors import InputError
from ip2p_cli.io import bmp, png_chunks, tiff
from ip2p_cli.io.layouts import LayoutError
from ip2p_cli.io.names import printable, reason

# Decoded, a photo of this size takes 600 MB; the largest phone cameras stay just below.
MAX_PIXELS = 200_000_000
# A strip that is longer costs memory by its length alone, in every step; formats for photos end at 65,535.
MAX_SIDE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Writer:
    """How a format is written. feature: what must be compiled into Pillow. max_metadata: bytes of EXIF, and of XMP."""

    endings: tuple[str, ...]
    alpha: bool = True
    max_side: int | None = None
    feature: str | None = None
    lossy: bool = False
    max_metadata: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """A picture format: Pillow's name for it, its endings of file names, and how it is written, if it is."""

    name: str
    endings: tuple[str, ...]
    writer: Writer | None = None


# No chroma subsampling: edits have strong colours side by side. PNG and AVIF at Pillow's default effort take 5 s and
# 11 s for 12 megapixels; at these levels, 2 s and 4 s, for 2 % and 12 % more bytes.
# A JPEG's segment holds 65,533 bytes, of which the name of XMP takes 29.
_PNG = Writer(endings=(".png",), options={"compress_level": 4})
_JPEG = Writer(
    endings=(".jpg", ".jpeg"), alpha=False, max_side=65_500, lossy=True, max_metadata=65_500, options={"subsampling": 0}
)
_WEBP = Writer(endings=(".webp",), max_side=16_383, feature="webp", lossy=True)
_TIFF = Writer(endings=(".tif", ".tiff"), feature="libtiff", options={"compression": "tiff_adobe_deflate"})
_AVIF_OPTIONS = {"subsampling": "4:4:4", "speed": 8}
_AVIF = Writer(endings=(".avif",), max_side=65_535, feature="avif", lossy=True, options=_AVIF_OPTIONS)
# Only formats that hold photos and have a signature: Pillow also opens EPS (by running Ghostscript) and many others.
FORMATS = (
    Format("PNG", (".png", ".apng"), _PNG),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), _JPEG),
    Format("WEBP", (".webp",), _WEBP),
    Format("TIFF", (".tif", ".tiff"), _TIFF),
    Format("AVIF", (".avif", ".avifs"), _AVIF),
    Format("GIF", (".gif",)),
    Format("BMP", (".bmp", ".dib")),
    Format("JPEG2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx")),
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm", ".pfm")),
    Format("HEIC", (".heic", ".heif", ".hif")),
)
FORMAT_OF_ENDING: Mapping[str, Format] = {ending: format_ for format_ in FORMATS for ending in format_.endings}

_HEIC_BRANDS = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"])
_CONTAINER_BRANDS = frozenset([b"mif1", b"msf1", b"mif2"])
# Raw files of cameras that are built like a TIFF, and whose first picture is a thumbnail (DNG also has a tag).
_RAW_ENDINGS = frozenset([".3fr", ".arw", ".cr2", ".dng", ".erf", ".iiq", ".nef", ".nrw", ".pef", ".sr2", ".srw"])
_DNG_VERSION = 50706


class Identified(NamedTuple):
    """A picture that was opened and not decoded yet, its format, and notes on what was left out of it."""

    image: ImageFile.ImageFile
    format: str
    notes: tuple[str, ...] = ()


def identify(file: IO[bytes], shown: str) -> Identified:
    """Read the header of a picture.

    `Image.open` is not used: it refuses 179 megapixels unless a global is changed.

    Args:
        file: The open file, at its start.
        shown: The file's name for messages.

    Returns:
        The picture, not decoded yet. It may be another file than `file` that is read, without what was left out.

    Raises:
        InputError: The file is not a picture of a known format, or it has a layout that is not read.
        Exception: Whatever the decoder raises for a broken file; see `as_input_error`.
    """
    Image.init()
    prefix = file.read(512)
    if _is_heic(prefix):
        return Identified(_open_heic(file, shown), "HEIC")
    for name in (format_.name for format_ in FORMATS):
        factory, accept = Image.OPEN.get(name, (None, None))
        verdict = accept(prefix[:16]) if accept else False
        if isinstance(verdict, str):  # Pillow knows the format, but was compiled without it
            raise InputError(f"{shown}: {verdict}: save it as PNG or JPEG first")
        if factory is None or not verdict:
            continue
        file.seek(0)
        try:
            return _open_as(name, factory, file, shown)
        except (SyntaxError, IndexError, TypeError, ValueError):
            if name == "PPM":  # its signature is two letters: the file is more likely a text
                continue
            raise
    known = ", ".join(format_.name for format_ in FORMATS)
    raise InputError(f"{shown} is not a picture of a known format ({known}): save it as PNG or JPEG first")


def _open_as(name: str, factory: Callable[..., ImageFile.ImageFile], file: IO[bytes], shown: str) -> Identified:
    """Open a picture whose format is known."""
    if name == "PNG":
        png = png_chunks.usable(file)
        image = factory(png.file, "")
        if png.profile is not None:
            image.info["icc_profile"] = png.profile
        return Identified(image, name, png.notes)
    try:
        if name == "BMP":
            return Identified(factory(bmp.as_pillow_reads_it(file), ""), name)
        return Identified(tiff.opened(factory, file) if name == "TIFF" else factory(file, ""), name)
    except LayoutError as error:
        remedy = "PNG" if name == "BMP" else "RGB of 8 or 16 bits"
        raise InputError(f"{shown}: this layout of {name} ({error}) is not read: save it as {remedy} first") from error


def check_size(size: tuple[int, int], shown: str) -> None:
    """Refuse a picture of more than `MAX_PIXELS` pixels, or `MAX_SIDE` pixels a side.

    Raises:
        InputError: It is too large.
    """
    if size[0] * size[1] > MAX_PIXELS:
        raise too_large(shown, *size)
    if max(size) > MAX_SIDE:
        raise InputError(f"{shown}: {size[0]} x {size[1]} pixels are more than {MAX_SIDE} a side: cut it up first")


def _is_heic(prefix: bytes) -> bool:
    """Whether the brands of the first box (ISO 14496-12, 4.3) are those of HEIC; AVIF may also call itself mif1."""
    if prefix[4:8] != b"ftyp":
        return False
    end = int.from_bytes(prefix[:4], "big")
    brands = {prefix[at : at + 4] for at in range(16, min(end, len(prefix)), 4)}
    major = prefix[8:12]
    return major in _HEIC_BRANDS or (major in _CONTAINER_BRANDS and not brands & {b"avif", b"avis"})


def _open_heic(file: IO[bytes], shown: str) -> ImageFile.ImageFile:
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError as error:
        raise InputError(f"{shown} is a HEIC photo: pip install 'ip2p[heif]' or save it as JPEG first") from error
    file.seek(0)
    image: ImageFile.ImageFile = HeifImageFile(file, "")
    return image


def check_not_raw(image: ImageFile.ImageFile, path: Path, name: str) -> None:
    """Refuse a camera's raw file: what would be edited is the thumbnail in it.

    Raises:
        InputError: It is a raw file.
    """
    if name == "TIFF" and (path.suffix.lower() in _RAW_ENDINGS or _DNG_VERSION in getattr(image, "tag_v2", {})):
        raise InputError(f"{printable(path)} is a camera's raw file: develop it and save it as TIFF or JPEG first")


def wrong_ending(path: Path, name: str) -> str | None:
    """Return the ending of `path` where it is that of another format than `name`, otherwise None."""
    ending = path.suffix.lower()
    return ending if ending in FORMAT_OF_ENDING and FORMAT_OF_ENDING[ending].name != name else None


@contextmanager
def as_input_error(shown: str) -> Iterator[None]:
    """Turn whatever a decoder raises into an InputError of one line, and silence the decoder's warnings."""
    try:
        # Pillow warns of damaged metadata and of sizes that are checked elsewhere.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(shown) from error
    except MemoryError as error:
        raise InputError(f"{shown}: not enough memory to decode it: make the picture smaller first") from error
    except Exception as error:  # broken data can make a decoder raise anything
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{shown}: {reason(error)}: check the file and its permissions") from error
        cause = " ".join(printable(str(error)).split())
        raise InputError(f"{shown}: the picture is damaged or cut short ({cause}): get a whole copy of it") from error


def too_large(shown: str, width: int = 0, height: int = 0) -> InputError:
    """Make the error for a picture of more than `MAX_PIXELS`."""
    size = f"{width} x {height} pixels are" if width else "the picture is"
    return InputError(f"{shown}: {size} more than {MAX_PIXELS // 10**6} megapixels: make it smaller first")
