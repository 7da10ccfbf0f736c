"""Pairs for training: a function of (seed, step, rank), cut and turned over alike, one broken pair passed over."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from ip2p_cli.datagen.dataset.opening import open_for_training
from ip2p_cli.datagen.dataset.stream import Originals, PairStream, is_sided, split_indices
from ip2p_cli.datagen.look_pairs import CropSpec
from ip2p_cli.errors import InputError
from tests.gen_pairs import make_pairs

CUT = CropSpec(height=32, width=40, side=48)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("pairs"))


def stream_of(data: Path, seed: int = 1) -> PairStream:
    pairs = open_for_training(data)
    return PairStream(pairs, np.arange(len(pairs)), seed=seed)


def test_a_batch_is_a_function_of_its_step(data: Path) -> None:
    one, other = stream_of(data), pickle.loads(pickle.dumps(stream_of(data)))
    one.batch(3, 4, CUT)
    first, second = one.batch(7, 4, CUT, rank=1), other.batch(7, 4, CUT, rank=1)
    assert first.before.shape == first.after.shape == (4, 32, 40, 3)
    assert first.before.dtype == np.float32
    assert 0 <= first.before.min() < first.before.max() <= 1
    assert (first.before == second.before).all()
    assert (first.after == second.after).all()
    assert first.instructions == second.instructions
    for different in (one.batch(8, 4, CUT, rank=1), one.batch(7, 4, CUT), stream_of(data, 2).batch(7, 4, CUT, rank=1)):
        assert not (first.before == different.before).all()


def test_before_and_after_stay_in_step(data: Path) -> None:
    """Candidate 0 does not change anything: its cut, turned over or not, is the same twice."""
    pairs = open_for_training(data)
    untouched = np.array([i for i in range(len(pairs)) if pairs.row(i)["candidate"] == 0])
    batch = PairStream(pairs, untouched, seed=0).batch(0, 12, CropSpec(height=24, width=24, side=32, per_photo=2))
    assert np.abs(batch.before - batch.after).max() < 1e-6
    assert batch.instructions[0] == batch.instructions[1]


def test_left_stays_left(data: Path) -> None:
    pairs = open_for_training(data)
    rows = [pairs.row(index) for index in range(len(pairs))]
    whole = CropSpec(height=48, width=64, side=48)
    left = next(i for i, row in enumerate(rows) if "left" in row["instruction"])
    winter = next(i for i, row in enumerate(rows) if "winter" in row["instruction"])

    def ways(index: int) -> int:
        batch = PairStream(pairs, np.array([index]), seed=0).batch(0, 16, whole)
        return len({picture.tobytes() for picture in batch.before})

    assert (ways(left), ways(winter)) == (1, 2)


@pytest.mark.parametrize(
    ("instruction", "sided"),
    [
        ("put a cat on the left", True),
        ("turn it Right", True),
        ("rotate counterclockwise", True),
        ("add the word hello", True),
        ("make it bright", False),
        ("a leftover pizza", False),
    ],
)
def test_sided(instruction: str, sided: bool) -> None:
    assert is_sided(instruction) is sided


def test_a_broken_pair_is_passed_over(tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data", shards=1, damaged=True)
    pairs = open_for_training(data)
    assert PairStream(pairs, np.arange(len(pairs)), seed=0).batch(0, 60, CUT).before.shape[0] == 60
    broken = next(i for i in range(len(pairs)) if len(pairs.sample(i).pictures["edited.jpg"]) == 40)
    with pytest.raises(InputError, match=r"^\w+-1\.edited\.jpg"):
        PairStream(pairs, np.array([broken]), seed=0).batch(0, 1, CUT)


def test_held_out_triplets_are_whole(data: Path) -> None:
    pairs = open_for_training(data)
    training, held = split_indices(pairs, 3)
    assert len(held)
    assert sorted([*training, *held]) == list(range(len(pairs)))
    assert not {pairs.row(i)["triplet"] for i in training} & {pairs.row(i)["triplet"] for i in held}
    photos = Originals(pairs, held)
    assert photos[0](32).shape == (32, 43, 3)
    assert len(photos[::2]) == (len(held) + 1) // 2


def test_cut_short(tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data", shards=1)
    path = data / "pairs" / "00000.tar"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"00000\.tar is damaged"):
        open_for_training(data)
