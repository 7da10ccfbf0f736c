"""Every draw of a season, a time of day or a light is a picture of its own, and still unmistakably its look."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from ip2p_cli.looks import Draw, Pixels, looks

SAMPLES = Path(__file__).parents[2] / "samples"
PHOTOS = ("landscape", "palace", "cat", "portrait")
DRAWS = range(8)
GROUPS = ("seasons", "time", "light")
NAMES = [look.name for look in looks().values() if look.group in GROUPS]


@cache
def photo(name: str, side: int = 256) -> Pixels:
    """A sample photo, whose shorter side has `side` pixels."""
    image = cv2.imread(str(SAMPLES / f"{name}.jpg"))
    assert image is not None
    scale = side / min(image.shape[:2])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:side, :side, ::-1]
    return np.ascontiguousarray(image.astype(np.float32) / 255)


def paint(look: str, image: Pixels, seed: int, amount: float = 1.0) -> Pixels:
    return looks()[look].paint(image, amount, Draw.from_seed(seed, *image.shape[:2]))


@cache
def draws(look: str, name: str) -> npt.NDArray[np.float32]:
    """The look in several draws, reduced to 64 pixels: (draws, 64, 64, 3)."""
    painted = (paint(look, photo(name), seed) for seed in DRAWS)
    return np.stack([cv2.resize(x, (64, 64), interpolation=cv2.INTER_AREA) for x in painted])


def distance(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    return float(np.abs(a - b).mean()) * 255


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("look", NAMES)
def test_two_draws_differ_visibly(look: str, name: str) -> None:
    painted = [paint(look, photo(name), seed) for seed in DRAWS]
    apart = [distance(a, b) for i, a in enumerate(painted) for b in painted[:i]]
    assert np.mean(apart) >= 6


@pytest.mark.parametrize("look", NAMES)
def test_a_draw_is_nearest_to_the_mean_of_its_own_look(look: str) -> None:
    right = []
    for name in PHOTOS:
        means = {other: draws(other, name).mean(axis=0) for other in looks()}
        for painted in draws(look, name):
            nearest = min(means, key=lambda other: distance(painted, means[other]))
            right.append(nearest == look)
    assert np.mean(right) >= 0.9


@pytest.mark.parametrize("look", NAMES)
def test_a_draw_always_gives_the_same_picture(look: str) -> None:
    image = photo("landscape")
    for seed in (0, 5):
        out = paint(look, image, seed)
        assert out.dtype == np.float32
        assert out.shape == image.shape
        assert out.min() >= 0
        assert out.max() <= 1
        assert np.array_equal(out, paint(look, image, seed))


@pytest.mark.parametrize("look", NAMES)
def test_half_the_amount_is_weaker_in_every_draw(look: str) -> None:
    image = photo("palace")
    for seed in DRAWS:
        half, full = (distance(paint(look, image, seed, amount), image) for amount in (0.5, 1.0))
        assert half < 0.85 * full


@pytest.mark.parametrize("look", NAMES)
def test_a_draw_looks_the_same_at_two_sizes(look: str) -> None:
    large, small = photo("landscape", 512), photo("landscape", 256)
    for seed in (1, 2):
        reduced = cv2.resize(paint(look, large, seed), small.shape[1::-1], interpolation=cv2.INTER_AREA)
        # Details of one pixel, such as a flake's edge, may differ, what a viewer sees may not.
        a, b = (cv2.GaussianBlur(x, (0, 0), 2) for x in (reduced, paint(look, small, seed)))
        assert distance(a, b) <= 6


@pytest.mark.parametrize("look", NAMES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 700, 3), (600, 3, 3), (37, 91, 3)])
def test_every_size_works_in_every_draw(look: str, shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(4).random(shape, dtype=np.float32)
    for seed in (1, 6):
        out = paint(look, image, seed, 1.6)
        assert out.shape == shape
        assert out.dtype == np.float32
        assert np.isfinite(out).all()
        assert out.min() >= 0
        assert out.max() <= 1


def test_winter_snow_is_white_and_never_violet() -> None:
    meadow = photo("landscape")
    for seed in DRAWS:
        red, green, blue = paint("winter", meadow, seed)[-64:].mean(axis=(0, 1))
        assert min(red, green, blue) >= 0.6
        assert red <= green + 0.005
        assert blue - green <= 0.05


@pytest.mark.parametrize("look", ["sunset", "sunrise", "golden_hour"])
def test_number_0_is_the_side_of_the_sun(look: str) -> None:
    image = np.full((128, 128, 3), 0.5, np.float32)
    for low, high in ((-1.5, 1.5), (-0.7, 0.7)):
        lights = []
        for value in (low, high):
            draw = Draw.from_seed(3, 128, 128)
            draw.numbers[0] = value
            out = looks()[look].paint(image, 1.0, draw)
            lights.append(out[:, 64:].mean() - out[:, :64].mean())
        assert lights[0] < -0.04
        assert lights[1] > 0.04
