"""TIFF files of every layout, against an independent decoder: each is read rightly or refused, never read wrongly."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from ip2p_cli.errors import InputError
from ip2p_cli.io.images import Picture, picture_from_bytes

pytest.importorskip("imagecodecs")

HEIGHT, WIDTH = 24, 33
TYPES = {"1": bool, "4": np.uint8, "8": np.uint8, "16": np.uint16, "32": np.uint32, "float": np.float32}
LEVELS = {"1": 1, "4": 15, "8": 255, "16": 65535, "32": 2**32 - 1, "float": 1}
COLOURS = ("grey", "white is zero", "rgb", "rgba", "cmyk", "palette")
NAMES = {"grey": "minisblack", "white is zero": "miniswhite", "rgba": "rgb", "cmyk": "separated"}
COMPRESSIONS = (None, "deflate", "lzw", "packbits", "jpeg")
PALETTE = np.stack([np.arange(256), np.arange(256)[::-1], np.arange(256) * 7 % 256]).astype(np.uint16) * 257


def stored(colour: str, bits: str, planar: str) -> np.ndarray:
    """Smooth values, (height, width) or (height, width, bands), or with planes first."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    bands = [x / (WIDTH - 1), y / (HEIGHT - 1), 1 - x / (WIDTH - 1), (x + y) / (WIDTH + HEIGHT - 2)]
    count = {"rgb": 3, "rgba": 4, "cmyk": 4}.get(colour, 1)
    values = np.stack(bands[:count], axis=-1) * LEVELS[bits]
    values = (values if bits == "float" else np.round(values)).astype(TYPES[bits])
    if count == 1:
        return values[..., 0]
    return np.moveaxis(values, -1, 0) if planar == "separate" else values


def expected(data: bytes, colour: str, bits: str, planar: str) -> np.ndarray:
    """What tifffile decodes, as 8-bit colours on white."""
    values = tifffile.imread(io.BytesIO(data)).astype(float)
    if colour == "palette":
        return PALETTE.T[values.astype(int)] / 257
    values = values / LEVELS[bits]
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=-1)
        return (1 - values if colour == "white is zero" else values) * 255
    values = np.moveaxis(values, 0, -1) if planar == "separate" else values
    first, last = values[..., :3], values[..., 3:]
    if colour == "rgba":
        first = first * last + 1 - last
    elif colour == "cmyk":
        first = (1 - first) * (1 - last)
    return np.asarray(first) * 255


def outcome(data: bytes) -> Picture | str:
    """The picture, or the one line of its refusal."""
    try:
        return picture_from_bytes(data, Path("a.tif"))
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("colour", COLOURS)
def test_9_every_layout_is_right_or_refused(colour: str, capfd: pytest.CaptureFixture[str]) -> None:
    outcomes: Counter[str] = Counter()
    planes = ("contig", "separate") if colour in ("rgb", "rgba", "cmyk") else ("contig",)
    for bits, planar, compression, order, tile in itertools.product(
        TYPES, planes, COMPRESSIONS, "<>", (None, (16, 16))
    ):
        options: dict[str, Any] = {"planarconfig": planar} if colour in ("rgb", "rgba", "cmyk") else {}
        options |= {"bitspersample": 4} if bits == "4" else {}
        options |= {"colormap": PALETTE} if colour == "palette" else {}
        options |= {"extrasamples": ["unassalpha"]} if colour == "rgba" else {}
        options |= {"tile": tile} if tile else {"rowsperstrip": 7}
        buffer, layout = io.BytesIO(), f"{colour} {bits} {planar} {compression} {order} {tile}"
        try:
            tifffile.imwrite(
                buffer,
                stored(colour, bits, planar),
                photometric=NAMES.get(colour, colour),
                compression=compression,
                byteorder=order,
                **options,
            )
        except Exception:  # no such layout, or tifffile has no encoder for it
            continue
        data = buffer.getvalue()
        result = outcome(data)
        if isinstance(result, str):
            assert compression == "jpeg" or "this layout of TIFF" in result, layout
            outcomes["refused"] += 1
            continue
        off = np.abs(np.asarray(result.rgb) - expected(data, colour, bits, planar)).max()
        assert off <= 2.5, layout
        outcomes["read"] += 1
    assert outcomes["read"] >= 8, outcomes
    assert capfd.readouterr() == ("", ""), "libtiff's own messages are not for the user"


def test_9_planes_of_16_bits_without_compression() -> None:
    buffer = io.BytesIO()
    values = stored("rgb", "16", "separate")
    tifffile.imwrite(buffer, values, photometric="rgb", planarconfig="separate")
    picture = picture_from_bytes(buffer.getvalue(), Path("a.tif"))
    assert np.abs(np.asarray(picture.rgb) - np.moveaxis(values, 0, -1) / 257).max() <= 1


@pytest.mark.parametrize(
    ("colour", "bits", "name"),
    [
        ("rgb", "float", "RGB of 32-bit floats"),
        ("rgb", "32", "RGB of 32-bit integers"),
        ("cmyk", "float", "CMYK of 32-bit floats"),
    ],
)
@pytest.mark.parametrize("order", "<>")
def test_10_a_layout_that_is_not_read_is_called_what_it_is(colour: str, bits: str, name: str, order: Any) -> None:
    buffer, photometric = io.BytesIO(), NAMES.get(colour, colour)
    tifffile.imwrite(buffer, stored(colour, bits, "contig"), photometric=photometric, byteorder=order)
    assert outcome(buffer.getvalue()) == (
        f"a.tif: this layout of TIFF ({name}) is not read: save it as RGB of 8 or 16 bits first"
    )


def test_37_libtiff_does_not_print(capfd: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "TIFF", compression="tiff_lzw")
    whole = buffer.getvalue()
    random = np.random.default_rng(0)
    for _ in range(100):
        data = bytearray(whole)
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(0, 256)
        outcome(bytes(data))
    assert capfd.readouterr() == ("", "")
