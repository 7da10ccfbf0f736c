"""The verdict is right on edits that are good, or bad on purpose."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ip2p_cli.editing.judging import draws_of, painting_size
from ip2p_cli.editing.verdict import SIDE, Evidence, judge, small, small_size, structure
from ip2p_cli.looks import apply
from ip2p_cli.looks.regions import REGIONS, restrict
from ip2p_cli.measures import Pixels, reduced

SAMPLES = Path(__file__).parents[2] / "samples"


@cache
def photo(name: str = "landscape") -> Pixels:
    with Image.open(SAMPLES / f"{name}.jpg") as image:
        return small(image.resize((128, 96)))


def name_of(edit: Pixels, look: str | None = None, **more: object) -> str:
    expected = draws_of(look, 1.0, photo(), (128, 96)) if look is not None else ()
    return judge(Evidence(photo=photo(), edit=edit.clip(0, 1), expected=expected, **more))[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("knows_look", [True, False])
@pytest.mark.parametrize(
    "look", ["pixel_art", "invert", "pencil_sketch", "black_and_white", "winter", "night", "thermal", "snow"]
)
def test_looks_that_replace_structure_or_colour_are_ok(look: str, knows_look: bool) -> None:
    assert name_of(apply(look, photo(), seed=77), look if knows_look else None) == "ok"


def test_nothing_and_hardly_anything_is_no_change() -> None:
    winter = apply("winter", photo())
    assert name_of(photo()) == name_of(photo(), "winter") == "no-change"
    assert name_of(photo() + 0.02 * (winter - photo()), "winter") == "no-change"


def test_slight_edits_are_ok() -> None:
    assert judge(Evidence(photo=photo(), edit=apply("warmer", photo(), 0.5)))[0] == "ok"


def test_another_scene_is_an_over_edit() -> None:
    assert name_of(photo("cat")) == "over-edit"
    assert name_of(apply("winter", photo("cat")), "winter") == "over-edit"


def test_far_too_much_of_a_look_is_an_over_edit() -> None:
    assert name_of(photo() + 3 * (apply("winter", photo(), seed=5) - photo()), "winter") == "over-edit"


@pytest.mark.parametrize(("asked", "made"), [("winter", "sunset"), ("black_and_white", "autumn"), ("night", "vivid")])
def test_another_look_is_off_target(asked: str, made: str) -> None:
    assert name_of(apply(made, photo(), seed=5), asked) == "off-target"


def test_an_edit_in_the_wrong_place_is_off_target() -> None:
    region = REGIONS["left"].mask(photo())
    assert region is not None
    invert = apply("invert", photo())
    assert name_of(restrict(photo(), invert, region), region=region) == "ok"
    assert name_of(restrict(photo(), invert, 1 - region), region=region) == "off-target"


def test_with_a_mask_what_is_inside_counts() -> None:
    mask = np.zeros(photo().shape[:2], np.float32)
    mask[20:40, 30:60] = 1
    edit = restrict(photo(), apply("invert", photo()), mask)
    assert name_of(edit, mask=mask) == "ok"
    inside = judge(Evidence(photo=photo(), edit=edit, mask=mask))[1]["change"]
    assert inside > 5 * judge(Evidence(photo=photo(), edit=edit))[1]["change"]
    assert name_of(photo(), mask=mask) == "no-change"
    assert name_of(photo(), mask=np.zeros_like(mask)) == "no-change"


def test_clip_says_when_an_edit_moves_away_from_the_words() -> None:
    winter = apply("winter", photo())
    assert name_of(winter, towards=-0.02) == "off-target"
    assert name_of(winter, towards=0.02) == "ok"


def test_structure_is_between_none_and_all() -> None:
    weights = np.ones(photo().shape[:2], np.float32)
    noise = np.random.default_rng(0).random(photo().shape, dtype=np.float32)
    assert structure(photo(), photo(), weights) == pytest.approx(1, abs=1e-3)
    assert structure(photo(), 1 - photo(), weights) > 0.8
    assert structure(photo(), noise, weights) < 0.15


@pytest.mark.parametrize("size", [(6000, 4000), (1, 5000), (40, 30), (3, 3)])
def test_any_size_can_be_judged(size: tuple[int, int]) -> None:
    width, height = small_size(size)
    assert 16 <= min(width, height) <= max(width, height) <= SIDE
    picture = np.full((height, width, 3), 0.5, np.float32)
    assert judge(Evidence(photo=picture, edit=picture))[0] == "no-change"


def test_looks_are_painted_at_a_size_at_which_flakes_are_small() -> None:
    with Image.open(SAMPLES / "palace.jpg") as image:
        large = reduced(image, painting_size(image.size))
    size = small_size(large.shape[1::-1])
    before, edit = (_smaller(one, size) for one in (large, apply("snow", large, seed=5)))
    expected = draws_of("snow", 1.0, large, size)
    assert judge(Evidence(photo=before, edit=edit, expected=expected))[0] == "ok"
    assert np.abs(edit - np.mean(expected, axis=0)).mean() < 0.1


@pytest.mark.parametrize(
    ("size", "painted"),
    [((2400, 1600), (384, 256)), ((100, 80), (100, 80)), ((100_000, 3), (640, 1)), ((1, 1), (1, 1))],
)
def test_painting_sizes(size: tuple[int, int], painted: tuple[int, int]) -> None:
    assert painting_size(size) == painted


def _smaller(picture: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
