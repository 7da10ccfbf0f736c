"""The size rule: no stretching, a bounded size, padding that comes off again exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ip2p_cli.errors import UsageError
from ip2p_cli.io.sizes import MAX_STRETCH, Fit, check_resolution, from_model, model_size, to_model

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
