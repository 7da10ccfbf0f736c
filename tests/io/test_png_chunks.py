"""PNG files whose pixels are whole, with chunks beside them that are not."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from ip2p_cli.errors import InputError
from ip2p_cli.io.images import Picture, picture_from_bytes, read_size
from ip2p_cli.io.provenance import read_record
from tests.io.pictures import smooth


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(before: bytes = b"", after: bytes = b"", end: bytes = chunk(b"IEND", b"")) -> bytes:
    """The picture `smooth()` with chunks before and after its pixels."""
    buffer = io.BytesIO()
    smooth().save(buffer, "PNG")
    whole = buffer.getvalue()
    return whole[:33] + before + whole[33:-12] + after + end


def read(data: bytes) -> Picture:
    picture = picture_from_bytes(data, Path("a.png"))
    assert np.array_equal(np.asarray(picture.rgb), np.asarray(smooth()))
    return picture


def compressed_text(name: bytes, size: int) -> bytes:
    rest = b"\0" if name == b"zTXt" else b"\1\0\0\0"
    return chunk(name, b"ip2p\0" + rest + zlib.compress(bytes(size)))


FRAME = struct.pack(">5I2H2B", 0, 48, 32, 0, 0, 1, 10, 0, 0)
CONTROL = chunk(b"acTL", struct.pack(">2I", 2, 0))
WRONG_CHECKSUM = chunk(b"tEXt", b"a\0b")[:-1] + b"!"
ODD = {
    "10 a text of 20 MB, packed": compressed_text(b"zTXt", 20_000_000),
    "10 a text of 20 MB, international": compressed_text(b"iTXt", 20_000_000),
    "10 texts of 70 MB": chunk(b"tEXt", b"a\0" + b"b" * 35_000_000) + chunk(b"tEXt", b"b\0" + b"b" * 35_000_000),
    "37 a profile with a wrong method": chunk(b"iCCP", b"x\0\1" + zlib.compress(b"profile")),
    "37 a profile that is cut": chunk(b"iCCP", b"x"),
    "37 a profile of 20 MB": chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(20_000_000))),
    "37 a text with a wrong method": chunk(b"zTXt", b"x\0\1abc"),
    "37 a wrong checksum": WRONG_CHECKSUM,
    "37 a resolution that is cut": chunk(b"pHYs", b"\0\0"),
    "37 an animation without frames": CONTROL,
    "37 an animation whose first number is 1": CONTROL + chunk(b"fcTL", b"\0\0\0\1" + FRAME[4:]),
    "37 a frame outside the picture": CONTROL + chunk(b"fcTL", FRAME[:4] + b"\0\0\1\0" + FRAME[8:]),
    "37 a frame that is cut": CONTROL + chunk(b"fcTL", FRAME[:9]),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("place", ["before", "after"])
def test_the_pixels_are_read_without_it(name: str, place: str) -> None:
    picture = read(png(**{place: ODD[name]}))
    assert len(picture.notes) == (2 if "texts" in name else 1), "the texts that could be read are not carried over"
    assert picture.notes[0].endswith("was left out")


def test_10_a_profile_of_1_2_mb_is_used() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    padded = struct.pack(">I", 1_200_000) + profile[4:] + os.urandom(1_200_000 - len(profile))
    picture = read(png(chunk(b"iCCP", b"x\0\0" + zlib.compress(padded))))
    assert picture.notes == ()


def test_10_the_limits_of_pillow_stay_as_they_are() -> None:
    before = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    read(png(compressed_text(b"zTXt", 2_000_000)))
    assert before == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)


@pytest.mark.parametrize("end", [b"", chunk(b"IEND", b"")[:3], chunk(b"IEND", b"")[:10], b"\0\0\0\0IENX"])
def test_37_a_cut_end(end: bytes, tmp_path: Path) -> None:
    read(png(end=end))
    (tmp_path / "a.png").write_bytes(png(before=WRONG_CHECKSUM, end=end))
    assert read_size(tmp_path / "a.png") == smooth().size
    assert read_record(tmp_path / "a.png") is None


def test_a_whole_animation_keeps_its_count(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert picture_from_bytes((tmp_path / "a.png").read_bytes(), Path("a.png")).notes == ("first of 2 frames",)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6))
def test_any_change_of_bytes_is_a_picture_or_one_line(changes: list[tuple[int, int]]) -> None:
    before = CONTROL + chunk(b"fcTL", FRAME) + compressed_text(b"zTXt", 99)
    data = bytearray(png(before=before, after=WRONG_CHECKSUM))
    for place, value in changes:
        data[place % len(data)] = value
    message = ""
    try:
        picture_from_bytes(bytes(data), Path("a.png"))
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
