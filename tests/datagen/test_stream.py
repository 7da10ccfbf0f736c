"""The training data are a function of (seed, step, rank), whoever reads them; before and after fit together."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ip2p_cli.datagen import look_pairs
from ip2p_cli.datagen.look_pairs import CropSpec, LooksStream, list_photos, read_photo, split_photos
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.looks import Draw, Look, Pixels, looks
from ip2p_cli.looks.labels import labelled_wordings
from ip2p_cli.looks.phrasing import vary
from ip2p_cli.training.data import Batches, TensorBatch
from tests.train_runs import make_photos, make_recipe

PART = CropSpec(height=32, width=40, side=64, per_photo=2)
WHOLE = CropSpec(height=64, width=72, side=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"), 5)


@pytest.fixture
def negative(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look that can be undone exactly."""

    def paint(image: Pixels, amount: float, draw: Draw) -> Pixels:
        return 1 - image

    look = Look(
        name="negative",
        group="test",
        paint=paint,
        exact=True,
        voices={"command": ("negate",)},
        slightly=(),
        much=(),
    )
    monkeypatch.setattr(look_pairs, "looks", lambda: {"negative": look})


@pytest.mark.parametrize("cut", [PART, WHOLE])
def test_a_batch_is_a_function_of_seed_step_and_rank(folder: Path, cut: CropSpec) -> None:
    photos = list_photos(folder)
    one, other = LooksStream(photos, seed=1), LooksStream(photos, seed=1)
    other.batch(8, 3, cut)  # whatever was drawn before
    first, again = one.batch(5, 4, cut), other.batch(5, 4, cut)
    assert first.before.shape == first.after.shape == (4, cut.height, cut.width, 3)
    assert first.before.dtype == first.after.dtype == np.float32
    assert min(first.before.min(), first.after.min()) >= 0
    assert max(first.before.max(), first.after.max()) <= 1
    np.testing.assert_array_equal(first.before, again.before)
    np.testing.assert_array_equal(first.after, again.after)
    assert first.instructions == again.instructions
    for different in (one.batch(6, 4, cut), one.batch(5, 4, cut, 1), LooksStream(photos, seed=2).batch(5, 4, cut)):
        assert not np.array_equal(first.before, different.before)


def test_readers_do_not_matter(folder: Path) -> None:
    photos = list_photos(folder)
    recipe = make_recipe("x", folder)
    expected = list(Batches(recipe, LooksStream(photos, seed=recipe.seed), rank=0).read(0, 0))
    assert len(expected) == 8
    for first, readers in ((0, 2), (3, 1)):
        found = list(Batches(recipe, LooksStream(photos, seed=recipe.seed), rank=0).read(first, readers))
        assert len(found) == 8 - 2 * first
        for a, b in zip(expected[2 * first :], found, strict=True):
            assert torch.equal(a.before, b.before)
            assert torch.equal(a.after, b.after)
            assert list(a.instructions) == list(b.instructions)
    assert expected[0].before.shape == (2, 3, 32, 32)
    assert [expected[i].before.shape[-1] for i in (4, 6)] == [64, 72]  # shapes take turns from step to step
    assert -1 <= expected[0].before.min() < 0 < expected[0].before.max() <= 1


def test_readers_start_after_opencv_had_threads(folder: Path) -> None:
    """As after a fresh start, which paints in the training process."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        cv2.bilateralFilter(np.zeros((600, 600, 3), np.uint8), 5, 10, 10)
        time.sleep(0.5)  # until they sleep
        assert isinstance(
            next(Batches(make_recipe("x", folder), LooksStream(list_photos(folder), seed=3), rank=0).read(0, 1)),
            TensorBatch,
        )
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(threads)


def test_ranks_read_different_data(folder: Path) -> None:
    recipe, photos = make_recipe("x", folder), list_photos(folder)
    one, other = (Batches(recipe, LooksStream(photos, seed=recipe.seed), rank=rank)[0] for rank in (0, 1))
    assert isinstance(one, TensorBatch)
    assert isinstance(other, TensorBatch)
    assert not torch.equal(one.before, other.before)


@pytest.mark.usefixtures("negative")
@pytest.mark.parametrize("cut", [PART, WHOLE, CropSpec(height=96, width=136, side=64)])
def test_before_and_after_show_the_same_place(folder: Path, cut: CropSpec) -> None:
    pairs = LooksStream(list_photos(folder), seed=0).batch(0, 6, cut)
    np.testing.assert_allclose(pairs.after, 1 - pairs.before, atol=1e-6)
    assert {text.strip(" .!,").lower() for text in pairs.instructions} != set()


@pytest.mark.usefixtures("negative")
def test_cuts_of_one_photo_differ(folder: Path) -> None:
    pairs = LooksStream(list_photos(folder)[:1], seed=0).batch(0, 8, PART)
    assert len({pair.tobytes() for pair in pairs.before}) > 4


def test_photos_held_out_are_never_drawn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = list_photos(folder)
    training, held_out = split_photos(photos, 3)
    assert held_out == [photos[2]]
    read: Counter[Path] = Counter()

    def watch(path: Path, side: int) -> Pixels:
        read[path] += 1
        return read_photo(path, side)

    monkeypatch.setattr(look_pairs, "read_photo", watch)
    source = LooksStream(training, seed=0)
    for step in range(20):
        source.batch(step, 4, PART)
    assert read.keys() == set(training)
    assert set(read.values()) == {1}  # and each is read once


def test_only_so_many_photos_are_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_pairs, "REMEMBERED_BYTES", 0)
    photos = list_photos(folder)
    without = LooksStream(photos, seed=0).batch(0, 4, PART)
    monkeypatch.undo()
    np.testing.assert_array_equal(without.after, LooksStream(photos, seed=0).batch(0, 4, PART).after)


def test_split() -> None:
    photos = [Path(str(i)) for i in range(10)]
    assert split_photos(photos, 0) == (photos, [])
    training, held_out = split_photos(photos, 4)
    assert held_out == [photos[3], photos[7]]
    assert sorted(training + held_out) == photos


def test_folders(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="no photos there"):
            list_photos(missing)
    (tmp_path / "a.jpg").write_text("x")
    with pytest.raises(InputError, match=r"a\.jpg: not a picture"):
        read_photo(tmp_path / "a.jpg", 64)


@pytest.mark.parametrize("size", [(300, 200), (60, 40), (64, 64), (33, 500)])
def test_shorter_side(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.full((*size, 3), (0, 128, 255), np.uint8))  # blue, green, red
    photo = read_photo(path, 64)
    assert min(photo.shape[:2]) == 64
    assert photo.dtype == np.float32
    np.testing.assert_allclose(photo[5, 5], [1, 128 / 255, 0], atol=1e-6)


def test_emphasis(folder: Path) -> None:
    photos, name = list_photos(folder), next(iter(looks()))
    source = LooksStream(photos, seed=0, emphasis={name: 1e9})
    known = {text for text, _ in labelled_wordings()[0]}
    wordings = {*looks()[name].wordings, *looks()[name].slightly, *looks()[name].much}
    said = {text for step in range(10) for text in source.batch(step, 2, PART).instructions}
    assert said & wordings
    assert not (said & known) - wordings
    with pytest.raises(UsageError, match=r"no look called 'wintr'\. Did you mean winter"):
        LooksStream(photos, seed=0, emphasis={"wintr": 2})


def test_labels() -> None:
    trained, held_out = labelled_wordings()
    assert trained[0] == ("", 0)
    assert {label for _, label in trained} == set(range(max(label for _, label in trained) + 1))
    assert {label for _, label in held_out} <= {label for _, label in trained}
    assert not {text for text, _ in trained} & {text for text, _ in held_out}


def test_vary() -> None:
    drawn = [vary("make the image look like winter", random.Random(seed)) for seed in range(400)]
    assert drawn == [vary("make the image look like winter", random.Random(seed)) for seed in range(400)]
    assert 0.4 < drawn.count("make the image look like winter") / 400 < 0.75
    assert all("winter" in text.lower() or len(text.split()) >= 5 for text in drawn)
    assert {"photo", "picture"} <= {word for text in drawn for word in text.lower().split()}
    assert vary("", random.Random(0)) == ""
