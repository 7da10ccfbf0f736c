"""What the draws of the looks of the groups medium, camera and colour have in common, and how they differ."""

from functools import cache
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from ip2p_cli.looks import Draw, Pixels, apply, looks

SAMPLES = Path(__file__).parents[2] / "samples"
PHOTOS = ["landscape", "palace", "portrait", "cat"]
GROUPS = {"medium", "camera", "colour"}
RANDOM = [look.name for look in looks().values() if look.group in GROUPS and not look.exact]
EXACT = {"invert", "black_and_white", "red_to_blue", "green_to_red", "blue_to_green"}
DRAWS = range(8)
# Their grain, lines or squares are made of whole pixels, so two sizes need not agree pixel by pixel.
LATTICE = {"pixel_art", "engraving", "pencil_sketch", "film_grain"}


@cache
def photo(name: str, shorter: int = 256) -> Pixels:
    pixels = cv2.imread(str(SAMPLES / f"{name}.jpg"))
    assert pixels is not None
    height, width = pixels.shape[:2]
    factor = shorter / min(height, width)
    size = round(width * factor), round(height * factor)
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    longest = shorter * 5 // 4
    return np.ascontiguousarray(pixels[:longest, :longest, ::-1], np.float32) / np.float32(255)


def difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a - b).mean()) * 255


@pytest.fixture(scope="module", params=PHOTOS)
def means(request: pytest.FixtureRequest) -> tuple[Pixels, dict[str, Pixels]]:
    """A photo, and the mean of its draws for each look."""
    image = photo(request.param)
    mean: dict[str, Pixels] = {}
    for look in looks().values():
        draws = DRAWS[:1] if look.exact else DRAWS
        paintings = [apply(look.name, image, seed=seed) for seed in draws]
        mean[look.name] = np.mean(paintings, axis=0, dtype=np.float32)
    return image, mean


def test_looks_that_are_exact_by_nature_are_the_same_for_every_draw() -> None:
    assert {look.name for look in looks().values() if look.group in GROUPS and look.exact} == EXACT


@pytest.mark.parametrize("name", RANDOM)
def test_two_draws_differ_visibly_but_one_draw_never_changes(name: str) -> None:
    found = []
    for image in map(photo, PHOTOS):
        paintings = [apply(name, image, seed=seed) for seed in DRAWS]
        assert np.array_equal(paintings[3], apply(name, image, seed=3))
        found.append(np.mean([difference(a, b) for a, b in combinations(paintings, 2)]))
    assert 6 <= np.mean(found) <= 35


def test_a_draw_is_nearer_to_its_own_look_than_to_any_other(means: tuple[Pixels, dict[str, Pixels]]) -> None:
    image, mean = means
    names = list(mean)
    flat = np.stack([mean[name].ravel() for name in names])
    lengths = np.square(flat).sum(axis=1, dtype=np.float64)
    wrong: dict[str, list[str]] = {}
    for name in RANDOM:
        for seed in DRAWS:
            painting = apply(name, image, seed=seed).ravel()
            nearest = names[int(np.argmin(lengths - 2 * (flat @ painting)))]  # the smallest squared distance
            if nearest != name:
                wrong.setdefault(name, []).append(nearest)
    assert {name: others for name, others in wrong.items() if len(others) > 1} == {}
    assert sum(map(len, wrong.values())) <= 0.02 * len(RANDOM) * len(DRAWS)


@pytest.mark.parametrize("name", RANDOM)
def test_every_draw_is_a_picture_at_any_size(name: str) -> None:
    for seed, shape in enumerate([(1, 1, 3), (1, 50, 3), (120, 2, 3), (5, 40, 3), (257, 131, 3)]):
        image = np.random.default_rng(seed).random(shape, dtype=np.float32)
        for amount in (0.5, 1.0, 1.6):
            out = apply(name, image, amount, seed)
            assert out.shape == shape
            assert out.dtype == np.float32
            assert np.isfinite(out).all()
            assert out.min() >= 0
            assert out.max() <= 1


@pytest.mark.parametrize("value", [-6.0, 6.0])
@pytest.mark.parametrize("name", RANDOM)
def test_extreme_noise_makes_a_picture(name: str, value: float) -> None:
    image = photo("palace")
    normal = Draw.from_seed(1, *image.shape[:2])
    draw = Draw(numbers=np.full_like(normal.numbers, value), fields=normal.fields * np.float32(2))
    out = looks()[name].paint(image, 1.0, draw)
    assert np.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("name", [name for name in RANDOM if name not in LATTICE])
def test_a_larger_photo_gets_the_same_look_from_the_same_noise(name: str) -> None:
    large = photo("palace", 512)
    small = cv2.resize(large, (large.shape[1] // 2, large.shape[0] // 2), interpolation=cv2.INTER_AREA)
    draw = Draw.from_seed(4, *small.shape[:2])
    painted = looks()[name].paint(large, 1.0, draw)
    reduced = cv2.resize(painted, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.sqrt(np.square(reduced - looks()[name].paint(small, 1.0, draw)).mean()) < 0.085


@pytest.mark.parametrize("name", sorted(set(RANDOM) - {"pixel_art"}))
def test_half_the_amount_is_visibly_weaker(name: str) -> None:
    for seed in DRAWS[:3]:
        image = photo("landscape")
        half, full = (difference(apply(name, image, amount, seed), image) for amount in (0.5, 1.0))
        assert 2 < half < 0.93 * full


@pytest.mark.parametrize("name", RANDOM)
def test_a_small_change_of_the_noise_makes_a_small_change_of_the_picture(name: str) -> None:
    image = photo("portrait", 128)
    draw = Draw.from_seed(2, *image.shape[:2])
    painted = looks()[name].paint(image, 1.0, draw)
    for index in range(8):
        numbers = draw.numbers.copy()
        numbers[index] += 0.01
        moved = looks()[name].paint(image, 1.0, Draw(numbers=numbers, fields=draw.fields))
        assert difference(moved, painted) < 1.0


def test_a_pencil_sketch_is_neutral_grey_with_dark_lines_on_light_paper() -> None:
    for seed in DRAWS:
        sketch = apply("pencil_sketch", photo("portrait"), seed=seed)
        assert np.ptp(sketch, axis=2).max() < 0.01
        assert np.quantile(sketch, 0.95) > 0.8
        assert np.quantile(sketch, 0.03) < 0.35


def test_a_cartoon_outlines_a_thing_in_ink_of_two_pixels() -> None:
    image = np.full((256, 256, 3), (0.85, 0.80, 0.70), np.float32)
    cv2.rectangle(image, (80, 80), (180, 180), (0.30, 0.55, 0.75), -1)
    for seed in DRAWS:
        row = cv2.cvtColor(apply("cartoon", image, seed=seed), cv2.COLOR_RGB2GRAY)[130, 60:110]
        flat = float(np.median(row[30:]))
        assert row.min() < 0.2
        assert 1 <= np.count_nonzero(row < 0.5 * flat) <= 4
        assert np.std(row[32:]) < 0.02


def test_film_has_grain() -> None:
    grey = np.full((256, 256, 3), 0.5, np.float32)
    for seed in DRAWS:
        film = apply("film_grain", grey, seed=seed)[..., 1]
        assert 0.02 < np.std(film) < 0.12
        assert abs(np.corrcoef(film[:, :-4].ravel(), film[:, 4:].ravel())[0, 1]) < 0.2


def test_watercolour_has_dark_edges_and_bare_paper() -> None:
    image = np.full((256, 256, 3), (0.75, 0.80, 0.85), np.float32)
    cv2.rectangle(image, (80, 80), (180, 180), (0.35, 0.45, 0.65), -1)
    for seed in DRAWS:
        painting = cv2.cvtColor(apply("watercolour", image, seed=seed), cv2.COLOR_RGB2GRAY)
        inside = painting[110:150, 100:160]
        assert painting[110:150, 78:86].min(axis=1).mean() < inside.mean() - 0.04
        assert painting[:6, :6].mean() > 0.9
