from collections import Counter

import cv2
import numpy as np
import pytest

from ip2p_cli.looks import Pixels, apply, looks

NAMES = list(looks())
# The lattice of these is made of whole pixels, so two sizes need not agree pixel by pixel.
LATTICE = {"pixel_art", "engraving"}
GRADED = [
    "winter", "autumn", "heat", "fog", "storm", "night", "sunset", "sunrise", "golden_hour", "brighter", "darker",
    "contrast", "faded", "high_key", "low_key", "vignette", "sepia", "warmer", "cooler", "vivid", "muted", "tint_green",
    "tint_purple", "red_to_blue", "green_to_red", "blur", "sharpen", "tilt_shift", "film_grain", "vintage", "bokeh",
]  # fmt: skip


def picture(height: int, width: int) -> Pixels:
    """A made-up landscape: sky, hill, meadow, coloured things; drawn large, then reduced."""
    rng = np.random.default_rng(5)
    big = np.zeros((768, 1024, 3), np.float32)
    y = np.linspace(0, 1, 768, dtype=np.float32)[:, None]
    for c, (top, bottom) in enumerate([(0.35, 0.85), (0.55, 0.88), (0.9, 0.92)]):
        big[..., c] = top + (bottom - top) * y
    cv2.ellipse(big, (300, 640), (620, 260), 0, 0, 360, (0.42, 0.44, 0.40), -1)
    cv2.rectangle(big, (0, 560), (1024, 768), (0.30, 0.52, 0.16), -1)
    cv2.rectangle(big, (640, 420), (820, 600), (0.95, 0.78, 0.10), -1)
    for _ in range(60):
        at, size = rng.integers([0, 0], [1024, 768]), int(rng.integers(10, 70))
        cv2.circle(big, (int(at[0]), int(at[1])), size, rng.random(3).tolist(), -1)
    big = cv2.GaussianBlur(big, (0, 0), 3)
    return np.clip(cv2.resize(big, (width, height), interpolation=cv2.INTER_AREA), 0, 1).astype(np.float32)


SMALL = picture(192, 256)
LARGE = picture(384, 512)


def psnr(a: Pixels, b: Pixels) -> float:
    return float(-10 * np.log10(max(np.mean((a - b) ** 2), 1e-9)))


def test_every_look_is_worded_and_no_two_share_a_wording() -> None:
    assert len(NAMES) >= 40
    for look in looks().values():
        assert len(look.wordings) >= 12, look.name
        assert look.held_out, look.name
    words = Counter(w.casefold() for k in looks().values() for w in {*k.wordings, *k.held_out, *k.slightly, *k.much})
    assert [w for w, n in words.items() if n > 1] == []


def test_wordings_held_out_are_not_trained_on() -> None:
    for look in looks().values():
        assert not {*look.held_out} & {*look.wordings, *look.slightly, *look.much}, look.name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("amount", [0.5, 1.0, 1.6])
def test_result_is_a_picture_and_the_input_is_left_alone(name: str, amount: float) -> None:
    before = SMALL.copy()
    out = apply(name, SMALL, amount, seed=3)
    assert out.shape == SMALL.shape
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1
    assert np.array_equal(before, SMALL)
    assert not np.shares_memory(out, SMALL)
    assert np.array_equal(out, apply(name, SMALL, amount, seed=3))


@pytest.mark.parametrize("name", NAMES)
def test_only_the_random_looks_depend_on_the_seed(name: str) -> None:
    same = np.array_equal(apply(name, SMALL, seed=1), apply(name, SMALL, seed=2))
    assert same == looks()[name].exact


@pytest.mark.parametrize("name", NAMES)
def test_a_look_is_visible(name: str) -> None:
    assert psnr(apply(name, SMALL), SMALL) < 30


@pytest.mark.parametrize("name", GRADED)
def test_a_larger_amount_goes_further(name: str) -> None:
    half, full, more = (psnr(apply(name, SMALL, a), SMALL) for a in (0.5, 1.0, 1.6))
    assert half > full
    assert full >= more
    assert half > more + 1


@pytest.mark.parametrize("name", [n for n in NAMES if n not in LATTICE])
def test_a_larger_photo_gets_the_same_look(name: str) -> None:
    reduced = cv2.resize(apply(name, LARGE), (256, 192), interpolation=cv2.INTER_AREA)
    small = cv2.resize(LARGE, (256, 192), interpolation=cv2.INTER_AREA)
    # Flakes and drops of a pixel or two are drawn with another edge at another scale.
    assert psnr(reduced, apply(name, small)) >= (20 if name in {"snow", "rain"} else 24)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 500, 3), (500, 2, 3)])
def test_extreme_shapes(name: str, shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    out = apply(name, image)
    assert out.shape == shape
    assert np.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_flat_pictures(name: str, value: float) -> None:
    out = apply(name, np.full((16, 16, 3), value, np.float32))
    assert np.isfinite(out).all()


def test_the_mapping_of_looks_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        looks()["winter"] = looks()["autumn"]  # type: ignore[index]
