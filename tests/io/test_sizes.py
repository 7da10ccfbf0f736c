"""The size rules: no stretching, a bounded size, padding that comes off again exactly, cropping that is known."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ip2p_cli.diffusion.detail import return_to_full_size
from ip2p_cli.errors import UsageError
from ip2p_cli.io.sizes import MAX_STRETCH, Fit, check_resize_mode, check_resolution, from_model, model_size, to_model
from ip2p_cli.types import ResizeMode

SIDES = st.integers(1, 10_000)
RESOLUTIONS = st.integers(64, 1024)
MULTIPLES = st.sampled_from([1, 8, 16, 64])


@given(width=SIDES, height=SIDES, resolution=RESOLUTIONS, multiple=MULTIPLES)
def test_any_size_keeps_its_shape_and_fits_the_grid(width: int, height: int, resolution: int, multiple: int) -> None:
    fit = model_size(width, height, resolution=resolution, multiple=multiple)
    (w, h), (W, H) = fit.resized, fit.padded
    assert W % multiple == 0
    assert H % multiple == 0
    assert 0 <= W - w < multiple
    assert 0 <= H - h < multiple
    assert max(w, h) <= MAX_STRETCH * resolution
    # Within a pixel of the true shape, seen from the longer side.
    if w >= h:
        assert abs(h - w * height / width) < 1
    else:
        assert abs(w - h * width / height) < 1
    if max(width, height) <= MAX_STRETCH * min(width, height):
        assert min(w, h) == resolution
    else:
        assert max(w, h) == MAX_STRETCH * resolution


@given(width=SIDES, height=SIDES, resolution=RESOLUTIONS, multiple=MULTIPLES)
def test_turning_the_photo_turns_the_fit(width: int, height: int, resolution: int, multiple: int) -> None:
    fit = model_size(width, height, resolution=resolution, multiple=multiple)
    turned = model_size(height, width, resolution=resolution, multiple=multiple)
    assert turned == Fit(resized=fit.resized[::-1], padded=fit.padded[::-1])


@settings(max_examples=40, deadline=None)
@given(width=st.integers(1, 300), height=st.integers(1, 300), multiple=MULTIPLES, mode=st.sampled_from(["RGB", "L"]))
def test_padding_comes_off_exactly(width: int, height: int, multiple: int, mode: str) -> None:
    noise = np.random.default_rng(width * 300 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise).convert(mode)
    fit = model_size(width, height, resolution=64, multiple=multiple)
    padded = to_model(image, fit)
    assert padded.size == fit.padded
    assert padded.mode == mode
    back = from_model(padded, fit)
    assert back.size == fit.resized
    assert back.tobytes() == image.resize(fit.resized, Image.Resampling.LANCZOS).tobytes()


@pytest.mark.parametrize(
    ("size", "resized", "padded"),
    [
        ((512, 512), (256, 256), (256, 256)),
        ((640, 480), (341, 256), (384, 256)),
        ((1, 1), (256, 256), (256, 256)),
        ((1000, 250), (1024, 256), (1024, 256)),
        ((1000, 100), (1024, 102), (1024, 128)),  # beyond 4:1 the longer side decides
        ((10_000, 37), (1024, 4), (1024, 64)),
        ((1, 10_000), (1, 1024), (64, 1024)),
    ],
)
def test_sizes_by_hand(size: tuple[int, int], resized: tuple[int, int], padded: tuple[int, int]) -> None:
    fit = model_size(*size, resolution=256, multiple=64)
    assert fit == Fit(resized=resized, padded=padded)
    assert to_model(Image.new("RGB", size), fit).size == padded


def test_padding_is_a_mirror_where_there_is_room_and_the_edge_elsewhere() -> None:
    row = np.arange(6, dtype=np.uint8)[None].repeat(8, axis=0)
    padded = np.asarray(to_model(Image.fromarray(row), Fit(resized=(6, 8), padded=(8, 8))))
    assert padded[0].tolist() == [1, 0, 1, 2, 3, 4, 5, 4]
    narrow = np.asarray(to_model(Image.fromarray(row[:, 4:]), Fit(resized=(2, 8), padded=(8, 8))))
    assert narrow[0].tolist() == [4, 4, 4, 4, 5, 5, 5, 5]


def test_a_picture_of_another_size_is_not_cropped() -> None:
    with pytest.raises(ValueError, match="the fit is for"):
        from_model(Image.new("RGB", (64, 64)), Fit(resized=(60, 60), padded=(128, 64)))


@pytest.mark.parametrize("value", [64, 500, 512, 4096])
def test_possible_resolutions(value: int) -> None:
    assert check_resolution(value) == value


@pytest.mark.parametrize("value", [0, -1, 63, 4097, 256.0, "512", True, None])
def test_impossible_resolutions_name_the_fix(value: object) -> None:
    with pytest.raises(UsageError, match=r"^resolution .*512$"):
        check_resolution(value)


def test_no_size_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no size"):
        model_size(0, 5, resolution=64, multiple=8)
    with pytest.raises(UsageError):
        model_size(5, 5, resolution=10, multiple=8)


CROPPING = st.sampled_from(["crop", "original"])
# Wide ranges and narrow ones: most pairs of the widest are too long and narrow to be cropped.
PHOTOS = st.one_of(
    st.tuples(SIDES, SIDES),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(100, 999), st.integers(100, 999)),
)


def seen_of(fit: Fit, width: int, height: int) -> tuple[float, float, float, float]:
    return fit.seen or (0.0, 0.0, float(width), float(height))


@given(size=PHOTOS, resolution=RESOLUTIONS, multiple=MULTIPLES, rule=CROPPING)
def test_cropping_fits_the_grid_and_stretches_nothing(
    size: tuple[int, int], resolution: int, multiple: int, rule: ResizeMode
) -> None:
    try:
        fit = model_size(*size, resolution=resolution, multiple=multiple, mode=rule)
    except UsageError:
        assert max(size) > 2 * min(size) or resolution < multiple
        return
    w, h = fit.resized
    assert fit.padded == fit.resized
    assert w % multiple == h % multiple == 0
    assert 0 < max(w, h) <= MAX_STRETCH * resolution
    left, top, right, bottom = seen_of(fit, *size)
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]
    assert math.isclose(left, size[0] - right, abs_tol=1e-9)
    assert math.isclose(top, size[1] - bottom, abs_tol=1e-9)
    assert (left, right) == (0, size[0]) or (top, bottom) == (0, size[1])  # no more is cut off than must be
    assert math.isclose((right - left) * h, (bottom - top) * w, rel_tol=1e-9)
    if rule == "crop":  # the same grid as pad's, from below
        whole = model_size(*size, resolution=resolution, multiple=multiple).resized
        assert (w, h) == (whole[0] // multiple * multiple, whole[1] // multiple * multiple)


@given(size=PHOTOS, resolution=RESOLUTIONS, multiple=st.sampled_from([8, 32, 64]))
def test_original_is_the_authors_formula(size: tuple[int, int], resolution: int, multiple: int) -> None:
    width, height = size
    f = resolution / max(width, height)
    f = math.ceil(min(width, height) * f / multiple) * multiple / min(width, height)
    expected = (int((width * f) // multiple) * multiple, int((height * f) // multiple) * multiple)
    try:
        found = model_size(*size, resolution=resolution, multiple=multiple, mode="original").resized
    except UsageError:
        assert max(expected) > MAX_STRETCH * resolution
        return
    assert found == tuple(max(multiple, side) for side in expected)
    # What it means, without floats: the longer side near the resolution, the shorter one up to the next multiple.
    exact = math.ceil(Fraction(min(size) * resolution, max(size) * multiple)) * multiple
    assert abs(min(found) - exact) in (0, multiple)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((512, 512), (512, 512)), ((640, 480), (512, 384)), ((1920, 1080), (512, 320)), ((3000, 4000), (384, 512))],
)
def test_original_sizes_by_hand(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert model_size(*size, resolution=512, multiple=64, mode="original").padded == expected


@settings(max_examples=40, deadline=None)
@given(width=st.integers(2, 300), height=st.integers(2, 300), rule=CROPPING)
def test_the_model_sees_what_image_ops_fit_gives(width: int, height: int, rule: ResizeMode) -> None:
    noise = np.random.default_rng(width * 300 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    try:
        fit = model_size(width, height, resolution=64, multiple=8, mode=rule)
    except UsageError:
        return
    theirs = ImageOps.fit(image, fit.resized, method=Image.Resampling.LANCZOS)
    seen = to_model(image, fit)
    assert seen.size == fit.padded
    assert np.abs(np.asarray(seen, int) - np.asarray(theirs, int)).max() <= 1
    assert from_model(seen, fit).tobytes() == seen.tobytes()


@settings(max_examples=25, deadline=None)
@given(width=st.integers(1, 90), height=st.integers(1, 90), rule=st.sampled_from(["pad", "crop", "original"]))
def test_any_size_comes_back_at_its_own(width: int, height: int, rule: ResizeMode) -> None:
    comes_back(width, height, rule)


@pytest.mark.parametrize("rule", ["pad", "crop", "original"])
@pytest.mark.parametrize("size", [(10_000, 37), (37, 10_000), (1, 10_000), (2000, 300), (1, 1)])
def test_extreme_sizes_come_back_or_are_refused(size: tuple[int, int], rule: ResizeMode) -> None:
    assert comes_back(*size, rule) or (rule != "pad" and max(size) > 4 * min(size))


def comes_back(width: int, height: int, rule: ResizeMode) -> bool:
    """A ramp, made darker at the model's size, comes back darker at its own; False where the rule refuses it."""
    x, y = np.linspace(40, 200, width), np.linspace(60, 220, height)
    pixels = np.stack(np.broadcast_arrays(x[None], y[:, None], 128.0), axis=-1).round().astype(np.uint8)
    try:
        fit = model_size(width, height, resolution=64, multiple=8, mode=rule)
    except UsageError:
        return False
    before = from_model(to_model(Image.fromarray(pixels), fit), fit)
    small = torch.from_numpy(np.array(before)).permute(2, 0, 1).float() / 255
    full = torch.from_numpy(pixels).permute(2, 0, 1)
    result = return_to_full_size(full, small, small * 0.7, seen=fit.seen)
    assert result.shape == (3, height, width)
    if min(fit.resized) >= 8:  # of a narrower one there is too little to fit colours to
        assert (result.float() - full.float() * 0.7).abs().mean() < 3
    return True


def test_a_rule_that_crops_says_what_to_do_with_a_strip() -> None:
    for rule in ("crop", "original"):
        with pytest.raises(
            UsageError, match=rf"10000 x 37 cannot be cropped .*--resize-mode {rule}.*--resize-mode pad$"
        ):
            model_size(10_000, 37, resolution=512, multiple=64, mode=rule)


def test_rules_by_name() -> None:
    assert [check_resize_mode(name) for name in ("pad", "crop", "original")] == ["pad", "crop", "original"]
    with pytest.raises(UsageError, match="Did you mean crop"):
        check_resize_mode("crpo")
    with pytest.raises(UsageError, match="pad, crop, original"):
        check_resize_mode(None)
