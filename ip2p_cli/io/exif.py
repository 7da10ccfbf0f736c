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

ORIENTATION, EXIF, GPS = 0x0112, 0x8769, 0x8825
XMP, USER_COMMENT = 0x02BC, 0x9286
_MAKER_NOTE, _COLOUR_SPACE, _WIDTH, _HEIGHT, _INTEROP = 0x927C, 0xA001, 0xA002, 0xA003, 0xA005

_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 1, 3, 4, 5, 7
# By type: the bytes of one value, and the bytes of the words in it that the byte order applies to.
_SIZES = MappingProxyType({1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4})
_WORDS = MappingProxyType({3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4})

# Tags of a main directory that say how a TIFF file stores and colours its pixels; previews; other metadata than EXIF.
_STRUCTURE = frozenset(
    [
        *(*range(254, 260), 262, 263, 266, 273, *range(277, 282), 284, *range(288, 294), 297, 301),
        *(*range(317, 328), 330, *range(332, 335), *range(336, 348), *range(512, 522), *range(529, 533), XMP),
        *(33723, 34377, 34675, 37724, 50706, 50707, *range(50710, 50742), *range(50778, 50782), 50829, 50830),
    ]
)


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
    remaining = [MAX_BYTES]
    main = _read_directory(data, order, struct.unpack_from(f"{order}L", data, 4)[0], remaining)
    if main is None:
        raise ValueError("the directory lies outside the EXIF block")
    below = []
    for tag in (EXIF, GPS):
        pointer = main.pop(tag, None)
        at = int.from_bytes(pointer.data, "little") if pointer and len(pointer.data) == 4 else 0
        below.append(_read_directory(data, order, at, remaining) or {})
    exif = {tag: entry for tag, entry in below[0].items() if tag not in (_MAKER_NOTE, _INTEROP)}
    return Block(main=main, exif=exif, gps=below[1])


def _read_directory(data: bytes, order: str, at: int, remaining: list[int]) -> dict[int, Entry] | None:
    """Read the entries at offset `at`, at most `remaining[0]` bytes of values; None where no directory can be."""
    if not 8 <= at <= len(data) - 6:
        return None
    entries: dict[int, Entry] = {}
    (count,) = struct.unpack_from(f"{order}H", data, at)
    for start in range(at + 2, min(at + 2 + 12 * count, len(data) - 11), 12):
        tag, type_, number, offset = struct.unpack_from(f"{order}HHLL", data, start)
        size = _SIZES.get(type_, 0) * number
        place = start + 8 if size <= 4 else offset
        if tag in entries or not 0 < size <= remaining[0] or place + size > len(data):
            continue
        remaining[0] -= size
        value = data[place : place + size]
        entries[tag] = Entry(type_, number, _swapped(value, _WORDS.get(type_, 1)) if order == ">" else value)
    return entries


def _swapped(data: bytes, word: int) -> bytes:
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
        directories = (block.main, block.exif, block.gps)
        largest = max((entry for part in directories for entry in part.values()), key=lambda entry: len(entry.data))
        main, exif, gps = ({tag: e for tag, e in part.items() if e is not largest} for part in directories)
        block = Block(main=main, exif=exif, gps=gps)
    return b""


def add_to_tiff(tiff: bytes, block: Block) -> bytes:
    """Add the entries of a block to the first directory of a little-endian TIFF file; the file's own entries win.

    The new directory goes to the end of the file, so that nothing in it moves.
    """
    body = tiff + b"\0" * (len(tiff) % 2)
    added = _layout(replace(block, main={**block.main, **parse(tiff).main}), len(body))
    return body[:4] + struct.pack("<L", len(body)) + body[8:] + added


def _layout(block: Block, base: int) -> bytes:
    """Lay out the directories, the main one first, as they stand in a file from byte `base` on."""
    main = dict(block.main)
    below = [(tag, part) for tag, part in ((EXIF, block.exif), (GPS, block.gps)) if part]
    main |= {tag: Entry(_LONG, 1, bytes(4)) for tag, _ in below}
    out = bytearray(_length(main))
    for tag, part in below:
        out += bytes(len(out) % 2)
        main[tag] = Entry(_LONG, 1, struct.pack("<L", base + len(out)))
        out += bytes(_length(part))
        _write_directory(out, len(out) - _length(part), part, base)
    _write_directory(out, 0, main, base)
    return bytes(out)


def _write_directory(out: bytearray, at: int, entries: Directory, base: int) -> None:
    """Write a directory into the room kept at `at`; values of more than four bytes go to the end of `out`."""
    struct.pack_into("<H", out, at, len(entries))
    for row, (tag, entry) in enumerate(sorted(entries.items())):
        value = entry.data.ljust(4, b"\0")
        if len(entry.data) > 4:
            out += bytes(len(out) % 2)
            value = struct.pack("<L", base + len(out))
            out += entry.data
        struct.pack_into("<HHL4s", out, at + 2 + 12 * row, tag, entry.type, entry.number, value)


def _length(entries: Directory) -> int:
    return 2 + 12 * len(entries) + 4


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
    main, exif = dict(without(block, *_STRUCTURE).main), dict(block.exif)
    for entries, tag in ((main, ORIENTATION), (exif, _COLOUR_SPACE)):
        if tag in entries:
            entries[tag] = Entry(_SHORT, 1, struct.pack("<H", 1))
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
    return replace(block, main={**block.main, 282: across, 283: down, 296: Entry(_SHORT, 1, struct.pack("<H", 2))})


def without(block: Block, *tags: int) -> Block:
    """Remove tags from the main directory."""
    return replace(block, main={tag: entry for tag, entry in block.main.items() if tag not in tags})
