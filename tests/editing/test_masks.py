"""Masks as pictures: read from any file, combined, grown, softened, brought to the model's size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ip2p_cli.diffusion.masking import free_cells
from ip2p_cli.editing import masks
from ip2p_cli.errors import InputError
from ip2p_cli.io.images import picture_from_image, read_image
from ip2p_cli.io.sizes import model_size
from ip2p_cli.types import MaskSettings, ResizeMode

SIZE = (60, 40)
quick = settings(max_examples=60, deadline=5000)


@st.composite
def soft_masks(draw: st.DrawFn, most: int = 48) -> Image.Image:
    """A mask of any size: black, with a few soft and hard spots."""
    width, height = draw(st.integers(1, most)), draw(st.integers(1, most))
    seed, spots = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 5))
    rng = np.random.default_rng(seed)
    values = np.zeros((height, width), np.uint8)
    for _ in range(spots):
        y, x = rng.integers(height), rng.integers(width)
        values[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = rng.choice([1, 90, 255])
    return Image.fromarray(values)


def array(mask: Image.Image) -> np.ndarray:
    return np.asarray(mask).astype(int)


@quick
@given(soft_masks(), st.integers(-12, 12), st.integers(0, 6))
def test_growing_more_covers_more(mask: Image.Image, pixels: int, more: int) -> None:
    less, grown = array(masks.grown(mask, pixels)), array(masks.grown(mask, pixels + more))
    assert (less <= grown).all()
    if pixels <= 0 <= pixels + more:
        assert ((less <= array(mask)) & (array(mask) <= grown)).all()


@quick
@given(soft_masks(), soft_masks(), st.integers(-9, 9), st.integers(0, 9))
def test_a_larger_mask_stays_larger(mask: Image.Image, other: Image.Image, grow: int, feather: int) -> None:
    larger = Image.fromarray(np.maximum(np.asarray(mask), np.asarray(other.resize(mask.size))))
    assert (array(masks.grown(mask, grow)) <= array(masks.grown(larger, grow))).all()
    assert (array(masks.feathered(mask, feather)) <= array(masks.feathered(larger, feather))).all()


@quick
@given(soft_masks(), st.integers(0, 12))
def test_feathering_reaches_no_further_than_said(mask: Image.Image, pixels: int) -> None:
    soft = array(masks.feathered(mask, pixels))
    square = array(mask.filter(masks.ImageFilter.MaxFilter(2 * pixels + 1))) if pixels else array(mask)
    assert (soft[square == 0] == 0).all()
    inner = array(mask.filter(masks.ImageFilter.MinFilter(2 * pixels + 1))) if pixels else array(mask)
    assert (soft[inner == 255] == 255).all()


@pytest.mark.parametrize("pixels", [1, 2, 3, 5, 8, 20])
def test_a_point_grows_into_an_octagon(pixels: int) -> None:
    point = Image.new("L", (61, 61))
    point.putpixel((30, 30), 255)
    y, x = np.mgrid[-30:31, -30:31]
    grown = array(masks.grown(point, pixels)) == 255
    distance = np.hypot(x, y)
    assert grown[distance <= 0.9 * pixels].all()
    assert not grown[distance > 1.45 * pixels].any()
    assert (grown == grown.T).all()
    assert (grown == grown[::-1, ::-1]).all()
    assert grown[30, 30 + pixels]
    assert not grown[30, 31 + pixels]


def test_masks_do_not_shrink_from_the_borders() -> None:
    white = Image.new("L", SIZE, 255)
    assert masks.grown(white, -7).tobytes() == white.tobytes()
    assert masks.feathered(white, 9).tobytes() == white.tobytes()


MODES: dict[str, Image.Image] = {}
_half = np.zeros((40, 60), np.uint8)
_half[:, 30:] = 255
MODES["L"] = Image.fromarray(_half)
MODES["1"] = MODES["L"].convert("1")
MODES["P"] = MODES["L"].convert("P")
MODES["RGB"] = MODES["L"].convert("RGB")
MODES["LA"] = Image.merge("LA", (Image.new("L", SIZE, 255), MODES["L"]))
MODES["RGBA"] = Image.merge("RGBA", (*[Image.new("L", SIZE, 255)] * 3, MODES["L"]))
MODES["I;16"] = Image.fromarray(_half.astype(np.uint16) * 257)


@pytest.mark.parametrize("mode", MODES)
def test_any_mode_is_read_alike(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    MODES[mode].save(path)
    assert masks.mask_from_picture(read_image(path)).tobytes() == MODES["L"].tobytes()


def test_a_float_tiff_and_orientation(tmp_path: Path) -> None:
    Image.fromarray(_half.astype(np.float32) / 255).save(tmp_path / "mask.tiff")
    assert masks.mask_from_picture(read_image(tmp_path / "mask.tiff")).tobytes() == MODES["L"].tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    MODES["L"].rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    assert masks.mask_from_picture(read_image(tmp_path / "turned.png")).tobytes() == MODES["L"].tobytes()


def test_half_transparent_white_is_half_soft() -> None:
    picture = picture_from_image(Image.new("RGBA", SIZE, (255, 255, 255, 100)))
    assert masks.mask_from_picture(picture).getextrema() == (100, 100)


def made(said: MaskSettings, mask: Image.Image | None = None, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.asarray(masks.make_mask(said, mask, size, "m.png"))


def test_boxes_are_joined_and_cut_a_mask() -> None:
    boxes = MaskSettings(box=("0,0,10,10", "50%,50%,10,10"))
    both = made(boxes)
    assert both[:10, :10].all()
    assert both[20:30, 30:40].all()
    assert both.sum() == 255 * 200
    assert (made(MaskSettings(box=("0,0,40,40",)), MODES["L"]) > 0).sum() == 10 * 40
    assert (made(MaskSettings(box=("0,0,40,40",), invert_mask=True), MODES["L"]) > 0).sum() == 30 * 40
    assert (made(MaskSettings(box=("0,0,40,40",), invert_mask=True)) > 0).sum() == 20 * 40


def test_a_mask_of_another_size_but_the_same_shape_fits() -> None:
    assert abs((made(MaskSettings(), MODES["L"], (600, 402)) > 127).mean() - 0.5) < 0.01
    with pytest.raises(InputError, match=r"m\.png: a mask of 60 x 40 does not fit the photo of 600 x 420"):
        made(MaskSettings(), MODES["L"], (600, 420))


def test_a_mask_without_white_is_refused() -> None:
    black = Image.new("L", SIZE)
    with pytest.raises(InputError, match=r"m\.png: nothing in it is white"):
        made(MaskSettings(), black)
    assert made(MaskSettings(invert_mask=True), black).all()
    with pytest.raises(InputError, match=r"m\.png: nothing is left of it after --grow -40"):
        made(MaskSettings(grow=-40), MODES["L"])


@quick
@given(
    st.tuples(st.integers(20, 400), st.integers(20, 400)),
    st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    st.sampled_from(["pad", "crop"]),
)
def test_every_cell_that_white_touches_may_change(
    size: tuple[int, int], at: tuple[float, float], mode: ResizeMode
) -> None:
    """A single white pixel that the model sees frees its cell, and the cells far from it stay held."""
    fit = model_size(*size, resolution=64, multiple=16, mode=mode)
    x, y = int(at[0] * size[0]), int(at[1] * size[1])
    left, top, right, bottom = fit.seen or (0, 0, *size)
    mask = Image.new("L", size)
    mask.putpixel((x, y), 1)
    where = masks.may_change(mask, fit)
    assert tuple(where.shape) == (fit.padded[1], fit.padded[0])
    is_seen = left <= x and x + 1 <= right and top <= y and y + 1 <= bottom
    if not is_seen:
        return
    across = fit.box[0] + (x + 0.5 - left) * fit.resized[0] / (right - left)
    down = fit.box[1] + (y + 0.5 - top) * fit.resized[1] / (bottom - top)
    assert where[int(down), int(across)]
    cells = free_cells(where, 8)[0]
    assert cells[int(down) // 8, int(across) // 8]
    rows, columns = cells.nonzero(as_tuple=True)
    inner = [(r, c) for r, c in zip(rows.tolist(), columns.tolist(), strict=True)]
    reach = 2 + max(fit.resized[0] / (right - left), fit.resized[1] / (bottom - top)) / 8
    pad = max(fit.padded[0] - fit.resized[0], fit.padded[1] - fit.resized[1]) / 8 + 1  # mirrored there
    assert all(abs(r - down / 8) <= reach + 2 * pad and abs(c - across / 8) <= reach + 2 * pad for r, c in inner)


@quick
@given(st.integers(0, 2**32 - 1), soft_masks())
def test_a_composite_keeps_both_ends_exactly(seed: int, mask: Image.Image) -> None:
    rng = np.random.default_rng(seed)
    edit, photo = (rng.integers(0, 256, (mask.height, mask.width, 3)).astype(np.uint8) for _ in range(2))
    result = np.asarray(masks.composite(Image.fromarray(edit), Image.fromarray(photo), mask))
    assert (result[np.asarray(mask) == 0] == photo[np.asarray(mask) == 0]).all()
    assert (result[np.asarray(mask) == 255] == edit[np.asarray(mask) == 255]).all()


def test_growing_a_mask_of_90_megapixels_warns_of_nothing() -> None:
    mask = Image.new("L", (90_000, 1_000))
    mask.putpixel((45_000, 500), 255)
    assert masks.grown(mask, 1).getbbox() == (44_999, 499, 45_002, 502)
