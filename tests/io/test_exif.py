"""EXIF: what a camera wrote comes through, made true for the picture as it is now."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ip2p_cli.io import exif as blocks
from ip2p_cli.io.exif import Block, Entry, add_to_tiff, build, parse, strip_location, upright
from ip2p_cli.io.images import read_image
from tests.io.pictures import write_image

FORMATS = ["png", "jpg", "webp", "tiff", "avif"]
MAKE, MODEL, DESCRIPTION, ARTIST = 271, 272, 270, 315
TAKEN, WIDTH, NOTE, COMMENT = 0x9003, 0xA002, 0x927C, 0x9286


def camera_exif() -> bytes:
    """As a camera writes it: orientation, GPS, a note of its own, a name that is not ASCII, a thumbnail."""
    exif = Image.Exif()
    exif[MAKE], exif[MODEL], exif[DESCRIPTION] = "Maker", "Model 1", "at the lake"
    exif[ARTIST] = "Jürgen".encode()
    exif[274] = 6
    exif[blocks.EXIF] = {
        TAKEN: "2020:01:02 03:04:05",
        WIDTH: 4000,
        0xA003: 3000,
        0xA001: 65535,
        NOTE: b"MAKERNOTE" * 9,
        0xA005: {1: "R03"},
    }
    exif[blocks.GPS] = {1: "N", 2: (47.0, 30.0, 15.5), 3: "E", 4: (9.0, 10.0, 11.0)}
    return with_thumbnail(exif.tobytes())


def with_thumbnail(data: bytes) -> bytes:
    """Link a second directory, with a JPEG in it, behind the first."""
    body = bytearray(data[6:])
    order = "<" if body[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}L", body, 4)
    (count,) = struct.unpack_from(f"{order}H", body, first)
    at = len(body)
    struct.pack_into(f"{order}L", body, first + 2 + 12 * count, at)
    body += struct.pack(f"{order}HHHLLHHLLL", 2, 0x0201, 4, 1, at + 30, 0x0202, 4, 1, 9, 0) + b"THUMBNAIL"
    return b"Exif\0\0" + bytes(body)


def photo(tmp_path: Path, name: str = "photo.jpg", **options: Any) -> Path:
    path = tmp_path / name
    Image.linear_gradient("L").resize((40, 24)).convert("RGB").save(path, exif=camera_exif(), **options)
    return path


def edited(tmp_path: Path, source: Path, ending: str, exif: bytes | None) -> Path:
    path = tmp_path / f"{source.stem}-out.{ending}"
    picture = read_image(source)
    write_image(picture.rgb, path, overwrite=True, exif=exif)
    return path


@pytest.mark.parametrize("ending", FORMATS)
def test_other_tools_see_what_the_camera_wrote(tmp_path: Path, ending: str) -> None:
    source = photo(tmp_path)
    assert b"THUMBNAIL" in source.read_bytes()
    out = edited(tmp_path, source, ending, read_image(source).exif)
    assert b"THUMBNAIL" not in out.read_bytes()
    with Image.open(out) as image:
        assert image.size == (24, 40), "upright"
        exif = image.getexif()
        assert (exif[MAKE], exif[MODEL], exif[DESCRIPTION]) == ("Maker", "Model 1", "at the lake")
        assert exif[ARTIST].encode("latin-1").decode() == "Jürgen"
        assert exif.get(274, 1) == 1
        taken = exif.get_ifd(blocks.EXIF)
        assert taken[TAKEN] == "2020:01:02 03:04:05"
        assert NOTE not in taken, "its offsets would be wrong"
        assert (taken[WIDTH], taken[0xA003]) == (24, 40)
        assert taken[0xA001] == 1, "sRGB"
        assert 0xA005 not in taken, "R03 would say Adobe RGB"
        assert exif.get_ifd(blocks.GPS)[2] == (47.0, 30.0, 15.5)
        assert not exif.get_ifd(1), "no thumbnail"
        assert image.info["icc_profile"]


@pytest.mark.parametrize("ending", FORMATS)
def test_location_goes_and_the_rest_stays(tmp_path: Path, ending: str) -> None:
    source = photo(tmp_path)
    exif = read_image(source).exif
    assert exif is not None
    out = edited(tmp_path, source, ending, strip_location(exif))
    with Image.open(out) as image:
        exif_now = image.getexif()
        assert exif_now[MAKE] == "Maker"
        assert not exif_now.get_ifd(blocks.GPS)
        assert NOTE not in exif_now.get_ifd(blocks.EXIF)
        assert exif_now.get_ifd(blocks.EXIF)[TAKEN] == "2020:01:02 03:04:05"
    assert strip_location(b"Exif\0\0garbage") == b""


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.avif", "a.tif"])
def test_from_every_format(tmp_path: Path, name: str) -> None:
    if name == "a.tif":
        photo(tmp_path, "a.jpg")
        exif = read_image(tmp_path / "a.jpg").exif
        write_image(Image.new("RGB", (24, 40)), tmp_path / name, overwrite=False, exif=exif)
    else:
        photo(tmp_path, name)
    picture = read_image(tmp_path / name)
    assert picture.notes == ()
    assert picture.exif is not None
    block = parse(picture.exif)
    assert block.main[MAKE].data == b"Maker\0"
    assert block.gps
    assert not set(block.main) & {256, 257, 258, 259, 273, 279, 34675}, "nothing of how a TIFF stores its pixels"


@pytest.mark.parametrize(
    "data", [b"", b"Exif\0\0", b"Exif\0\0garbage", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0" + bytes(99)]
)
def test_broken_blocks(data: bytes) -> None:
    with pytest.raises(ValueError, match="EXIF"):
        parse(data)


def test_a_photo_with_broken_exif_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(20))
    picture = read_image(path)
    assert picture.exif is None
    assert picture.notes == ("its EXIF is broken and was left out",)


def test_values_that_overlap_do_not_multiply() -> None:
    big = bytes(400_000)
    rows = b"".join(struct.pack("<HHLL", tag, 7, len(big), 8 + 2 + 12 * 900 + 4) for tag in range(900))
    data = b"II*\0" + struct.pack("<L", 8) + struct.pack("<H", 900) + rows + bytes(4) + big
    assert sum(len(entry.data) for entry in parse(data).main.values()) <= blocks.MAX_BYTES


entries = st.dictionaries(
    st.integers(40000, 60000).filter(lambda tag: tag != 0xA005),  # which would point to a block below
    st.one_of(
        st.binary(min_size=1, max_size=40).map(lambda b: Entry(7, len(b), b)),
        st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=9).map(
            lambda v: Entry(3, len(v), struct.pack(f"<{len(v)}H", *v))
        ),
        st.integers(0, 2**32 - 1).map(lambda v: Entry(5, 1, struct.pack("<LL", v, 7))),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=40)
@given(entries, entries, entries)
def test_what_is_built_is_parsed(main: dict[int, Entry], exif: dict[int, Entry], gps: dict[int, Entry]) -> None:
    block = Block(main=main, exif=exif, gps=gps)
    if main or exif or gps:
        assert parse(build(block)) == block


def test_both_byte_orders_are_read_alike() -> None:
    tags = {MAKE: "Maker", 282: 72.5, 274: 6, 40001: b"\1\2\3\4\5"}
    blocks_read = []
    for order in "<>":
        exif = Image.Exif()
        exif.endian = order
        exif.update(tags)
        exif[blocks.GPS] = {2: (47.0, 30.0, 15.5)}
        blocks_read.append(parse(exif.tobytes()))
    assert blocks_read[0] == blocks_read[1]
    assert blocks_read[0].main[274].data == b"\6\0"


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_random_blocks_give_exif_or_a_value_error(noise: bytes, head: bytes) -> None:
    try:
        made = upright(head + noise)
    except ValueError:
        return
    assert made == b"" or parse(made)


def test_a_tiff_keeps_its_own_entries(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.new("RGB", (5, 7), "red").save(path, compression="tiff_adobe_deflate")
    block = Block(main={256: Entry(4, 1, bytes(4)), MAKE: Entry(2, 4, b"Abc\0")}, gps={1: Entry(2, 2, b"N\0")})
    path.write_bytes(add_to_tiff(path.read_bytes(), block))
    with Image.open(path) as image:
        assert image.size == (5, 7)
        assert image.getpixel((2, 2)) == (255, 0, 0)
        assert image.getexif()[MAKE] == "Abc"
        assert image.getexif().get_ifd(blocks.GPS) == {1: "N"}


def test_what_is_too_large_for_a_jpeg_goes_largest_first(tmp_path: Path) -> None:
    block = Block(main={MAKE: Entry(2, 4, b"Abc\0")}, exif={40000: Entry(7, 70_000, bytes(70_000))})
    assert len(build(block, 65_000)) < 100
    write_image(Image.new("RGB", (8, 8)), tmp_path / "a.jpg", overwrite=False, exif=build(block))
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif()[MAKE] == "Abc"
    assert len(build(block)) > 70_000


@pytest.mark.parametrize("ending", FORMATS)
def test_exif_that_cannot_be_read_is_left_out(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    write_image(Image.new("RGB", (8, 8)), path, overwrite=False, exif=b"Exif\0\0garbage")
    assert read_image(path).notes == ()
