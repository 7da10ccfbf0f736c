"""EXIF of photos: read, made true for the picture that is written, and written again.

An EXIF block is a small TIFF file: directories of (tag, type, count, value), see CIPA DC-008 and TIFF 6.0. The values
are copied as bytes, because Pillow's writer loses text that is not ASCII, types that it does not know, and, in
compressed TIFF files, everything below the main directory.

Dropped on purpose: the thumbnail, which shows the photo before the edit; the interoperability directory, which names a
colour space; and the camera's own MakerNote, whose offsets and byte order hold only in the original file, and in which
some makers store places. Blocks are written in little-endian order.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

# The most bytes of values that are read from one block, whatever it claims.
MAX_BYTES = 1_000_000

# Tags of the main directory; EXIF and GPS hold where the directories below it begin.
ORIENTATION, XMP, EXIF, GPS = 0x0112, 0x02BC, 0x8769, 0x8825
_ACROSS, _DOWN, _UNIT = 282, 283, 296
_PER_INCH = 2
# Tags of the EXIF directory.
USER_COMMENT = 0x9286
_MAKER_NOTE, _COLOUR_SPACE, _WIDTH, _HEIGHT, _INTEROP = 0x927C, 0xA001, 0xA002, 0xA003, 0xA005
_UPRIGHT = _SRGB = 1

_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 1, 3, 4, 5, 7
# By type: the bytes of one value, and the bytes of the words in it that the byte order applies to.
_SIZES = MappingProxyType({1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4})
_WORDS = MappingProxyType({3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4})
_LARGEST_INLINE = 4  # bytes of a value that stands in its row; a larger one stands elsewhere
_COUNT = 2  # bytes in front of a directory's rows
_ROW = 12
_NEXT = 4  # bytes behind the rows: where the next directory begins, 0 for none

# Tags of a main directory that are not about the photo.
_PIXELS_OF_TIFF = (*range(254, 260), 262, 263, 266, 273, *range(277, 282), 284, *range(288, 294), 297, 301)
_COLOURS_OF_TIFF = (*range(317, 328), 330, *range(332, 335), *range(336, 348), *range(529, 533))
_PREVIEWS = (*range(512, 522),)
_OTHER_METADATA = (XMP, 33723, 34377, 34675, 37724)  # IPTC, Photoshop's, the colour profile, Photoshop's layers
_RAW_FILES = (50706, 50707, *range(50710, 50742), *range(50778, 50782), 50829, 50830)
_STRUCTURE = frozenset({*_PIXELS_OF_TIFF, *_COLOURS_OF_TIFF, *_PREVIEWS, *_OTHER_METADATA, *_RAW_FILES})


class Entry(NamedTuple):
    """One value: its TIFF type, the number of values in it, and its bytes in little-endian order."""

    type: int
    number: int
    data: bytes


Directory = Mapping[int, Entry]


@dataclass(frozen=True, kw_only=True)
class Block:
    """The directories of an EXIF block: entries by their tags."""

    main: Directory = field(default_factory=dict)
    exif: Directory = field(default_factory=dict)
    gps: Directory = field(default_factory=dict)


def parse(data: bytes) -> Block:
    r"""Read an EXIF block, with or without "Exif\0\0" in front, or a whole TIFF file.

    Values that lie outside the data are left out.

    Raises:
        ValueError: There is no main directory.
    """
    data = re.sub(rb"\A(Exif\0\0){1,2}", b"", data)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 14:
        raise ValueError("no EXIF block")
    reader = _Reader(data, order)
    main = reader.directory(struct.unpack_from(f"{order}L", data, 4)[0])
    if main is None:
        raise ValueError("the directory lies outside the EXIF block")
    exif, gps = (reader.directory(_offset(main.pop(tag, None))) or {} for tag in (EXIF, GPS))
    return Block(main=main, exif=_without(exif, _MAKER_NOTE, _INTEROP), gps=gps)


class _Reader:
    """Reads the directories of a block, at most `MAX_BYTES` of values from all of them.

    Args:
        data: The block, from its byte order on.
        order: The byte order, as struct calls it.
    """

    def __init__(self, data: bytes, order: str) -> None:
        self._data, self._order, self._remaining = data, order, MAX_BYTES

    def directory(self, at: int) -> dict[int, Entry] | None:
        """Read the directory at offset `at`; None where no directory can be."""
        first, last = 8, len(self._data) - _COUNT - _NEXT
        if not first <= at <= last:
            return None
        (count,) = struct.unpack_from(f"{self._order}H", self._data, at)
        rows = at + _COUNT
        end = min(rows + _ROW * count, len(self._data) - _ROW + 1)
        entries: dict[int, Entry] = {}
        for row in range(rows, end, _ROW):
            tag, type_, number = struct.unpack_from(f"{self._order}HHL", self._data, row)
            value = b"" if tag in entries else self._value(row, type_, number)
            if value:
                entries[tag] = Entry(type_, number, value)
        return entries

    def _value(self, row: int, type_: int, number: int) -> bytes:
        """Return the value of a row in little-endian order; b"" where it is unknown, too large or outside the data."""
        size, place = _SIZES.get(type_, 0) * number, row + 8
        if size > _LARGEST_INLINE:
            (place,) = struct.unpack_from(f"{self._order}L", self._data, place)
        if size > self._remaining or place + size > len(self._data):
            return b""
        self._remaining -= size
        value = self._data[place : place + size]
        return value if self._order == "<" else _swapped(value, _WORDS.get(type_, 1))


def _offset(pointer: Entry | None) -> int:
    """Return where an entry says that a directory begins; 0, where none can be, for any other entry."""
    return int.from_bytes(pointer.data, "little") if pointer and len(pointer.data) == 4 else 0


def _swapped(data: bytes, word: int) -> bytes:
    """Reverse the bytes of each word."""
    return b"".join(data[at : at + word][::-1] for at in range(0, len(data), word))


def build(block: Block, limit: int | None = None) -> bytes:
    r"""Write an EXIF block, "Exif\0\0" included; an empty one is b"".

    Args:
        block: What to write.
        limit: The most bytes; where there are more, the largest values are left out, one after the other.
    """
    while block.main or block.exif or block.gps:
        data = b"Exif\0\0II*\0" + struct.pack("<L", 8) + _layout(block, 8)
        if limit is None or len(data) <= limit:
            return data
        block = _without_largest(block)
    return b""


def _without_largest(block: Block) -> Block:
    """Leave out the largest value of a block that has any."""
    entries = (entry for part in (block.main, block.exif, block.gps) for entry in part.values())
    largest = max(entries, key=lambda entry: len(entry.data))
    main, exif, gps = (
        {tag: entry for tag, entry in part.items() if entry is not largest}
        for part in (block.main, block.exif, block.gps)
    )
    return Block(main=main, exif=exif, gps=gps)


def add_to_tiff(tiff: bytes, block: Block) -> bytes:
    """Add the entries of a block to the first directory of a little-endian TIFF file; the file's own entries win.

    The new directory goes to the end of the file, so that nothing in it moves.
    """
    body = tiff + b"\0" * (len(tiff) % 2)
    added = _layout(replace(block, main={**block.main, **parse(tiff).main}), len(body))
    return body[:4] + struct.pack("<L", len(body)) + body[8:] + added


def _layout(block: Block, base: int) -> bytes:
    """Lay out the directories, the main one first, as they stand in a file from byte `base` on."""
    below = {tag: part for tag, part in ((EXIF, block.exif), (GPS, block.gps)) if part}
    pointers = {tag: Entry(_LONG, 1, bytes(4)) for tag in below}
    main = {**block.main, **pointers}
    out = bytearray(_length(main))  # filled in last, when it is known where the others begin
    for tag, part in below.items():
        out += bytes(len(out) % 2)
        start = len(out)
        main[tag] = Entry(_LONG, 1, struct.pack("<L", base + start))
        out += bytes(_length(part))
        _write_directory(out, start, part, base)
    _write_directory(out, 0, main, base)
    return bytes(out)


def _write_directory(out: bytearray, at: int, entries: Directory, base: int) -> None:
    """Write a directory into the room kept at `at`; values that are too large for their row go to the end of `out`."""
    struct.pack_into("<H", out, at, len(entries))
    for index, (tag, entry) in enumerate(sorted(entries.items())):
        value = entry.data.ljust(_LARGEST_INLINE, b"\0")
        if len(entry.data) > _LARGEST_INLINE:
            out += bytes(len(out) % 2)
            value = struct.pack("<L", base + len(out))
            out += entry.data
        struct.pack_into("<HHL4s", out, at + _COUNT + _ROW * index, tag, entry.type, entry.number, value)


def _length(entries: Directory) -> int:
    """Return the bytes of a directory, without the values that stand elsewhere."""
    return _COUNT + _ROW * len(entries) + _NEXT


def upright(data: bytes) -> bytes:
    """Make a photo's EXIF true for the pixels that `read_image` gives.

    Orientation becomes 1 and the colour space sRGB; what describes how a TIFF stores its pixels is dropped.

    Args:
        data: The EXIF block, or a whole TIFF file.

    Returns:
        The new block; b"" where nothing is left.

    Raises:
        ValueError: The EXIF cannot be read.
    """
    block = parse(data)
    main, exif = _without(block.main, *_STRUCTURE), dict(block.exif)
    if ORIENTATION in main:
        main[ORIENTATION] = _short(_UPRIGHT)
    if _COLOUR_SPACE in exif:
        exif[_COLOUR_SPACE] = _short(_SRGB)
    return build(replace(block, main=main, exif=exif))


def strip_location(exif: bytes) -> bytes:
    """Remove where the photo was taken; b"" where nothing is left or the EXIF cannot be read."""
    try:
        block = parse(exif)
    except ValueError:
        return b""
    return build(replace(without(block, XMP), gps={}))


def for_output(exif: bytes | None, size: tuple[int, int], *, comment: str | None, xmp: bytes | None) -> Block:
    """Make the EXIF of a picture to be written.

    Args:
        exif: The photo's EXIF; what cannot be read is left out.
        size: The width and height of the picture, which replace those in the EXIF.
        comment: The UserComment, if any: written in UTF-16 (big-endian, as other tools expect it).
        xmp: An XMP packet, if any: its place in a TIFF file is the main directory.
    """
    block = Block()
    if exif:
        with contextlib.suppress(ValueError):
            block = parse(exif)
    main, below = dict(block.main), dict(block.exif)
    for tag, side in zip((_WIDTH, _HEIGHT), size, strict=True):
        if tag in below:
            below[tag] = Entry(_LONG, 1, struct.pack("<L", side))
    if comment is not None:
        data = b"UNICODE\0" + comment.encode("utf-16-be", "replace")
        below[USER_COMMENT] = Entry(_UNDEFINED, len(data), data)
    if xmp is not None:
        main[XMP] = Entry(_BYTE, len(xmp), xmp)
    return replace(block, main=main, exif=below)


def with_density(block: Block, density: tuple[float, float]) -> Block:
    """Set the resolution of the main directory, in pixels per inch across and down."""
    across, down = (Entry(_RATIONAL, 1, struct.pack("<LL", round(value * 100), 100)) for value in density)
    return replace(block, main={**block.main, _ACROSS: across, _DOWN: down, _UNIT: _short(_PER_INCH)})


def without(block: Block, *tags: int) -> Block:
    """Remove tags from the main directory."""
    return replace(block, main=_without(block.main, *tags))


def _without(entries: Directory, *tags: int) -> dict[int, Entry]:
    return {tag: entry for tag, entry in entries.items() if tag not in tags}


def _short(value: int) -> Entry:
    return Entry(_SHORT, 1, struct.pack("<H", value))
