"""BMP files of old and rare kinds, made from bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ip2p_cli.errors import InputError
from ip2p_cli.io.images import picture_from_bytes

WIDTH, HEIGHT = 5, 3
LEVELS = np.random.default_rng(0).integers(0, 2, (HEIGHT, WIDTH, 3)) * 255  # exact at any number of bits


def packed(bits: int, masks: tuple[int, ...]) -> np.ndarray:
    values = np.zeros((HEIGHT, WIDTH), np.uint32)
    for band, mask in enumerate(masks[:3]):
        values |= np.where(LEVELS[..., band] > 0, mask, 0).astype(np.uint32)
    if len(masks) > 3:
        values |= np.uint32(masks[3])
    return values.astype("<u2" if bits == 16 else "<u4")


def rows(values: np.ndarray, top_down: bool = False) -> bytes:
    lines = [line.tobytes() for line in (values if top_down else values[::-1])]
    return b"".join(line + bytes(-len(line) % 4) for line in lines)


def bmp(info: bytes, body: bytes, extra: bytes = b"") -> bytes:
    offset = 14 + len(info) + len(extra)
    return b"BM" + struct.pack("<LLL", offset + len(body), 0, offset) + info + extra + body


def info(bits: int, compression: int = 0, *, size: int = 40, height: int = HEIGHT, rest: bytes = b"") -> bytes:
    fields = struct.pack("<LllHHLLllLL", size, WIDTH, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return (fields + rest).ljust(size, b"\0")[:size]


BLUE_FIRST = rows(LEVELS[..., ::-1].astype(np.uint8))
INDEXES = (LEVELS[..., 0] > 0).astype(np.uint8)
GREY = np.repeat(LEVELS[..., :1], 3, axis=-1)
PALETTE = bytes(4) + b"\xff\xff\xff\0" + bytes(254 * 4)


def masks(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}L", *values)


def run_length() -> bytes:
    lines = [b"".join(bytes([1, int(index)]) for index in line) for line in INDEXES[::-1]]
    return b"\0\0".join(lines) + b"\0\1"


def pairs_of_indexes() -> bytes:
    """RLE4: a run that alternates between two indexes, then indexes as they are, then the end of each line."""
    lines = []
    for line in INDEXES[::-1]:
        a, b, c, d, e = (int(index) for index in line)
        lines.append(bytes([2, a << 4 | b, 0, 3, c << 4 | d, e << 4]))
    return b"\0\0".join(lines) + b"\0\1"


def quarters() -> np.ndarray:
    """Indexes of 2 bits, four to a byte, from the left."""
    padded = np.pad(INDEXES, ((0, 0), (0, -WIDTH % 4))).reshape(HEIGHT, -1, 4)
    return (padded << np.array([6, 4, 2, 0])).sum(-1).astype(np.uint8)


NIBBLES = (0xF00, 0xF0, 0xF)
OUTSIDE = (0x3FF00000, 0xFFC00, 0x3FF)
COLOUR = {
    "OS/2 1": bmp(struct.pack("<LHHHH", 12, WIDTH, HEIGHT, 1, 24), BLUE_FIRST),
    "OS/2 2, cut to 16 bytes": bmp(info(24, size=16), BLUE_FIRST),
    "OS/2 2, cut to 24 bytes": bmp(info(24, size=24), BLUE_FIRST),
    "OS/2 2, whole": bmp(info(24, size=64), BLUE_FIRST),
    "top down": bmp(info(24, height=-HEIGHT), rows(LEVELS[..., ::-1].astype(np.uint8), top_down=True)),
    "555": bmp(info(16), rows(packed(16, (0x7C00, 0x3E0, 0x1F)))),
    "565": bmp(info(16, 3), rows(packed(16, (0xF800, 0x7E0, 0x1F))), masks(0xF800, 0x7E0, 0x1F)),
    "444": bmp(info(16, 3), rows(packed(16, NIBBLES)), masks(*NIBBLES)),
    "444, top down": bmp(info(16, 3, height=-HEIGHT), rows(packed(16, NIBBLES), top_down=True), masks(*NIBBLES)),
    "10 bits a colour": bmp(info(32, 3), rows(packed(32, OUTSIDE)), masks(*OUTSIDE)),
    "10 bits a colour, version 5": bmp(info(32, 3, size=124, rest=masks(*OUTSIDE, 0)), rows(packed(32, OUTSIDE))),
    "red first": bmp(info(32, 3), rows(packed(32, (0xFF, 0xFF00, 0xFF0000))), masks(0xFF, 0xFF00, 0xFF0000)),
    "4444 with alpha": bmp(info(16, 6), rows(packed(16, (*NIBBLES, 0xF000))), masks(*NIBBLES, 0xF000)),
}
TWO_COLOURS = {
    "8 bits": bmp(info(8), rows(INDEXES), PALETTE),
    "run length": bmp(info(8, 1), run_length(), PALETTE),
    "run length of 4 bits": bmp(info(4, 2), pairs_of_indexes(), PALETTE[:64]),
    "2 bits": bmp(info(2), rows(quarters()), PALETTE[:16]),
    "2 bits, top down": bmp(info(2, height=-HEIGHT), rows(quarters(), top_down=True), PALETTE[:16]),
    "2 bits, version 5, two colours": bmp(info(2, size=124), rows(quarters()), PALETTE[:8]),
    "OS/2 1, palette of 3 bytes": bmp(
        struct.pack("<LHHHH", 12, WIDTH, HEIGHT, 1, 8), rows(INDEXES), bytes(3) + b"\xff" * 3 + bytes(254 * 3)
    ),
}


ALL = COLOUR | TWO_COLOURS


@pytest.mark.parametrize("name", ALL)
def test_37_old_kinds_of_bmp(name: str) -> None:
    picture = picture_from_bytes(ALL[name], Path("a.bmp"))
    assert np.array_equal(np.asarray(picture.rgb), LEVELS if name in COLOUR else GREY)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (info(24, 4, size=64), "run lengths of 24 bits"),
        (info(24, 4, size=24), "run lengths of 24 bits"),
        (info(1, 3, size=64), "compressed as fax (Huffman)"),
        (info(0, 4), "a JPEG inside"),
        (info(0, 5, size=124), "a PNG inside"),
        (info(32, 11, size=124), "CMYK"),
    ],
)
def test_kinds_of_bmp_that_are_not_read_are_named(header: bytes, name: str) -> None:
    with pytest.raises(InputError) as refusal:
        picture_from_bytes(bmp(header, bytes(99)), Path("a.bmp"))
    assert str(refusal.value) == f"a.bmp: this layout of BMP ({name}) is not read: save it as PNG first"


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(ALL)), st.lists(st.tuples(st.integers(2, 70), st.integers(0, 255)), max_size=6))
def test_any_change_of_a_header_is_a_picture_or_one_line(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(ALL[name])
    for place, value in changes:
        data[place % len(data)] = value
    message = ""
    try:
        picture_from_bytes(bytes(data), Path("a.bmp"))
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
