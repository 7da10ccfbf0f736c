"""EXIF as a photo brought it: read and written entry by entry, so that what is not understood stays as it was.

An EXIF block is a small TIFF file: directories of (tag, type, count, value); CIPA DC-008 and TIFF 6.0 say how. Pillow's
own writer loses text that is not ASCII, unknown types, and, in compressed TIFFs, the whole block.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

# Bytes of values read from one block, whatever it claims: the largest real ones are notes of cameras of some 100 KB.
MAX_BYTES = 1_000_000

ORIENTATION, EXIF, GPS, INTEROP = 0x0112, 0x8769, 0x8825, 0xA005
XMP, MAKER_NOTE, USER_COMMENT = 0x02BC, 0x927C, 0x9286
_COLOUR_SPACE, _WIDTH, _HEIGHT, _INTEROP_INDEX = 0xA001, 0xA002, 0xA003, 0x0001

_BYTE, _SHORT, _LONG, _UNDEFINED = 1, 3, 4, 7
_SIZES = MappingProxyType({1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4})
_WORDS = MappingProxyType({3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4})  # what a byte order turns round

# Of a TIFF's main directory: how its pixels are stored and coloured, which its new file says anew; previews; and
# metadata other than EXIF (XMP, IPTC, Photoshop, ICC).
_STRUCTURE = frozenset(
    [
        *(*range(254, 260), 262, 263, 266, 273, *range(277, 282), 284, *range(288, 294), 297, 301),
        *(*range(317, 328), 330, *range(332, 335), *range(336, 348), *range(512, 522), *range(529, 533), XMP),
        *(33723, 34377, 34675, 37724, 50706, 50707, *range(50710, 50742), *range(50778, 50782), 50829, 50830),
    ]
)


class Entry(NamedTuple):
    """One value: its TIFF type, how many, and the bytes in its block's byte order."""

    type: int
    number: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Block:
    """The directories of one EXIF block. order: "<" or ">". maker_note_at: where the camera's own note stood."""

    order: str = "<"
    main: Mapping[int, Entry] = field(default_factory=dict)
    exif: Mapping[int, Entry] = field(default_factory=dict)
    gps: Mapping[int, Entry] = field(default_factory=dict)
    interop: Mapping[int, Entry] = field(default_factory=dict)
    maker_note_at: int | None = None


def parse(data: bytes) -> Block:
    """Read an EXIF block, with or without "Exif\\0\\0" before it, or a whole TIFF file.

    Values that lie outside of the data are left out. Raises ValueError where there is no first directory.
    """
    data = re.sub(rb"\A(Exif\0\0){1,2}", b"", data)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 14:
        raise ValueError("no EXIF block")
    budget = [MAX_BYTES]
    main = _directory(data, order, _number(data, order, 4), budget)
    places: dict[int, int] = {}
    exif = _below(data, order, main.pop(EXIF, None), budget, places)
    gps = _below(data, order, main.pop(GPS, None), budget)
    interop = _below(data, order, exif.pop(INTEROP, None), budget)
    return Block(order=order, main=main, exif=exif, gps=gps, interop=interop, maker_note_at=places.get(MAKER_NOTE))


def _number(data: bytes, order: str, at: int) -> int:
    return int(struct.unpack_from(f"{order}L", data, at)[0])


def _below(
    data: bytes, order: str, pointer: Entry | None, budget: list[int], places: dict[int, int] | None = None
) -> dict[int, Entry]:
    if pointer is None or len(pointer.data) != 4:
        return {}
    try:
        return _directory(data, order, _number(pointer.data, order, 0), budget, places)
    except ValueError:
        return {}


def _directory(
    data: bytes, order: str, at: int, budget: list[int], places: dict[int, int] | None = None
) -> dict[int, Entry]:
    """The entries of the directory at `at`; what they hold is taken off `budget[0]`. places: tag -> offset."""
    if not 8 <= at <= len(data) - 6:
        raise ValueError("the directory lies outside of the EXIF block")
    entries: dict[int, Entry] = {}
    (count,) = struct.unpack_from(f"{order}H", data, at)
    for start in range(at + 2, min(at + 2 + 12 * count, len(data) - 11), 12):
        tag, kind, number = struct.unpack_from(f"{order}HHL", data, start)
        size = _SIZES.get(kind, 0) * number
        place = start + 8 if size <= 4 else _number(data, order, start + 8)
        if tag in entries or not 0 < size <= budget[0] or place + size > len(data):
            continue
        budget[0] -= size
        entries[tag] = Entry(kind, number, data[place : place + size])
        if places is not None:
            places[tag] = place
    return entries


def build(block: Block) -> bytes:
    """Write a block, "Exif\\0\\0" and all; without any entry b"".

    The camera's own note stays at its offset: many hold offsets of their own, counted from the start of the block.
    """
    if not (block.main or block.exif or block.gps):
        return b""
    head = b"II*\0" if block.order == "<" else b"MM\0*"
    return b"Exif\0\0" + head + struct.pack(f"{block.order}L", 8) + _layout(block, 8)


def into_tiff(tiff: bytes, block: Block) -> bytes:
    """Add the entries of a block to the first directory of a TIFF file; the file's own entries win.

    The new directory goes to the end of the file, so that nothing in it moves.
    """
    own = parse(tiff)
    block = _in_order(block, own.order)
    body = tiff + b"\0" * (len(tiff) % 2)
    main = {**block.main, **own.main}
    added = _layout(replace(block, main=main, maker_note_at=None), len(body))
    return body[:4] + struct.pack(f"{own.order}L", len(body)) + body[8:] + added


def _in_order(block: Block, order: str) -> Block:
    if block.order == order:
        return block

    def turned(entries: Mapping[int, Entry]) -> dict[int, Entry]:
        return {tag: entry._replace(data=_turned(entry)) for tag, entry in entries.items()}

    return replace(
        block,
        order=order,
        main=turned(block.main),
        exif=turned(block.exif),
        gps=turned(block.gps),
        interop=turned(block.interop),
    )


def _turned(entry: Entry) -> bytes:
    word = _WORDS.get(entry.type, 1)
    return b"".join(entry.data[at : at + word][::-1] for at in range(0, len(entry.data), word))


def _layout(block: Block, base: int) -> bytes:
    """Directories and values as they stand in a file from byte `base` on: the main directory first."""
    pointer = Entry(_LONG, 1, bytes(4))
    exif = dict(block.exif) | ({INTEROP: pointer} if block.interop else {})
    main = dict(block.main) | ({EXIF: pointer} if exif else {}) | ({GPS: pointer} if block.gps else {})
    note = block.exif.get(MAKER_NOTE)
    pinned = block.maker_note_at
    if note is None or pinned is None or not base + _length(main) <= pinned < 2**16:
        pinned = None
    out = bytearray(_length(main))
    if note is not None and pinned is not None:
        out.extend(bytes(pinned + len(note.data) - base - len(out)))
        out[pinned - base :] = note.data
    free = [(_length(main), (pinned or base) - base)]  # the gap before the note that was put first

    def place(data: bytes) -> int:
        """Put bytes where there is room, at an even offset; returns the offset."""
        at, end = free[0]
        if at + len(data) <= end:
            out[at : at + len(data)] = data
            free[0] = (at + len(data) + len(data) % 2, end)
            return base + at
        out.extend(b"\0" * (len(out) % 2) + data)
        return base + len(out) - len(data)

    def directory(entries: Mapping[int, Entry], skip: int | None = None) -> bytes:
        rows = []
        for tag, entry in sorted(entries.items()):
            if len(entry.data) <= 4:
                value = entry.data.ljust(4, b"\0")
            else:
                value = struct.pack(f"{block.order}L", pinned if tag == skip and pinned else place(entry.data))
            rows.append(struct.pack(f"{block.order}HHL", tag, entry.type, entry.number) + value)
        return struct.pack(f"{block.order}H", len(rows)) + b"".join(rows) + bytes(4)

    def below(entries: Mapping[int, Entry], skip: int | None = None) -> Entry:
        return pointer._replace(data=struct.pack(f"{block.order}L", place(directory(entries, skip))))

    if block.interop:
        exif[INTEROP] = below(block.interop)
    if exif:
        main[EXIF] = below(exif, MAKER_NOTE)
    if block.gps:
        main[GPS] = below(block.gps)
    head = directory(main)
    out[: len(head)] = head
    return bytes(out)


def _length(entries: Iterable[int]) -> int:
    return 2 + 12 * sum(1 for _ in entries) + 4


def upright(data: bytes) -> bytes | None:
    """A photo's EXIF as it holds for the pixels that `read_image` gives; None where nothing is left.

    data: the block, or a whole TIFF file. Orientation becomes 1, the colour space sRGB; the thumbnail's directory and
    everything about how a TIFF stores its pixels go; the rest stays, the camera's own note and GPS included.
    Raises ValueError if it cannot be read.
    """
    block = parse(data)
    main = {tag: entry for tag, entry in block.main.items() if tag not in _STRUCTURE}
    exif = dict(block.exif)
    if ORIENTATION in main:
        main[ORIENTATION] = _short(block, 1)
    if _COLOUR_SPACE in exif:
        exif[_COLOUR_SPACE] = _short(block, 1)
    adobe_rgb = block.interop.get(_INTEROP_INDEX, Entry(2, 0, b"")).data.startswith(b"R03")
    interop = {} if adobe_rgb else block.interop
    return build(replace(block, main=main, exif=exif, interop=interop)) or None


def _short(block: Block, value: int) -> Entry:
    return Entry(_SHORT, 1, struct.pack(f"{block.order}H", value))


def strip_location(exif: bytes) -> bytes:
    """EXIF without where the photo was taken; b"" where nothing is left.

    Drops the GPS directory, and the camera's own note, in which some makers write places in ways that nobody lists.
    What cannot be read is dropped whole.
    """
    try:
        block = parse(exif)
    except ValueError:
        return b""
    kept = {tag: entry for tag, entry in block.exif.items() if tag != MAKER_NOTE}
    main = {tag: entry for tag, entry in block.main.items() if tag != XMP}
    return build(replace(block, main=main, exif=kept, gps={}))


def with_size(block: Block, size: tuple[int, int]) -> Block:
    """The block with its width and height, where it says them, made those of the picture to be written."""
    said = {tag: value for tag, value in zip((_WIDTH, _HEIGHT), size, strict=True) if tag in block.exif}
    new = {tag: Entry(_LONG, 1, struct.pack(f"{block.order}L", value)) for tag, value in said.items()}
    return replace(block, exif={**block.exif, **new})


def with_comment(block: Block, text: str) -> Block:
    """The block with `text` as its UserComment, in UTF-16 (big-endian, as other tools write and expect it)."""
    data = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    return replace(block, exif={**block.exif, USER_COMMENT: Entry(_UNDEFINED, len(data), data)})


def with_xmp(block: Block, packet: bytes) -> Block:
    """The block with an XMP packet in its main directory: its place in a TIFF file."""
    return replace(block, main={**block.main, XMP: Entry(_BYTE, len(packet), packet)})


def without_orientation(block: Block) -> Block:
    """The block without the tag that says which side is up: upright, as when the tag is 1."""
    return replace(block, main={tag: entry for tag, entry in block.main.items() if tag != ORIENTATION})


def fitted(block: Block, limit: int | None) -> bytes:
    """Write a block in at most `limit` bytes: where it is larger, its largest values go, one after the other."""
    data = build(block)
    while limit is not None and len(data) > limit:
        largest = max((entry for part in _parts(block) for entry in part.values()), key=lambda e: len(e.data))
        main, exif, gps, interop = (
            {tag: entry for tag, entry in part.items() if entry is not largest} for part in _parts(block)
        )
        # The camera's own note need not stay at an offset that alone may be beyond the limit.
        block = replace(block, main=main, exif=exif, gps=gps, interop=interop, maker_note_at=None)
        data = build(block)
    return data


def _parts(block: Block) -> tuple[Mapping[int, Entry], ...]:
    return block.main, block.exif, block.gps, block.interop
