"""TIFF files that Pillow decodes wrongly or noisily: the layouts are mended, and libtiff is kept quiet.

Colours as floats are refused: nothing in the file says which value is white, or whether the values are linear light.
The combinations of bits, planes, colours and compression are tested against tifffile (tests/io/test_tiff.py).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
import PIL
from PIL import ImageFile

from ip2p_cli.io import exif
from ip2p_cli.io.layouts import LayoutError

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _PLANAR, _SUBSAMPLING, _SAMPLE_FORMAT = 256, 257, 258, 262, 284, 530, 339
_WHITE_IS_ZERO, _YCBCR = 0, 6
_UNSIGNED, _SIGNED = 1, 2
_SEPARATE_PLANES = 2
_COLOURS = MappingProxyType({0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", _YCBCR: "YCbCr", 8: "Lab"})
_NUMBERS = MappingProxyType({2: "signed integers", 3: "floats", 5: "complex integers", 6: "complex floats"})
# libtiff returns values in the machine's byte order, whatever the file's; Pillow 13 knows this for 16 bits only.
_NATIVE = MappingProxyType({"F;32BF": "F;32NF", "F;32F": "F;32NF", "I;32BS": "I;32NS", "I;16BS": "I;16NS"})


def opened(factory: Callable[..., ImageFile.ImageFile], file: IO[bytes]) -> ImageFile.ImageFile:
    """Open a TIFF file with Pillow's factory, corrected so that it is decoded rightly.

    Raises:
        LayoutError: No decoder here reads this layout rightly.
        Exception: Whatever Pillow raises for a broken file.
    """
    silence_libtiff()
    try:
        image = factory(file, "")
    except SyntaxError as error:
        if str(error) in ("unknown pixel mode", "unknown data organization"):
            raise LayoutError(_layout_name(file)) from error
        raise
    _correct(image)
    return image


def _layout_name(file: IO[bytes]) -> str:
    """Name how a file stores its pixels, such as "RGB of 32-bit floats"."""
    file.seek(0)
    try:
        tags = exif.parse(file.read()).main
    except ValueError:  # a BigTIFF, for example
        return "an unknown way to store pixels"
    first = {
        tag: int.from_bytes(tags[tag].data[:2], "little")
        for tag in (_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT)
        if tag in tags
    }
    colours = _COLOURS.get(first.get(_PHOTOMETRIC, -1), "unknown colours")
    return f"{colours} of {first.get(_BITS, 1)}-bit {_NUMBERS.get(first.get(_SAMPLE_FORMAT, _UNSIGNED), 'integers')}"


def _correct(image: ImageFile.ImageFile) -> None:
    """Correct how Pillow is going to decode a file; raises LayoutError where it cannot."""
    tags = _tags(image)
    if image.info.get("compression") != "raw":
        _decode_in_native_order(image)
        return
    bits = tags.get(_BITS, (1,))
    if tags.get(_PLANAR) == _SEPARATE_PLANES and len(bits) > 1 and max(bits) > 8:
        # Pillow takes one byte of every value; libtiff reads planes of 16 bits.
        _decode_planes_with_libtiff(image, bits)
    elif tags.get(_PHOTOMETRIC) == _YCBCR and tags.get(_SUBSAMPLING, (2, 2)) != (1, 1):
        raise LayoutError("uncompressed YCbCr with subsampling")


def _decode_in_native_order(image: ImageFile.ImageFile) -> None:
    """Tell Pillow that values from libtiff are in the machine's byte order."""
    if not image.tile or image.tile[0].codec_name != "libtiff":
        return
    codec, extents, offset, args = image.tile[0]
    raw_mode, *rest = args if isinstance(args, tuple) else (args,)
    image.tile = [ImageFile._Tile(codec, extents, offset, (_NATIVE.get(str(raw_mode), raw_mode), *rest))]


def _decode_planes_with_libtiff(image: ImageFile.ImageFile, bits: tuple[int, ...]) -> None:
    """Decode an uncompressed file of planes with libtiff instead of Pillow's own reader."""
    if set(bits) != {16} or (len(bits), image.mode) not in ((3, "RGB"), (4, "RGBA"), (4, "CMYK")):
        raise LayoutError(f"planes of {max(bits)} bits")
    tags = _tags(image)
    vars(image)["use_load_libtiff"] = True
    args = (f"{image.mode};16N", False, getattr(tags, "offset", 0))
    image.tile = [ImageFile._Tile("libtiff", (0, 0, int(tags[_WIDTH]), int(tags[_HEIGHT])), 0, args)]


def grey_values(values: np.ndarray, image: object) -> np.ndarray:
    """Return the grey values that a TIFF holds: Pillow reads unsigned values of 32 bits as signed."""
    tags = _tags(image)
    is_unsigned = tags.get(_BITS) == (32,) and tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)) == (_UNSIGNED,)
    return values.view(np.uint32) if is_unsigned and values.dtype == np.int32 else values


def grey_white(image: object) -> float | None:
    """Return the value that is white where the bits of a TIFF say it, otherwise None."""
    tags = _tags(image)
    bits = tags.get(_BITS)
    if bits == (12,):
        return 4095.0
    if bits == (16,) and tags.get(_SAMPLE_FORMAT) == (_SIGNED,):
        return 32767.0
    return None


def is_inverted_grey(image: object) -> bool:
    """Whether zero is white in a TIFF of more than 8 bits: Pillow inverts only up to 8."""
    return _tags(image).get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _tags(image: object) -> Mapping[int, Any]:
    """Return the tags of a TIFF; an image of another format has none."""
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
                set_handler = getattr(handle, name)
                set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
                set_handler(None)
