"""Every kind of picture that people have, and every broken one."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import struct
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, TiffImagePlugin

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io import formats, images
from ip2p_cli.io import pixels as pixel_modes
from ip2p_cli.io.images import picture_from_bytes, picture_from_image, read_image, read_size
from ip2p_cli.io.output import check_output
from tests.io.pictures import CLOSE, difference, pixels, saved, smooth


def png(width: int, height: int, depth: int, colour: int, rows: bytes, transparency: bytes = b"") -> bytes:
    """Make the PNGs that Pillow reads but does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    key = chunk(b"tRNS", transparency) if transparency else b""
    return b"\x89PNG\r\n\x1a\n" + head + key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# Reading: kinds


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.PNG"])
def test_lossless_kinds(tmp_path: Path, name: str) -> None:
    picture = read_image(saved(tmp_path, smooth(), name))
    assert picture.rgb.mode == "RGB"
    assert difference(picture.rgb, smooth()) == 0
    assert picture.alpha is None
    assert picture.path == tmp_path / name


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.avif", "a.jp2"])
def test_lossy_kinds(tmp_path: Path, name: str) -> None:
    assert difference(read_image(saved(tmp_path, smooth(), name)).rgb, smooth()) <= CLOSE


def test_the_extension_does_not_decide(tmp_path: Path) -> None:
    picture = read_image(saved(tmp_path, smooth(), "really-png.jpg", format="PNG"))
    assert difference(picture.rgb, smooth()) == 0
    assert picture.notes == ("a PNG picture, although it is called .jpg",)
    for name in ("a.JPG", "a.jpeg", "a.jfif", "a.photo", "a"):
        assert read_image(saved(tmp_path, smooth(), name, format="JPEG")).notes == ()


def test_the_digest_is_of_the_file_that_was_decoded(tmp_path: Path) -> None:
    path = saved(tmp_path, smooth(), "a.png")
    assert read_image(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("1", "a.png"),
        ("L", "a.png"),
        ("P", "a.png"),
        ("P", "a.gif"),
        ("CMYK", "a.tif"),
        ("CMYK", "a.jpg"),
        ("YCbCr", "a.tif"),
        ("YCbCr", "a.jpg"),
        ("LAB", "a.tif"),
    ],
)
def test_colour_modes(tmp_path: Path, mode: str, name: str) -> None:
    source = smooth().convert(mode)
    picture = read_image(saved(tmp_path, source, name))
    assert picture.alpha is None
    assert difference(picture.rgb, source.convert("RGB")) <= (CLOSE if name.endswith("jpg") else 3)


def test_inverted_cmyk_of_adobe(tmp_path: Path) -> None:
    # An Adobe marker says that the inks are stored inverted: all 0 is then full ink.
    path = saved(tmp_path, Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "a.jpg")
    assert b"Adobe" in path.read_bytes()
    assert pixels(read_image(path).rgb)[0] == [255, 255, 255]


def test_grey_of_16_bits_is_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    expected = [[v] * 3 for v in (0, 1, 128, 255)]
    assert pixels(read_image(saved(tmp_path, Image.fromarray(values), "a.png")).rgb) == expected
    assert pixels(read_image(saved(tmp_path, Image.fromarray(values), "a.tif")).rgb) == expected
    (tmp_path / "a.pgm").write_bytes(b"P5 4 1 65535\n" + values.astype(">u2").tobytes())
    assert pixels(read_image(tmp_path / "a.pgm").rgb) == expected
    big_endian = Image.frombytes("I;16B", (4, 1), values.astype(">u2").tobytes())
    big_endian.save(tmp_path / "big.tif")
    assert pixels(read_image(tmp_path / "big.tif").rgb) == expected


def test_grey_of_16_bits_with_a_transparent_level(tmp_path: Path) -> None:
    rows = b"\0" + struct.pack(">3H", 1000, 0, 65535)
    (tmp_path / "a.png").write_bytes(png(3, 1, 16, 0, rows, struct.pack(">H", 1000)))
    picture = read_image(tmp_path / "a.png")
    assert pixels(picture.rgb) == [[255] * 3, [0] * 3, [255] * 3]
    assert picture.alpha is not None
    assert pixels(picture.alpha) == [0, 255, 255]


def test_grey_of_32_bits(tmp_path: Path) -> None:
    def read(values: list[int]) -> list[int]:
        path = saved(tmp_path, Image.fromarray(np.array([values], np.int32)), "a.tif")
        return [r for r, _, _ in pixels(read_image(path).rgb)]

    assert read([0, 65535, 32896, -5]) == [0, 255, 128, 0]
    assert read([0, 10**6, 5 * 10**5]) == [0, 255, 128]


def test_grey_of_floats(tmp_path: Path) -> None:
    def read(values: list[float]) -> list[int]:
        path = saved(tmp_path, Image.fromarray(np.array([values], np.float32)), "a.tif")
        return [r for r, _, _ in pixels(read_image(path).rgb)]

    assert read([0, 0.5, 1, -0.1]) == [0, 128, 255, 0]
    assert read([0, 128, 255]) == [0, 128, 255]
    assert read([0, 500, 1000]) == [0, 128, 255]
    assert read([0.5] * 199 + [7])[-2:] == [128, 255]
    assert read([float("nan"), 0.5, float("inf"), 1]) == [0, 128, 255, 255]


def test_colour_of_16_bits(tmp_path: Path) -> None:
    rows = b"\0" + struct.pack(">6H", 0, 32896, 65535, 65535, 257, 0)
    (tmp_path / "a.png").write_bytes(png(2, 1, 16, 2, rows))
    assert pixels(read_image(tmp_path / "a.png").rgb) == [[0, 128, 255], [255, 1, 0]]


def test_only_the_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    for name in ("a.gif", "a.tif", "a.webp", "a.png"):
        path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
        picture = read_image(path)
        assert pixels(picture.rgb)[0][0] > 240, name
        assert picture.notes == ("first of 2 frames",)
    # A phone puts a preview or a depth map behind the photo; that is no second frame.
    assert (
        read_image(saved(tmp_path, frames[0], "a.jpg", format="MPO", save_all=True, append_images=frames)).notes == ()
    )


def test_a_broken_second_frame_is_no_reason_to_refuse_the_first(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    path = saved(tmp_path, frames[0], "a.tif", save_all=True, append_images=frames[1:])
    data = bytearray(path.read_bytes())
    first = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[first : first + 2], "little")
    at = first + 2 + 12 * entries
    data[at : at + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    assert pixels(read_image(path).rgb)[0] == [255, 0, 0]


# Reading: orientation


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(tmp_path: Path, name: str, orientation: int) -> None:
    lying = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}.get(
        orientation, pixel_modes._TRANSPOSES.get(orientation)
    )
    stored = smooth() if lying is None else smooth().transpose(lying)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read_image(saved(tmp_path, stored, name, exif=exif))
    assert difference(picture.rgb, smooth()) <= CLOSE


def test_alpha_turns_with_the_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = smooth(8, 4)
    image.putalpha(Image.linear_gradient("L").resize((8, 4)))
    picture = read_image(saved(tmp_path, image, "a.png", exif=exif))
    assert picture.alpha is not None
    assert picture.rgb.size == picture.alpha.size == (4, 8)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0"])
def test_broken_exif_is_ignored(tmp_path: Path, exif: bytes) -> None:
    path = saved(tmp_path, smooth(), "a.jpg", exif=exif)
    assert difference(read_image(path).rgb, smooth()) <= CLOSE


def test_orientation_that_is_none(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 99
    assert read_image(saved(tmp_path, smooth(), "a.png", exif=exif)).rgb.size == smooth().size


ORIENTATIONS = st.sampled_from(range(9))  # 0 is none of them
WRITTEN = sorted(ending for format_ in formats.FORMATS if format_.writer for ending in format_.writer.endings)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ending=st.sampled_from(WRITTEN),
    orientation=ORIENTATIONS,
    in_xmp=st.none() | ORIENTATIONS,
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_the_planned_size_is_the_decoded_size(
    tmp_path: Path, ending: str, orientation: int, in_xmp: int | None, size: tuple[int, int]
) -> None:
    options: dict[str, Any] = {}
    if orientation:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    if in_xmp is not None and ending != ".png":
        packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="{in_xmp}"/>'.encode()
        options |= {"tiffinfo": {700: packet, 274: orientation or 1}} if ending.startswith(".tif") else {"xmp": packet}
    path = saved(tmp_path, Image.new("RGB", size), f"a{ending}", **options)
    assert read_size(path) == read_image(path).rgb.size


@pytest.mark.parametrize("ending", WRITTEN)
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_the_planned_size_is_that_of_the_upright_picture(tmp_path: Path, ending: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert read_size(saved(tmp_path, Image.new("RGB", (40, 20)), f"a{ending}", exif=exif)) == (20, 40)


def test_a_png_whose_exif_follows_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, Image.new("RGB", (40, 20)), "a.png")
    data, block = path.read_bytes(), exif.tobytes()[6:]
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    (tmp_path / "late.png").write_bytes(data[:-12] + chunk + data[-12:])
    assert read_size(tmp_path / "late.png") == read_image(tmp_path / "late.png").rgb.size == (20, 40)

    def decodes(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", decodes)
    assert read_size(path) == (40, 20)


def test_a_tiff_that_only_its_xmp_turns(tmp_path: Path) -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"/>'
    path = saved(tmp_path, Image.new("RGB", (40, 20)), "a.tif", tiffinfo={700: packet})
    assert read_size(path) == read_image(path).rgb.size == (20, 40)


# Reading: transparency


def test_alpha_is_kept_and_hidden_colours_do_not_leak(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[255, 0, 0, 255], [9, 9, 9, 0], [0, 0, 0, 51]]], np.uint8))
    for name in ("a.png", "a.tif"):
        picture = read_image(saved(tmp_path, image, name))
        assert pixels(picture.rgb) == [[255, 0, 0], [255] * 3, [204] * 3]
        assert picture.alpha is not None
        assert picture.alpha.mode == "L"
        assert pixels(picture.alpha) == [255, 0, 51]


def test_grey_with_alpha(tmp_path: Path) -> None:
    image = Image.merge("LA", [Image.new("L", (2, 2), 100), Image.new("L", (2, 2), 0)])
    picture = read_image(saved(tmp_path, image, "a.png"))
    assert pixels(picture.rgb)[0] == [255] * 3
    assert picture.alpha is not None


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    for x in range(3):
        image.putpixel((x, 0), x)
    for name, transparency, alphas in [
        ("one.png", 1, [255, 0, 255]),
        ("bytes.png", bytes([255, 0, 51]), [255, 0, 51]),
        ("one.gif", 1, [255, 0, 255]),
    ]:
        picture = read_image(saved(tmp_path, image, name, transparency=transparency))
        assert picture.alpha is not None
        assert pixels(picture.alpha) == alphas, name
        assert pixels(picture.rgb)[:2] == [[255, 0, 0], [255, 255, 255]], name


def test_colour_key_transparency(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    picture = read_image(saved(tmp_path, image, "a.png", transparency=(1, 2, 3)))
    assert picture.alpha is not None
    assert pixels(picture.alpha) == [0, 255]


def test_alpha_that_hides_nothing_is_none(tmp_path: Path) -> None:
    assert read_image(saved(tmp_path, smooth().convert("RGBA"), "a.png")).alpha is None


# Reading: from memory


def test_an_image_from_memory_is_treated_as_a_file(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[271] = 6, "Maker"
    image = smooth(9, 4)
    image.putalpha(Image.linear_gradient("L").resize((9, 4)))
    record = {"ip2p": "1", "seed": 7}
    text = PngImagePlugin.PngInfo()
    text.add_itxt("ip2p", json.dumps(record))
    path = saved(tmp_path, image, "a.png", exif=exif, pnginfo=text)
    whole = read_image(path)
    with Image.open(path) as opened:
        picture = picture_from_image(opened)
    assert picture.alpha is not None
    assert whole.alpha is not None
    assert difference(picture.rgb, whole.rgb) == difference(picture.alpha, whole.alpha) == 0
    assert (picture.exif, picture.parents, picture.path) == (whole.exif, [record], path)
    assert picture.digest == hashlib.sha256(b"RGBA 9 4 " + image.tobytes()).hexdigest()
    assert picture_from_image(smooth()).path == Path()


def test_an_image_from_memory_whose_white_nobody_knows() -> None:
    for mode in ("F", "I", "I;16"):
        with pytest.raises(UsageError, match=f"mode {mode} has no known white: convert it to RGB"):
            picture_from_image(Image.new(mode, (4, 4)))


def test_a_photo_is_opened_once_to_plan_and_once_to_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened, original = saved(tmp_path, smooth(), "a.jpg"), [], Path.open

    def counted(self: Path, *words: Any, **more: Any) -> Any:
        opened.append(self)
        return original(self, *words, **more)

    monkeypatch.setattr(Path, "open", counted)
    read_size(path)
    assert read_image(path).parents == []
    assert opened == [path, path]
    data = path.read_bytes()
    opened.clear()
    assert picture_from_bytes(data, path).digest == hashlib.sha256(data).hexdigest()
    assert opened == []


# Reading: broken files


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.isprintable(), "one line"
    assert ": " in message, "the fix comes after a colon"
    return message


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.bmp", "a.tif", "a.webp", "a.avif", "a.ppm", "a.jp2"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_half_a_picture_is_refused(tmp_path: Path, name: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    message = refused(path)
    assert name in message
    assert "get a whole copy of it" in message


@pytest.mark.parametrize("options", [{"progressive": True}, {"compression": "tiff_adobe_deflate"}])
def test_half_a_picture_with_its_layout_elsewhere(tmp_path: Path, options: dict[str, Any]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    kind = "JPEG" if "progressive" in options else "TIFF"
    path = saved(tmp_path, Image.fromarray(noise), "a.img", format=kind, **options)
    path.write_bytes(path.read_bytes()[:-200])
    assert "get a whole copy of it" in refused(path)


@pytest.mark.parametrize("text", [b"hello, I am no photo", b"Python is no photo", b"P5 is no photo", b"<svg/>", b"\0"])
def test_what_is_no_picture(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(text)
    message = refused(tmp_path / "a.jpg")
    assert "a.jpg is not a picture of a known format (PNG, JPEG" in message
    assert message.endswith("save it as PNG or JPEG first")


def test_heic_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pillow_heif", "pillow_heif.as_plugin"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    for head in (b"\0\0\0\x18ftypheic", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"):
        (tmp_path / "a.heic").write_bytes(head + bytes(40))
        message = refused(tmp_path / "a.heic")
        assert message.endswith("a.heic is a HEIC photo: pip install 'ip2p[heif]' or save it as JPEG first")


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    Image.init()
    known = dict(Image.OPEN)
    exif = Image.Exif()
    exif[271] = "Camera"
    exif[274] = 6
    whole = heif.from_pillow(smooth().transpose(Image.Transpose.ROTATE_90))
    whole.save(tmp_path / "a.heic", quality=90, exif=exif.tobytes())
    picture = read_image(tmp_path / "a.heic")
    assert difference(picture.rgb, smooth()) <= CLOSE
    assert picture.exif is not None
    assert known == Image.OPEN, "what Pillow opens elsewhere stays as it was"
    data = (tmp_path / "a.heic").read_bytes()
    (tmp_path / "lie.jpg").write_bytes(data)
    assert read_image(tmp_path / "lie.jpg").notes == ("a HEIC picture, although it is called .jpg",)
    (tmp_path / "half.heic").write_bytes(data[: len(data) // 2])
    assert "get a whole copy of it" in refused(tmp_path / "half.heic")
    with pytest.raises(UsageError, match=r"cannot write \.heic files here: use one of \.png"):
        check_output(tmp_path / "b.heic", overwrite=False)


def test_of_a_raw_file_the_thumbnail_is_not_taken_for_the_photo(tmp_path: Path) -> None:
    said = "is a camera's raw file: develop it and save it as TIFF or JPEG first"
    assert said in refused(saved(tmp_path, smooth(), "a.NEF", format="TIFF"))
    assert said in refused(saved(tmp_path, smooth(), "a.tif", tiffinfo={50706: b"\1\4\0\0"}))


def test_postscript_is_not_run(tmp_path: Path) -> None:
    assert "known format" in refused(saved(tmp_path, smooth(), "a.eps"))


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert refused(tmp_path / "a.jpg").endswith("a.jpg is empty (0 bytes): get a whole copy of it")


def test_folder(tmp_path: Path) -> None:
    assert "is a folder: name the photos in it" in refused(tmp_path)


def test_missing_with_the_nearest_name(tmp_path: Path) -> None:
    saved(tmp_path, smooth(), "Beach.jpg")
    assert refused(tmp_path / "baech.jpg").endswith(f"no such file: did you mean {tmp_path / 'Beach.jpg'}?")
    assert refused(tmp_path / "qqqqqqqqq.tif").endswith("no such file: check the path")
    assert f"there is no folder {tmp_path / 'none'}: check the path" in refused(tmp_path / "none" / "a.jpg")
    assert "not a directory" in refused(tmp_path / "Beach.jpg" / "a.jpg")
    assert "file name too long" in refused(tmp_path / ("a" * 300))


def test_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    assert "the link points to a file that does not exist" in refused(tmp_path / "a.jpg")


def test_fifo_and_device_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        assert "is not a regular file (a device or a pipe): save the picture to a file first" in refused(path)


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, smooth(), "a.png")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # root may open anything, so the mode alone would not do
    assert refused(path).endswith("a.png: permission denied: check the file and its permissions")


def test_name_with_a_line_break_stays_one_line(tmp_path: Path) -> None:
    assert "a\\nb.png" in refused(tmp_path / "a\nb.png")


def test_header_of_a_bomb_is_enough(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(20_000, 20_000, 8, 2, b"\0"))
    message = refused(tmp_path / "a.png")
    assert "20000 x 20000 pixels are more than 200 megapixels: make it smaller first" in message


def test_bounds_are_ours_not_a_global_of_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, limit = saved(tmp_path, smooth(), "a.png"), Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(formats, "MAX_PIXELS", 48 * 32)
    read_image(path)
    monkeypatch.setattr(formats, "MAX_PIXELS", 48 * 32 - 1)
    refused(path)
    assert limit == Image.MAX_IMAGE_PIXELS
    # Between Pillow's own limit and ours: a header that says 190 megapixels is damaged, not too large.
    monkeypatch.setattr(formats, "MAX_PIXELS", 200_000_000)
    (tmp_path / "b.png").write_bytes(png(19_000, 10_000, 1, 0, b"\0"))
    assert "cut short" in refused(tmp_path / "b.png")


def test_memory_that_does_not_suffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(images, "upright_srgb", full)
    assert "not enough memory" in refused(saved(tmp_path, smooth(), "a.png"))


def test_filters_of_warnings_are_left_as_they_were(tmp_path: Path) -> None:
    before = list(warnings.filters)
    read_image(saved(tmp_path, smooth(), "a.png"))
    assert warnings.filters == before


def test_a_12_bit_tiff_is_not_dark() -> None:
    # Pillow reads 12 bits into 16 without scaling; it does not write them, so the tag is put there by hand.
    image = Image.fromarray(np.array([[0, 4095]], np.uint16))
    image.tag_v2 = TiffImagePlugin.ImageFileDirectory_v2()  # type: ignore[attr-defined]
    image.tag_v2[258] = (12,)  # type: ignore[attr-defined]
    assert pixel_modes._grey_8bit(np.asarray(image), image).tolist() == [[0, 255]]


def test_reading_closes_the_file(tmp_path: Path) -> None:
    picture = read_image(saved(tmp_path, smooth(), "a.jpg"))
    (tmp_path / "a.jpg").unlink()
    picture.rgb.save(io.BytesIO(), "PNG")
