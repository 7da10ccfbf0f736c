"""TIFF files that Pillow decodes wrongly or noisily: the layouts are mended, and libtiff is kept quiet.

The combinations of bits, planes, colours and compression are tested against tifffile (tests/io/test_tiff.py).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import PIL
from PIL import ImageFile

_BITS, _PHOTOMETRIC, _PLANAR, _SUBSAMPLING, _SAMPLE_FORMAT = 258, 262, 284, 530, 339
_WHITE_IS_ZERO, _YCBCR = 0, 6
# libtiff returns values in the machine's byte order, whatever the file's; Pillow 13 knows this for 16 bits only.
_NATIVE = MappingProxyType({"F;32BF": "F;32NF", "F;32F": "F;32NF", "I;32BS": "I;32NS", "I;16BS": "I;16NS"})


class LayoutError(ValueError):
    """No decoder here reads this layout of TIFF rightly; the text names it."""


def prepare(image: ImageFile.ImageFile) -> None:
    """Correct how Pillow is going to decode a TIFF file that was opened.

    Raises:
        LayoutError: No decoder here reads this layout rightly.
    """
    tags = _tags(image)
    bits = tags.get(_BITS, (1,))
    is_raw = image.info.get("compression") == "raw"
    is_planar = tags.get(_PLANAR, 1) == 2 and len(bits) > 1
    if is_raw and is_planar and max(bits) > 8:
        # Pillow takes one byte of every value; libtiff reads planes of 16 bits.
        _use_libtiff(image, f"{image.mode};16N", (bits, image.mode))
    elif is_raw and tags.get(_PHOTOMETRIC) == _YCBCR and tags.get(_SUBSAMPLING, (2, 2)) != (1, 1):
        raise LayoutError("uncompressed YCbCr with subsampling")
    elif not is_raw and image.tile and image.tile[0].codec_name == "libtiff":
        codec, extents, offset, args = image.tile[0]
        rawmode, *rest = args if isinstance(args, tuple) else (args,)
        image.tile = [ImageFile._Tile(codec, extents, offset, (_NATIVE.get(str(rawmode), rawmode), *rest))]


def _use_libtiff(image: ImageFile.ImageFile, rawmode: str, layout: tuple[tuple[int, ...], str]) -> None:
    """Decode an uncompressed file with libtiff."""
    bits, mode = layout
    if set(bits) != {16} or (len(bits), mode) not in ((3, "RGB"), (4, "RGBA"), (4, "CMYK")):
        raise LayoutError(f"planes of {max(bits)} bits")
    tags = _tags(image)
    vars(image)["use_load_libtiff"] = True
    args = (rawmode, False, getattr(tags, "offset", 0))
    width, height = (int(tags[tag]) for tag in (256, 257))
    image.tile = [ImageFile._Tile("libtiff", (0, 0, width, height), 0, args)]


def grey_values(values: np.ndarray, image: object) -> np.ndarray:
    """Return the grey values that a TIFF holds: Pillow reads unsigned values of 32 bits as signed."""
    tags = _tags(image)
    unsigned = tags.get(_BITS) == (32,) and tags.get(_SAMPLE_FORMAT, (1,)) == (1,)
    return values.view(np.uint32) if unsigned and values.dtype == np.int32 else values


def grey_white(image: object) -> float | None:
    """Return the value that is white where the bits of a TIFF say it, otherwise None."""
    tags = _tags(image)
    bits, signed = tags.get(_BITS), tags.get(_SAMPLE_FORMAT) == (2,)
    if bits == (12,):
        return 4095.0
    return 32767.0 if bits == (16,) and signed else None


def is_inverted_grey(image: object) -> bool:
    """Whether zero is white in a TIFF of more than 8 bits: Pillow inverts only up to 8."""
    return _tags(image).get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _tags(image: object) -> Mapping[int, Any]:
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    return tags


@functools.cache
def silence_libtiff() -> None:
    """Keep libtiff from printing to stderr, in this process: Pillow raises for whatever cannot be read.

    Pillow's wheels have a libtiff of their own beside the package; where it is not found, libtiff goes on printing.
    """
    package = Path(PIL.__file__).parent
    for folder in (package.parent / "pillow.libs", package / ".dylibs"):
        for library in folder.glob("libtiff*"):
            handle = ctypes.CDLL(str(library))
            for name in ("TIFFSetWarningHandler", "TIFFSetErrorHandler"):
                setter = getattr(handle, name)
                setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                setter(None)
