"""A moved, zoomed and edited picture comes back over its photo."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ip2p_cli.datagen.look_pairs import read_photo
from ip2p_cli.diffusion.registration import register
from ip2p_cli.looks import apply

SAMPLES = Path(__file__).parents[2] / "samples"
PHOTOS = {name: read_photo(SAMPLES / f"{name}.jpg", 256) for name in ("landscape", "palace", "cat", "portrait")}


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)


def moved(picture: np.ndarray, scale: float, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture zoomed about its centre and shifted by shares of its size, and the matrix."""
    height, width = picture.shape[:2]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([np.eye(2) * scale, centre * (1 - scale) + np.array([x * width, y * height])])
    warped = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.clip(warped, 0, 1), matrix


def error(found: np.ndarray, true: np.ndarray, shape: tuple[int, ...]) -> float:
    """The mean distance in pixels between where two transforms put the points of the picture."""
    points = np.array([[x, y, 1.0] for x in range(0, shape[1], 16) for y in range(0, shape[0], 16)])
    return float(np.linalg.norm(points @ found.T - points @ true.T, axis=1).mean())


@given(
    st.sampled_from(sorted(PHOTOS)),
    st.sampled_from(["sepia", "night", "vivid", "autumn", "black_and_white"]),
    st.floats(0.97, 1.03),
    st.floats(-0.04, 0.04),
    st.floats(-0.04, 0.04),
)
@settings(max_examples=20, deadline=None)
def test_comes_back_to_half_a_pixel(name: str, look: str, scale: float, x: float, y: float) -> None:
    photo = PHOTOS[name]
    edit, matrix = moved(apply(look, photo, seed=1), scale, x, y)
    found = register(tensor(photo), tensor(edit))
    if found is None:  # so little that it is left alone
        assert error(np.eye(2, 3), matrix, photo.shape) < 0.6
    else:
        assert error(found.matrix, matrix, photo.shape) < 0.5


def test_undo_brings_the_edit_back() -> None:
    photo = PHOTOS["palace"]
    look = apply("sepia", photo)
    edit, _ = moved(look, 1.02, 0.02, -0.01)
    found = register(tensor(photo), tensor(edit))
    assert found is not None
    assert found.scale == pytest.approx(1.02, abs=0.003)
    back = found.undo(tensor(edit)).permute(1, 2, 0).numpy()
    inside = (slice(16, -16), slice(16, -16))
    assert np.abs(back - look)[inside].mean() < 0.25 * np.abs(edit - look)[inside].mean()


@pytest.mark.parametrize("look", ["winter", "invert", "sepia", "blur", "pixel_art", "thermal"])
def test_an_edit_in_its_place_is_left_alone(look: str) -> None:
    for photo in PHOTOS.values():
        found = register(tensor(photo), tensor(apply(look, photo)))
        assert found is None or error(found.matrix, np.eye(2, 3), photo.shape) < 1.5


def test_another_picture_is_not_registered() -> None:
    other = cv2.resize(PHOTOS["cat"], PHOTOS["palace"].shape[1::-1])
    assert register(tensor(PHOTOS["palace"]), tensor(other)) is None
    noise = np.random.default_rng(0).random(PHOTOS["palace"].shape, dtype=np.float32)
    assert register(tensor(PHOTOS["palace"]), tensor(noise)) is None
    assert register(tensor(PHOTOS["palace"]), torch.zeros(3, *PHOTOS["palace"].shape[:2])) is None
