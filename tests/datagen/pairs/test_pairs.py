"""Pairs: both pictures of one composition, the same whoever paints them, whatever dies, and in whatever blocks."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ip2p_cli.datagen.look_pairs import read_photo
from ip2p_cli.datagen.pairs.settings import PairSettings, draw_candidate
from ip2p_cli.datagen.pairs.write import MakePairs
from ip2p_cli.datagen.stages import WorkerConfig, run_stage, tasks_of
from ip2p_cli.errors import UsageError
from ip2p_cli.io.shards import Shards
from ip2p_cli.looks import apply
from ip2p_cli.models.registry import find_model
from ip2p_cli.types import ModelSpec, Triplet
from tests.cli.ip2p import some_photo
from tests.tiny import save_editor, tiny_painter

QUICK = PairSettings(painter="prompt2prompt", candidates=3, steps=2, block=2, side=64, triplets_per_shard=2)


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    return find_model(str(save_editor(tiny_painter(), tmp_path_factory.mktemp("painter"))))


@pytest.fixture
def triplets(tmp_path: Path) -> Shards:
    """Three triplets of photos, one of them without a look, in two shards."""
    shards = Shards(folder=tmp_path / "data" / "triplets")
    for number, looks in enumerate((("winter", "night"), (None,))):
        with shards.writing(number) as writer:
            for look in looks:
                photo = tmp_path / f"{look}.png"
                some_photo(80, 64, shift=len(str(look))).save(photo)
                triplet = Triplet(
                    key=f"key{look}",
                    caption="a photo of a lake",
                    instruction=f"make it {look}",
                    edited_caption=f"a photo of a lake, {look}",
                    kind="season",
                    writer="test",
                    look=look,
                    image=str(photo),
                )
                writer.add(asdict(triplet))
    return shards


def make(triplets: Shards, name: str, settings: PairSettings, spec: ModelSpec | None = None, **more: Any) -> Shards:
    pairs = Shards(folder=triplets.folder.parent / name, format="tar")
    worker = MakePairs(triplets=triplets, pairs=pairs, settings=settings, spec=spec, device="cpu")
    for _, result, _ in run_stage(pairs, tasks_of(triplets, settings.triplets_per_shard), worker, WorkerConfig(**more)):
        if isinstance(result, Exception):
            raise result
    return pairs


def shas(shards: Shards) -> dict[int, str]:
    return {number: marker.sha256 for number, marker in shards.done().items()}


def picture(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), dtype=int)


def test_prompt2prompt(triplets: Shards, painter: ModelSpec) -> None:
    pairs = make(triplets, "pairs", QUICK, painter)
    samples = [sample for number in pairs.done() for sample in pairs.samples(number)]
    assert [sample.row["key"] for sample in samples[:4]] == [
        "keywinter-000",
        "keywinter-001",
        "keywinter-002",
        "keynight-000",
    ]
    row = samples[1].row
    assert (row["triplet"], row["candidate"], row["painter"], row["steps"]) == ("keywinter", 1, "prompt2prompt", 2)
    drawn = draw_candidate(QUICK, "keywinter", 1)
    assert (row["seed"], row["p"], row["cfg_text"]) == (drawn.seed, drawn.share, drawn.cfg)
    assert 0.1 <= row["p"] <= 0.9
    assert 7.5 <= row["cfg_text"] <= 15
    before, after = (picture(samples[1].pictures[name]) for name in ("original.jpg", "edited.jpg"))
    assert before.shape == after.shape == (64, 64, 3)
    assert (before != after).any()


def test_the_same_whoever_paints(triplets: Shards, painter: ModelSpec) -> None:
    whole = shas(make(triplets, "whole", QUICK, painter))
    for part in ((1, 2), (2, 2)):
        parts = make(triplets, "parts", QUICK, painter, part=part)
    assert shas(parts) == whole
    other = replace(QUICK, seed=1)
    assert set(shas(make(triplets, "other", other, painter)).values()).isdisjoint(whole.values())


@pytest.mark.slow
def test_the_same_by_two_processes(triplets: Shards, painter: ModelSpec) -> None:
    whole = shas(make(triplets, "whole", QUICK, painter))
    assert shas(make(triplets, "two", QUICK, painter, workers=2)) == whole


@pytest.mark.slow
def test_the_same_by_two_workers_of_ray(triplets: Shards, painter: ModelSpec) -> None:
    whole = shas(make(triplets, "whole", QUICK, painter))
    assert shas(make(triplets, "ray", QUICK, painter, workers=2, engine="ray")) == whole


def test_other_blocks_give_the_same_pictures_but_for_rounding(triplets: Shards, painter: ModelSpec) -> None:
    one, three = (make(triplets, f"by{n}", replace(QUICK, block=n), painter) for n in (1, 3))
    for number in one.done():
        for a, b in zip(one.samples(number), three.samples(number), strict=True):
            assert a.row == b.row
            for name in ("original.jpg", "edited.jpg"):
                assert np.abs(picture(a.pictures[name]) - picture(b.pictures[name])).max() <= 4  # JPEG after rounding


def test_anchored_pairs_begin_with_the_photo(triplets: Shards, painter: ModelSpec) -> None:
    near = replace(QUICK, painter="anchored", steps=10, strength=(0.1, 0.1), candidates=1, cfg=(1.0, 1.0))
    far = replace(near, strength=(1.0, 1.0))
    photo = np.asarray(some_photo(80, 64, shift=6).crop((8, 0, 72, 64)), dtype=int)

    def distance(settings: PairSettings) -> float:
        pairs = make(triplets, f"anchored-{settings.strength[0]}", settings, painter)
        sample = next(pairs.samples(0))
        assert sample.row["strength"] == settings.strength[0]
        return float(np.abs(picture(sample.pictures["original.jpg"]) - photo).mean())

    # Even a random autoencoder gives a photo back otherwise than noise.
    assert distance(near) != distance(far)


@pytest.mark.parametrize("cross", ["replace", "refine"])
def test_further_controls_change_the_second_picture_only(triplets: Shards, painter: ModelSpec, cross: Any) -> None:
    plain = replace(QUICK, candidates=1, block=1, share=(0.0, 0.0))
    controlled = replace(plain, cross=cross, blend=True, reweight=2.0)
    a, b = (next(make(triplets, f"c{n}", s, painter).samples(0)) for n, s in enumerate((plain, controlled)))
    assert np.abs(picture(a.pictures["original.jpg"]) - picture(b.pictures["original.jpg"])).max() <= 4
    assert a.pictures["edited.jpg"] != b.pictures["edited.jpg"]


def test_looks(triplets: Shards, tmp_path: Path) -> None:
    settings = PairSettings(painter="looks", candidates=2, side=64)
    pairs = make(triplets, "looks", settings)
    samples = [sample for number in pairs.done() for sample in pairs.samples(number)]
    assert [sample.row["key"] for sample in samples] == [
        "keywinter-000",
        "keywinter-001",
        "keynight-000",
        "keynight-001",
    ]
    before = read_photo(tmp_path / "winter.png", 64)
    expected = apply("winter", before, 1.0, samples[0].row["seed"]) * 255
    assert np.abs(picture(samples[0].pictures["edited.jpg"]) - expected).mean() < 4
    assert samples[0].pictures["edited.jpg"] != samples[1].pictures["edited.jpg"]
    counts = [dict(marker.counts) for marker in pairs.done().values()]
    assert counts == [{}, {"no look": 2}]


def test_what_cannot_be_painted_is_counted(triplets: Shards, tmp_path: Path) -> None:
    (tmp_path / "winter.png").write_text("no picture")
    pairs = make(triplets, "looks", PairSettings(painter="looks", candidates=1, side=64))
    assert dict(pairs.marker(0).counts) == {"photo unreadable": 1}
    assert [row["key"] for row in pairs.rows(0)] == ["keynight-000"]


def test_a_triplet_ends_when_enough_pass(triplets: Shards, painter: ModelSpec) -> None:
    settings = replace(QUICK, candidates=5, block=1, stop_after=2)
    pairs = Shards(folder=triplets.folder.parent / "early", format="tar")
    worker = MakePairs(
        triplets=triplets, pairs=pairs, settings=settings, spec=painter, device="cpu", make_check=lambda _: _even
    )
    list(run_stage(pairs, tasks_of(triplets, 2), worker, WorkerConfig()))
    painted = [row["candidate"] for row in pairs.rows(0) if row["triplet"] == "keywinter"]
    assert painted == [0, 1]


def _even(triplet: Triplet, before: Image.Image, after: Image.Image) -> bool:
    return before.size == after.size


@given(st.integers(0, 2**31), st.text(min_size=1), st.integers(0, 999))
def test_candidates_follow_from_their_seed(seed: int, key: str, number: int) -> None:
    settings = replace(QUICK, seed=seed)
    one = draw_candidate(settings, key, number)
    assert one == draw_candidate(settings, key, number)
    assert 0.1 <= one.share <= 0.9
    assert 7.5 <= one.cfg <= 15
    assert one.seed != draw_candidate(settings, key, number + 1).seed


@pytest.mark.parametrize(
    "wrong", [{"painter": "looky"}, {"candidates": 0}, {"share": (0.5, 0.1)}, {"share": (0.0, 1.5)}, {"side": 100}]
)
def test_impossible_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(QUICK, **wrong)


@pytest.mark.slow
def test_killed_at_any_moment_the_rerun_gives_the_same(triplets: Shards, painter: ModelSpec, tmp_path: Path) -> None:
    settings = replace(QUICK, candidates=12, triplets_per_shard=1, model=painter.name)
    whole = shas(make(triplets, "whole", settings, painter))
    command = [sys.executable, "-m", "ip2p_cli", "gen-data", "pairs", str(tmp_path / "data"), "--model", painter.source]
    command += ["--candidates", "12", "--steps", "2", "--block", "2", "--resolution", "64", "--triplets-per-shard", "1"]
    environment = {**os.environ, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "IP2P_OFFLINE": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    pairs, rng = Shards(folder=tmp_path / "data" / "pairs", format="tar"), random.Random(1)
    for _ in range(4):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while not pairs.folder.is_dir() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, env=environment, check=True, capture_output=True).returncode == 0
    assert shas(pairs) == whole
