"""Photos out of files: any common kind in, upright 8-bit RGB inside.

Transparency: `read_image` lays the picture on white, so that colours stored under invisible pixels cannot leak into
an edit, and keeps the alpha beside it. `output.write_image` takes both back apart: the file, seen on white, looks like
the edited picture, and an unedited picture comes out with the colours it came with.
"""

from __future__ import annotations

import difflib
import itertools
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

import numpy as np
from PIL import Image, ImageFile

from ip2p_cli.errors import InputError
from ip2p_cli.io.names import printable, reason

# Decoded, a photo of this size takes 600 MB; the largest phone cameras stay just below.
MAX_PIXELS = 200_000_000

# Only kinds that hold photos and have a signature: Pillow also opens EPS (by running Ghostscript) and much else.
_READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM")

_UPRIGHT = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A decoded photo: `rgb` is upright, 8 bits, laid on white; `alpha` (mode L) is None where all is opaque."""

    rgb: Image.Image
    alpha: Image.Image | None
    path: Path


def read_image(path: Path) -> Picture:
    """Read a photo: the first frame, turned upright by its EXIF orientation, whatever its colours are stored as."""
    shown = printable(path)
    _check_regular_file(path)
    try:
        # Pillow warns of damaged metadata and of sizes that the check below decides on; neither is news to the user.
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            image = _identify(file, shown)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _too_large(shown, width, height)
            image.load()
            turn = _UPRIGHT.get(_orientation(image))
            rgb, alpha = _rgb_and_alpha(image)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(shown) from error
    except MemoryError as error:
        raise InputError(f"{shown}: not enough memory to decode it: make the picture smaller first") from error
    except Exception as error:  # decoders raise whatever broken data leads them to
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{shown}: {reason(error)}: check the file and its permissions") from error
        raise InputError(f"{shown}: the picture is damaged or cut short ({error}): get a whole copy of it") from error
    if turn is not None:
        rgb = rgb.transpose(turn)
        alpha = alpha.transpose(turn) if alpha is not None else None
    return Picture(rgb=rgb, alpha=alpha, path=path)


def _check_regular_file(path: Path) -> None:
    """Refuse what is not there, not a file, or empty, without opening it: opening a FIFO would wait for ever."""
    shown = printable(path)
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise InputError(f"{shown}: {_why_missing(path)}") from error
    except OSError as error:
        raise InputError(f"{shown}: {reason(error)}: check the path and its permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{shown} is a folder: name the photos in it, for example {printable(path / '*.jpg')}")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{shown} is not a regular file (a device or a pipe): save the picture to a file first")
    if status.st_size == 0:
        raise InputError(f"{shown} is empty (0 bytes): get a whole copy of it")


def _why_missing(path: Path) -> str:
    folder = path.parent
    if path.is_symlink():
        return "the link points to a file that does not exist: mend the link"
    if not folder.is_dir():
        return f"there is no folder {printable(folder)}: check the path"
    try:
        names = {entry.name.casefold(): entry for entry in itertools.islice(folder.iterdir(), 10_000)}
    except OSError:
        names = {}
    near = difflib.get_close_matches(path.name.casefold(), names, n=1)
    return f"no such file: did you mean {printable(names[near[0]])}?" if near else "no such file: check the path"


def _identify(file: IO[bytes], shown: str) -> ImageFile.ImageFile:
    """Read a picture's header. Not `Image.open`: that refuses 179 megapixels unless a global is changed."""
    Image.init()
    prefix = file.read(16)
    for kind in _READABLE:
        factory, accept = Image.OPEN.get(kind, (None, None))
        verdict = accept(prefix) if accept else False
        if isinstance(verdict, str):  # Pillow's words for: known, but not compiled in
            raise InputError(f"{shown}: {verdict}: save it as PNG or JPEG first")
        if factory is None or not verdict:
            continue
        file.seek(0)
        try:
            return factory(file, "")
        except (SyntaxError, IndexError, TypeError, ValueError):
            if kind == "PPM":  # its signature is two letters: more likely a text
                continue
            raise
    hint = "save it as PNG or JPEG first"
    if prefix[4:8] == b"ftyp" and prefix[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        hint = f"it is a HEIC photo: {hint}"
    raise InputError(f"{shown} is not a picture of a known kind ({', '.join(_READABLE)}): {hint}")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # broken EXIF is no reason to refuse a photo that decodes
        return 1


def _rgb_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Bring any mode to 8-bit RGB on white, and its alpha if anything is transparent."""
    alpha: Image.Image | None = None
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        rgb = Image.fromarray(_grey_8bit(values, image)).convert("RGB")
        key = image.info.get("transparency")
        if isinstance(key, int):
            alpha = Image.fromarray(np.where(values == key, np.uint8(0), np.uint8(255)))
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        rgb, alpha = rgba.convert("RGB"), rgba.getchannel("A")
    else:
        rgb = image.convert("RGB")
    if alpha is None or alpha.getextrema() == (255, 255):
        return rgb, None
    return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha), alpha


def _grey_8bit(values: np.ndarray, image: Image.Image) -> np.ndarray:
    """Scale grey of more than 8 bits so that white stays white.

    16 bits: white is 65535 (4095 in a 12-bit TIFF). 32-bit integers: 65535 too, unless something is brighter: then
    that. Floats: 1 if 99 % of the pixels are no brighter (highlights may overshoot), else 255, else the brightest.
    """
    values = values.astype(np.float32)
    if image.mode == "F":
        values = np.nan_to_num(values, nan=0.0, posinf=float(np.max(values, where=np.isfinite(values), initial=0.0)))
    brightest = float(values.max())
    if image.mode == "F" and np.percentile(values, 99) <= 1:
        white = 1.0
    elif image.mode == "F":
        white = max(255.0, brightest)
    elif image.mode == "I":
        white = max(65535.0, brightest)
    else:
        bits = getattr(image, "tag_v2", {}).get(258, (16,))
        white = 4095.0 if bits == (12,) else 65535.0
    return (np.clip(values / white, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def _too_large(shown: str, width: int = 0, height: int = 0) -> InputError:
    size = f"{width} x {height} pixels are" if width else "the picture is"
    return InputError(f"{shown}: {size} more than {MAX_PIXELS // 10**6} megapixels: make it smaller first")
