"""Which kind of picture a file holds, by its content: Pillow's readers, chosen without touching its globals."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile

from ip2p_cli.errors import InputError
from ip2p_cli.io.names import printable, reason

# Decoded, a photo of this size takes 600 MB; the largest phone cameras stay just below.
MAX_PIXELS = 200_000_000

# Only kinds that hold photos and have a signature: Pillow also opens EPS (by running Ghostscript) and much else.
_READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM")
_HEIC = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"])
_CONTAINERS = frozenset([b"mif1", b"msf1", b"mif2"])
# Cameras' raw files that are built like a TIFF, and whose first picture is a thumbnail (DNG is known by a tag too).
_RAW_NAMES = frozenset([".3fr", ".arw", ".cr2", ".dng", ".erf", ".iiq", ".nef", ".nrw", ".pef", ".sr2", ".srw"])
_DNG_VERSION = 50706
_HEIC_NAMES = frozenset([".heic", ".heif", ".hif"])


def identify(file: IO[bytes], shown: str) -> tuple[ImageFile.ImageFile, str]:
    """Read a picture's header: (the picture, not decoded yet; its kind). shown: its name for messages.

    Not `Image.open`: that refuses 179 megapixels unless a global is changed. Raises InputError where it is no picture
    of a known kind, and whatever the decoders raise where it is broken.
    """
    Image.init()
    prefix = file.read(512)
    if _is_heic(prefix):
        return _open_heic(file, shown), "HEIC"
    for kind in _READABLE:
        factory, accept = Image.OPEN.get(kind, (None, None))
        verdict = accept(prefix[:16]) if accept else False
        if isinstance(verdict, str):  # Pillow's words for: known, but not compiled in
            raise InputError(f"{shown}: {verdict}: save it as PNG or JPEG first")
        if factory is None or not verdict:
            continue
        file.seek(0)
        try:
            return factory(file, ""), kind
        except (SyntaxError, IndexError, TypeError, ValueError):
            if kind == "PPM":  # its signature is two letters: more likely a text
                continue
            raise
    raise InputError(
        f"{shown} is not a picture of a known kind ({', '.join(_READABLE)}, HEIC): save it as PNG or JPEG first"
    )


def _is_heic(prefix: bytes) -> bool:
    """By the brands of its first box (ISO 14496-12, 4.3); AVIF photos may call themselves mif1 too."""
    if prefix[4:8] != b"ftyp":
        return False
    end = int.from_bytes(prefix[:4], "big")
    brands = {prefix[at : at + 4] for at in range(16, min(end, len(prefix)), 4)}
    major = prefix[8:12]
    return major in _HEIC or (major in _CONTAINERS and not brands & {b"avif", b"avis"})


def _open_heic(file: IO[bytes], shown: str) -> ImageFile.ImageFile:
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError as error:
        raise InputError(f"{shown} is a HEIC photo: pip install 'ip2p[heif]' or save it as JPEG first") from error
    file.seek(0)
    image: ImageFile.ImageFile = HeifImageFile(file, "")
    return image


def check_not_raw(image: ImageFile.ImageFile, path: Path, kind: str) -> None:
    """Refuse a camera's raw file rather than edit the thumbnail in it. Raises InputError."""
    if kind == "TIFF" and (path.suffix.lower() in _RAW_NAMES or _DNG_VERSION in getattr(image, "tag_v2", {})):
        raise InputError(f"{printable(path)} is a camera's raw file: develop it and save it as TIFF or JPEG first")


def belied(path: Path, kind: str) -> str | None:
    """What the file is called, ".jpg" say, where that is the name of another kind of picture; else None."""
    extension = path.suffix.lower()
    claimed = "HEIC" if extension in _HEIC_NAMES else Image.registered_extensions().get(extension)
    # MPO is JPEG with more pictures behind the first; .jxl and such are not known, so that they cannot be belied.
    claimed = {"MPO": "JPEG"}.get(claimed or "", claimed)
    return extension if claimed is not None and claimed != kind else None


@contextmanager
def as_input_error(shown: str) -> Iterator[None]:
    """Turn whatever a decoder raises into an InputError of one line, and keep its warnings to itself."""
    try:
        # Pillow warns of damaged metadata and of sizes that are checked elsewhere; neither is news to the user.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(shown) from error
    except MemoryError as error:
        raise InputError(f"{shown}: not enough memory to decode it: make the picture smaller first") from error
    except Exception as error:  # decoders raise whatever broken data leads them to
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{shown}: {reason(error)}: check the file and its permissions") from error
        why = " ".join(printable(str(error)).split())
        raise InputError(f"{shown}: the picture is damaged or cut short ({why}): get a whole copy of it") from error


def too_large(shown: str, width: int = 0, height: int = 0) -> InputError:
    """The error for a picture beyond `MAX_PIXELS`."""
    size = f"{width} x {height} pixels are" if width else "the picture is"
    return InputError(f"{shown}: {size} more than {MAX_PIXELS // 10**6} megapixels: make it smaller first")
