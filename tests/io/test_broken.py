"""A corpus of broken pictures: each is refused in one line, soon, or read; nothing else ever happens."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_cli.errors import InputError
from ip2p_cli.io.images import Picture, read_image
from ip2p_cli.io.provenance import parents_of, read_record

KINDS = ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM", "HEIF"]
SECONDS = 5.0  # for a picture of some thousand pixels, on a busy machine


def encoded(kind: str, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
    image, buffer = Image.fromarray(noise), io.BytesIO()
    if kind == "HEIF":
        heif = pytest.importorskip("pillow_heif")
        heif.from_pillow(image).save(buffer)
    else:
        image.save(buffer, kind, **options)
    return buffer.getvalue()


def outcome(path: Path, said: pytest.CaptureFixture[str] | None = None) -> Picture | str:
    """A picture, or the one line of its refusal; a failure if it takes long or says more."""
    start = time.monotonic()
    try:
        result: Picture | str = read_image(path)
    except InputError as error:
        result = str(error)
        assert result.isprintable()
        assert len(result.splitlines()) == 1
        assert path.name in result
    assert time.monotonic() - start < SECONDS
    if said is not None:
        assert said.readouterr() == ("", ""), "the decoders' own messages are not for the user"
    return result


def refused(path: Path, said: pytest.CaptureFixture[str] | None = None) -> str:
    result = outcome(path, said)
    assert isinstance(result, str), "was read"
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_cut_short_at_many_lengths(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, path = encoded(kind), tmp_path / "a.jpg"
    lengths = {*range(1, 40), *range(40, len(data) - 1, max(1, len(data) // 40)), len(data) * 9 // 10}
    # The last bytes of some kinds say only that it ends; those may be missing.
    for length in sorted(lengths):
        path.write_bytes(data[:length])
        if length <= len(data) * 0.9:
            refused(path, capfd)
        else:
            outcome(path, capfd)
        assert parents_of(path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    whole, path = encoded(kind), tmp_path / "a.jpg"
    random = np.random.default_rng(2)
    for trial in range(60):
        data = bytearray(whole)
        end = len(data) if trial % 2 else min(200, len(data))  # headers are where the harm is
        for at in random.integers(0, end, 1 + trial % 5):
            data[at] = random.integers(0, 256)
        path.write_bytes(data)
        outcome(path, capfd)
        with contextlib.suppress(InputError):
            read_record(path)


@pytest.mark.parametrize(
    "magic", [encoded(kind)[:12] for kind in KINDS[:-1]] + [b"\xff\xd8\xff", b"P6", b"BM", b"GIF89a"]
)
def test_a_signature_and_then_something_else(tmp_path: Path, magic: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    for number, rest in enumerate((b"", bytes(500), b"\xff" * 500, np.random.default_rng(3).bytes(500), b"text " * 99)):
        path = tmp_path / f"{number}.png"
        path.write_bytes(magic + rest)
        refused(path, capfd)


def with_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def huge_headers() -> Iterator[tuple[str, bytes]]:
    """Small files that say they are enormous."""
    head = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 6, 0, 0, 0)
    yield "png", b"\x89PNG\r\n\x1a\n" + with_chunk(b"IHDR", head) + with_chunk(b"IDAT", zlib.compress(bytes(999)))
    bmp = bytearray(encoded("BMP"))
    bmp[18:26] = struct.pack("<ii", 2**31 - 1, 2**31 - 1)
    yield "bmp", bytes(bmp)
    bmp[18:26] = struct.pack("<ii", 10**5, -(10**5))
    yield "bmp", bytes(bmp)
    tiff = bytearray(encoded("TIFF"))
    first = int.from_bytes(tiff[4:8], "little")
    for entry in range(first + 2, first + 2 + 24, 12):
        if tiff[entry : entry + 2] in (b"\0\1", b"\1\1"):
            tiff[entry + 2 : entry + 12] = struct.pack("<HLL", 4, 1, 2**32 - 1)
    yield "tif", bytes(tiff)
    webp = bytearray(b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff" * 6)
    yield "webp", bytes(webp)
    gif = bytearray(encoded("GIF"))
    gif[6:10] = b"\xff" * 4
    yield "gif", bytes(gif)
    yield "ppm", b"P6 999999999 999999999 255\n" + bytes(99)
    jpeg = bytearray(encoded("JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff" * 4
    yield "jpg", bytes(jpeg)
    jp2 = bytearray(encoded("JPEG2000"))
    at = jp2.index(b"ihdr") + 4
    jp2[at : at + 8] = b"\x7f" * 8
    yield "jp2", bytes(jp2)


def test_headers_that_say_enormous_sizes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number, (ending, data) in enumerate(huge_headers()):
        path = tmp_path / f"{number}.{ending}"
        path.write_bytes(data)
        message = refused(path, capfd)
        assert "megapixels" in message or "damaged" in message, ending


def test_a_gif_without_frames(tmp_path: Path) -> None:
    data = encoded("GIF")
    (tmp_path / "a.gif").write_bytes(data[:13] + data[13:781] + b";")
    (tmp_path / "b.gif").write_bytes(b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0, 0, 0) + b";")
    for name in ("a.gif", "b.gif"):
        assert "damaged" in refused(tmp_path / name)


def test_text_chunks_that_unpack_to_much(tmp_path: Path) -> None:
    data = encoded("PNG")
    bomb = with_chunk(b"zTXt", b"ip2p\0\0" + zlib.compress(bytes(20_000_000)))
    profile = with_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(20_000_000)))
    for name, chunk in (("a.png", bomb), ("b.png", profile)):
        (tmp_path / name).write_bytes(data[:33] + chunk + data[33:])
        outcome(tmp_path / name)
        assert parents_of(tmp_path / name) == []


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").mkdir()
    assert "is a folder: name the photos in it" in refused(tmp_path / "x.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    for name in ("pipe.jpg", "zero.jpg"):
        assert "is not a regular file (a device or a pipe)" in refused(tmp_path / name)
        with pytest.raises(InputError, match="not a regular file"):
            read_record(tmp_path / name)
        assert parents_of(tmp_path / name) == []
    refused(tmp_path / "loop.jpg")


def test_a_file_beyond_all_bounds(tmp_path: Path) -> None:
    with (tmp_path / "a.tif").open("wb") as file:
        file.truncate(3 * 1024**3)  # sparse: takes no room
    assert refused(tmp_path / "a.tif").endswith("a.tif is larger than 2 GB: make it smaller first")


def test_31_a_side_beyond_a_million_pixels(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", 199_000_000, 1, 8, 0, 0, 0, 0)
    whole = b"\x89PNG\r\n\x1a\n" + with_chunk(b"IHDR", head) + with_chunk(b"IDAT", zlib.compress(bytes(999)))
    (tmp_path / "a.png").write_bytes(whole)
    assert "more than 1000000 a side: cut it up first" in refused(tmp_path / "a.png")
