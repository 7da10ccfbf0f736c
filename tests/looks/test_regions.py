"""Regions: their masks, and instructions that name them."""

from __future__ import annotations

import random
from pathlib import Path

import cv2
import numpy as np
import pytest

from ip2p_cli.datagen.look_pairs import CropSpec, LooksStream, list_photos, read_photo
from ip2p_cli.errors import InputError
from ip2p_cli.looks import looks
from ip2p_cli.looks.labels import class_counts, draw_labelled
from ip2p_cli.looks.phrasing import in_region, mistype, vary
from ip2p_cli.looks.regions import LEAST, MOST, REGIONS, restrict
from tests.train_runs import make_photos

SAMPLES = Path(__file__).parents[2] / "samples"
WHOLE = CropSpec(height=64, width=72, side=64, regions=1.0)


@pytest.fixture(scope="module")
def landscape() -> np.ndarray:
    return read_photo(SAMPLES / "landscape.jpg", 256)


@pytest.mark.parametrize("name", list(REGIONS))
def test_masks_are_soft_planes_of_a_fair_size(name: str, landscape: np.ndarray) -> None:
    subject = np.zeros(landscape.shape[:2], np.float32)
    subject[80:200, 100:220] = 1
    mask = REGIONS[name].mask(landscape, subject)
    if mask is None:
        assert name not in {
            "left",
            "right",
            "top",
            "bottom",
            "middle",
            "edges",
            "corners",
            "subject",
            "background",
            "sky",
        }
        return
    assert mask.shape == landscape.shape[:2]
    assert mask.dtype == np.float32
    assert 0 <= mask.min() < mask.max() <= 1
    assert LEAST < mask.mean() < MOST


def test_halves_complete_each_other(landscape: np.ndarray) -> None:
    for first, second in (("left", "right"), ("top", "bottom")):
        masks = [REGIONS[name].mask(landscape) for name in (first, second)]
        assert masks[0] is not None
        assert masks[1] is not None
        np.testing.assert_allclose(masks[0] + masks[1], 1, atol=1e-5)
    left = REGIONS["left"].mask(landscape)
    assert left is not None
    assert left[:, 0].min() == 1
    assert left[:, -1].max() == 0


def test_the_sky_of_a_landscape(landscape: np.ndarray) -> None:
    sky = REGIONS["sky"].mask(landscape)
    assert sky is not None
    assert sky[:20].mean() > 0.9
    assert sky[-80:].max() < 0.05
    # No photo without one has one: a wall, a table, a studio.
    for name in ("coffee.jpg", "brushes.jpg", "cat.jpg"):
        assert REGIONS["sky"].mask(read_photo(SAMPLES / name, 256)) is None, name


def test_colours() -> None:
    photo = np.zeros((64, 128, 3), np.float32)
    photo[:, :64] = (0.8, 0.1, 0.1)
    photo[:, 64:] = (0.1, 0.2, 0.8)
    red, blue = REGIONS["red"].mask(photo), REGIONS["blue"].mask(photo)
    assert red is not None
    assert blue is not None
    assert red[:, :56].min() > 0.9
    assert red[:, 72:].max() < 0.05
    assert blue[:, 72:].min() > 0.9
    assert REGIONS["green"].mask(photo) is None
    rest = REGIONS["not_red"].mask(photo)
    assert rest is not None
    np.testing.assert_allclose(rest, 1 - red, atol=1e-6)


def test_restrict_leaves_the_rest_alone() -> None:
    before = np.random.default_rng(0).random((8, 8, 3), dtype=np.float32)
    mask = np.zeros((8, 8), np.float32)
    mask[:, 4:] = 1
    after = restrict(before, 1 - before, mask)
    np.testing.assert_array_equal(after[:, :4], before[:, :4])
    np.testing.assert_allclose(after[:, 4:], 1 - before[:, 4:], atol=1e-6)


def test_a_regional_instruction_names_its_region() -> None:
    rng = random.Random(0)
    for name, region in REGIONS.items():
        bare = {noun.removeprefix("everything but ") for noun in region.nouns} | {"the rest"}
        for _ in range(60):
            look = rng.choice(list(looks().values()))
            text = in_region(rng.choice(look.wordings), look.name, region, rng)
            assert any(noun in text for noun in bare), (name, text)


def test_wordings_in_a_region_lose_no_word() -> None:
    text = "make the upper half of the photo much darker"
    kept = [vary(text, random.Random(seed), keep_words=True) for seed in range(300)]
    assert all(len(varied.split()) >= len(text.split()) for varied in kept)
    assert any(len(vary(text, random.Random(seed)).split()) < len(text.split()) for seed in range(300))


def test_mistype_changes_one_place() -> None:
    texts = [mistype("darken the whole sky", random.Random(seed)) for seed in range(300)]
    assert len(set(texts)) > 20
    for text in texts:
        assert abs(len(text) - len("darken the whole sky")) <= 1
    assert mistype("a b c", random.Random(0)) == "a b c"


def test_labels_are_within_their_classes() -> None:
    rng = random.Random(3)
    drawn = [draw_labelled(rng) for _ in range(3000)]
    for way, count in enumerate(class_counts()):
        labels = {classes[way] for _, classes in drawn}
        assert min(labels) == 0
        assert max(labels) < count
    assert {classes[1] for _, classes in drawn} == set(range(len(REGIONS) + 1))
    assert any(text == "" and classes == (0, 0) for text, classes in drawn)


def test_pairs_in_regions_keep_the_rest_of_the_photo(tmp_path: Path) -> None:
    photos = list_photos(make_photos(tmp_path / "photos", 4))
    pairs = LooksStream(photos, seed=0).batch(0, 16, WHOLE)
    unchanged = (np.abs(pairs.after - pairs.before).max(axis=3) < 1e-6).mean(axis=(1, 2))
    assert np.median(unchanged) > 0.05
    everywhere = LooksStream(photos, seed=0).batch(0, 16, CropSpec(height=64, width=72, side=64))
    assert np.median((np.abs(everywhere.after - everywhere.before).max(axis=3) < 1e-6).mean(axis=(1, 2))) < 0.05


def test_subjects_are_found_by_their_photos_name(tmp_path: Path) -> None:
    photos = list_photos(make_photos(tmp_path / "photos", 4))
    masks = tmp_path / "subjects"
    masks.mkdir()
    with pytest.raises(InputError, match=r"subjects: no mask there has the name of a training photo"):
        LooksStream(photos, seed=0, subjects=masks)
    for photo in photos:
        size = read_photo(photo, 64).shape[:2]
        mask = np.zeros(size, np.uint8)
        mask[: size[0] // 2] = 255
        cv2.imwrite(str(masks / f"{photo.stem}.png"), mask)
    stream = LooksStream(photos, seed=0, subjects=masks)
    assert stream.subjects.keys() == {photo.stem for photo in photos}
    pairs = stream.batch(1, 40, WHOLE)
    named = [
        i for i, text in enumerate(pairs.instructions) if "subject" in text.lower() and "behind" not in text.lower()
    ]
    tops = [
        np.abs(pairs.after - pairs.before)[i, :24].mean() for i in named if "but" not in pairs.instructions[i].lower()
    ]
    assert tops
    assert np.median(tops) > 0.02


def test_painted_pairs_carry_the_noise_of_their_looks(tmp_path: Path) -> None:
    photos = list_photos(make_photos(tmp_path / "photos", 4, side=256))
    for crop in (
        CropSpec(height=64, width=96, side=256, per_photo=2),
        CropSpec(height=256, width=256, side=256),
    ):
        pairs = LooksStream(photos, seed=0).batch(0, 4, crop)
        assert pairs.fields is not None
        assert pairs.numbers is not None
        assert pairs.fields.shape == (4, 16, crop.height // 4, crop.width // 4)
        assert pairs.numbers.shape == (4, 16)
