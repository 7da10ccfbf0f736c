"""Old and rare BMP files, rewritten as ones that Pillow reads, or refused by their name.

Pillow reads headers of 12 and of 40 to 124 bytes, and masks of colours in the usual places. OS/2 2 allows a header to
be cut at any field, and Windows allows any masks.
"""

from __future__ import annotations

import io
import struct
from typing import IO

import numpy as np

from ip2p_cli.io.layouts import LayoutError

_FULL = 40  # bytes of the header that all later ones begin with
_OS2_LEAST, _OS2_MOST = 16, 64
_RAW, _BITFIELDS, _ALPHA_BITFIELDS = 0, 3, 6
_WINDOWS_SIZES = (_FULL, 52, 56)  # which lie within the sizes of OS/2's
# What the numbers of a compression mean in OS/2's and in Windows' headers, where Pillow does not read it.
_OS2_UNREAD = {3: "compressed as fax (Huffman)", 4: "run lengths of 24 bits"}
_UNREAD = {4: "a JPEG inside", 5: "a PNG inside", 11: "CMYK", 12: "CMYK", 13: "CMYK"}
_MAX_PIXELS = 200_000_000
_KNOWN_MASKS = frozenset(
    [(16, 0xF800, 0x7E0, 0x1F), (16, 0x7C00, 0x3E0, 0x1F), (24, 0xFF0000, 0xFF00, 0xFF), (32, 0xFF0000, 0xFF00, 0xFF)]
)


def as_pillow_reads_it(file: IO[bytes]) -> IO[bytes]:
    """Return a BMP file with a header that Pillow reads, at its start; the file itself where nothing has to change.

    Raises:
        LayoutError: The pixels are stored in a way that is not read.
    """
    file.seek(0)
    head = file.read(14 + _FULL + 16)
    file.seek(0)
    if len(head) < 14 + _OS2_LEAST:
        return file
    (size,) = struct.unpack_from("<L", head, 14)
    is_os2 = _OS2_LEAST <= size <= _OS2_MOST and size not in _WINDOWS_SIZES
    if size >= _OS2_LEAST + 4 and len(head) >= 14 + _OS2_LEAST + 4:
        (compression,) = struct.unpack_from("<L", head, 30)
        if unread := (_OS2_UNREAD if is_os2 else _UNREAD).get(compression):
            raise LayoutError(unread)
    if is_os2 and size != _OS2_MOST:
        return _with_full_header(file, head, size)
    if size < _FULL or len(head) < 14 + _FULL + 12:
        return file
    bits, compression = struct.unpack_from("<HL", head, 28)
    if bits == 2 and compression == _RAW:
        return _with_8_bits(file, head, size)
    return _with_known_masks(file, head, size, bits, compression)


def _with_8_bits(file: IO[bytes], head: bytes, size: int) -> IO[bytes]:
    """Write indexes of 2 bits, which Windows CE has, as indexes of 8."""
    (offset,) = struct.unpack_from("<L", head, 10)
    width, height = struct.unpack_from("<ll", head, 18)
    stride = (width * 2 + 31) // 32 * 4
    data = file.read()
    if not 0 < width * abs(height) <= _MAX_PIXELS or len(data) < offset + stride * abs(height):
        file.seek(0)
        return file
    rows = np.frombuffer(data, np.uint8, stride * abs(height), offset).reshape(abs(height), stride, 1)
    indexes = (rows >> np.array([6, 4, 2, 0], np.uint8) & 3).reshape(abs(height), -1)[:, :width]
    pixels = np.pad(indexes, ((0, 0), (0, -width % 4))).tobytes()
    palette = data[14 + size : min(14 + size + 16, offset)].ljust(16, b"\0")
    info = struct.pack("<LllHHLLllLL", _FULL, width, height, 1, 8, _RAW, len(pixels), 0, 0, 4, 4)
    return io.BytesIO(b"BM" + struct.pack("<LLL", 70 + len(pixels), 0, 70) + info + palette + pixels)


def _with_known_masks(file: IO[bytes], head: bytes, size: int, bits: int, compression: int) -> IO[bytes]:
    """Rewrite pixels with masks of colours that Pillow does not know."""
    masks = struct.unpack_from("<4L", head.ljust(14 + _FULL + 16, b"\0"), 14 + _FULL)
    has_alpha = size >= 56 or compression == _ALPHA_BITFIELDS
    masks = masks if has_alpha else (*masks[:3], 0)
    known = (bits, *masks[:3]) in _KNOWN_MASKS and masks[3] in (0, 0xFF000000)
    usual = compression == _BITFIELDS and known
    if compression not in (_BITFIELDS, _ALPHA_BITFIELDS) or usual or bits not in (16, 32) or not all(masks[:3]):
        return file
    return _with_usual_masks(file, head, bits, masks)


def _with_full_header(file: IO[bytes], head: bytes, size: int) -> IO[bytes]:
    """Fill up the header of OS/2 2 to 40 bytes: fields that are missing are 0."""
    info = head[14 : 14 + min(size, _FULL)].ljust(_FULL, b"\0")
    data = file.read()
    (offset,) = struct.unpack_from("<L", head, 10)
    offset += _FULL - size if offset else 0
    body = data[:10] + struct.pack("<LL", offset, _FULL) + info[4:] + data[14 + size :]
    return io.BytesIO(body)


def _with_usual_masks(file: IO[bytes], head: bytes, bits: int, masks: tuple[int, ...]) -> IO[bytes]:
    """Write the pixels anew with 8 bits a colour, in the places where Pillow knows them."""
    (offset,) = struct.unpack_from("<L", head, 10)
    width, height = struct.unpack_from("<ll", head, 18)
    stride = (width * bits + 31) // 32 * 4
    if width <= 0 or height == 0 or width * abs(height) > _MAX_PIXELS:
        return file
    data = file.read()
    if len(data) < offset + stride * abs(height):
        file.seek(0)
        return file
    rows = np.frombuffer(data, np.uint8, stride * abs(height), offset).reshape(abs(height), stride)
    values = rows.view("<u2" if bits == 16 else "<u4")[:, :width]
    red, green, blue, alpha = (_eight_bits(values, mask) for mask in masks)
    opaque = np.full_like(red, 255)
    pixels = np.stack([blue, green, red, alpha if masks[3] else opaque], axis=-1).tobytes()
    info = bytearray(head[14 : 14 + _FULL].ljust(_FULL, b"\0"))
    struct.pack_into("<L", info, 0, 56)
    struct.pack_into("<HL", info, 14, 32, _BITFIELDS)
    struct.pack_into("<L", info, 20, len(pixels))
    info += struct.pack("<4L", 0xFF0000, 0xFF00, 0xFF, 0xFF000000 if masks[3] else 0)
    return io.BytesIO(b"BM" + struct.pack("<LLL", 70 + len(pixels), 0, 70) + bytes(info) + pixels)


def _eight_bits(values: np.ndarray, mask: int) -> np.ndarray:
    """Take the bits of a mask from the values and scale them to 0..255."""
    shift = (mask & -mask).bit_length() - 1 if mask else 0
    most = max(mask >> shift, 1)
    return np.round((values & mask) / (1 << shift) * (255 / most)).astype(np.uint8)
