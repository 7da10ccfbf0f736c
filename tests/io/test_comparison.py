"""Before and after: nothing stretched, nothing too large, colours that can be trusted."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ip2p_cli.io.comparison import (
    MAX_GIF_SIDE,
    MAX_HEIGHT,
    MAX_WIDTH,
    before_after_gif,
    compare,
    compare_path,
    gif_path,
)


def ramp(width: int, height: int, colour: tuple[int, int, int]) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    light = 0.4 + 0.6 * (x + y) / max(1, width + height)
    return Image.fromarray((light[..., None] * np.array(colour)).astype(np.uint8))


def frames_of(data: bytes) -> list[tuple[Image.Image, int]]:
    with Image.open(io.BytesIO(data)) as gif:
        found = []
        for number in range(gif.n_frames):
            gif.seek(number)
            found.append((gif.convert("RGB"), gif.info["duration"]))
        return found


def test_side_by_side_at_their_own_size() -> None:
    before, after = ramp(60, 40, (255, 0, 0)), ramp(60, 40, (0, 0, 255))
    sheet = compare(before, after)
    assert sheet.size == (128, 40)
    assert sheet.crop((0, 0, 60, 40)).tobytes() == before.tobytes()
    assert sheet.crop((68, 0, 128, 40)).tobytes() == after.tobytes()
    assert sheet.crop((60, 0, 68, 40)).getextrema() == ((255, 255),) * 3


SIZES = st.one_of(
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.tuples(st.integers(1, 9), st.integers(1000, 9000)),
    st.tuples(st.integers(1000, 9000), st.integers(1, 9)),
)


@settings(max_examples=30, deadline=None)
@given(before=SIZES, after=SIZES)
def test_one_height_and_a_bounded_size(before: tuple[int, int], after: tuple[int, int]) -> None:
    sheet = compare(Image.new("L", before, 9), Image.new("L", after, 9))
    assert sheet.mode == "RGB"
    assert sheet.height <= MAX_HEIGHT
    assert sheet.width <= MAX_WIDTH
    across = sum(width / height for width, height in (before, after)) * sheet.height
    if sheet.height > 1:  # of a strip less than a pixel high the width is not to be had
        assert abs(sheet.width - 8 - across) <= 2


def test_the_animation_goes_there_and_back() -> None:
    before, after = ramp(90, 60, (230, 120, 60)), ramp(90, 60, (60, 120, 230))
    data = before_after_gif(before, after)
    with Image.open(io.BytesIO(data)) as gif:
        assert gif.info["loop"] == 0
    frames = frames_of(data)
    assert len(frames) == 14
    assert [wait for _, wait in frames][::7] == [1200, 1200]
    for number, picture in ((0, before), (7, after)):
        found, wanted = np.asarray(frames[number][0], float), np.asarray(picture, float)
        assert np.abs(found - wanted).mean() < 4  # a good palette
    reds = [float(np.asarray(frame)[..., 0].mean()) for frame, _ in frames[:8]]
    assert reds == sorted(reds, reverse=True)


@pytest.mark.parametrize(("size", "expected"), [((1600, 1000), (800, 500)), ((1, 1), (1, 1)), ((40, 5000), (6, 800))])
def test_the_animation_is_bounded(size: tuple[int, int], expected: tuple[int, int]) -> None:
    data = before_after_gif(ramp(*size, (200, 0, 0)), ramp(*size, (0, 0, 200)))
    assert frames_of(data)[0][0].size == expected
    assert max(expected) <= MAX_GIF_SIDE


def test_a_before_of_another_shape_is_not_stretched() -> None:
    disc = Image.radial_gradient("L").resize((100, 100))
    wide = Image.new("L", (200, 100), 255)
    wide.paste(disc, (50, 0))
    frame = frames_of(before_after_gif(wide.convert("RGB"), disc.convert("RGB")))[0][0].convert("L")
    assert np.abs(np.asarray(frame, float) - np.asarray(disc, float)).mean() < 6


def test_names_lie_beside_the_output() -> None:
    assert compare_path(Path("a/b.c.jpg")) == Path("a/b.c-compare.png")
    assert gif_path(Path("a/b.c.jpg")) == Path("a/b.c.gif")
