"""`ip2p train` on pairs, in every layout that they come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import yaml

from ip2p_cli.datagen.dataset.base import PairSet
from ip2p_cli.datagen.dataset.opening import open_for_training
from ip2p_cli.datagen.dataset.stream import PairStream
from ip2p_cli.datagen.export.plan import Layout, plan_export
from ip2p_cli.datagen.export.write import finish_export, run_export
from ip2p_cli.datagen.look_pairs import CropSpec
from ip2p_cli.datagen.scores import ScorePairs, ScorerConfig
from ip2p_cli.datagen.selection import SelectPairs, Thresholds
from ip2p_cli.datagen.stages import WorkerConfig, run_stage, tasks_of
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.shards import Sample, Shards
from ip2p_cli.io.train_recipes import TrainRecipe, read_train_recipe
from ip2p_cli.models.registry import find_model
from ip2p_cli.training.data import Batches, open_data
from ip2p_cli.training.train import train
from tests.gen_pairs import make_pairs
from tests.train_runs import make_recipe, silent

LAYOUTS = ("data", "shards", "original", "parquet", "webdataset")
TINY = Path(__file__).parents[2] / "recipes" / "train-tiny.yaml"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs, scored and filtered."""
    folder = make_pairs(tmp_path_factory.mktemp("pairs") / "data")
    pairs, scores, kept = (
        Shards(folder=folder / name, format="tar" if name == "pairs" else "jsonl")
        for name in ("pairs", "scores", "kept")
    )
    scoring = ScorePairs(pairs=pairs, scores=scores, config=ScorerConfig())
    keeping = SelectPairs(scores=scores, kept=kept, gates=Thresholds().gates({"measure": "offline"}), keep=4)
    for shards, before, make in ((scores, pairs, scoring), (kept, scores, keeping)):
        assert all(
            not isinstance(made, Exception) for _, made, _ in run_stage(shards, tasks_of(before), make, WorkerConfig())
        )
    return folder


def dataset(data: Path, layout: str) -> Path:
    out = data.parent / layout
    if layout != "data" and not out.exists():
        plan = plan_export(data, out, cast(Layout, layout), share=0.0, per_file=5)
        assert all(not isinstance(made, Exception) for _, made, _ in run_export(plan, WorkerConfig()))
        assert finish_export(plan)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_few_steps(data: Path, layout: str, tmp_path: Path) -> None:
    plan = yaml.safe_load(TINY.read_text("utf-8"))
    plan["stages"][0]["steps"], plan["stages"][1]["steps"], plan["start"]["text_steps"] = 2, 1, 2
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(plan))
    recipe = read_train_recipe(tmp_path / "tiny.yaml").model_copy(update={"data": str(dataset(data, layout))})
    steps = list(train(recipe, tmp_path / "run", stop=lambda: False, say=silent))
    assert [step.step for step in steps] == [1, 2, 3]
    assert steps[-1].grid is not None
    assert find_model(str(tmp_path / "run" / "model")).name == "tiny"
    assert "pairs of a dataset" in (tmp_path / "run" / "model" / "README.md").read_text()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_batches(data: Path, layout: str) -> None:
    recipe = make_recipe("x", Path("y"), data=str(dataset(data, layout)), hold_out_every=3)
    plain = make_recipe("x", Path("y"), data=str(data), hold_out_every=3)
    found, wanted = (Batches(one, open_data(one).stream, rank=0)[3] for one in (recipe, plain))
    for one, other in zip(cast(Any, found), cast(Any, wanted), strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("readers", [0, 2])
def test_readers_give_the_same(data: Path, readers: int) -> None:
    recipe = make_recipe("x", Path("y"), data=str(dataset(data, "parquet")), hold_out_every=0)
    batches = Batches(recipe, open_data(recipe).stream, rank=0)
    found = [tuple(batch.instructions) for batch in batches.read(0, readers)]
    plain = PairStream(open_for_training(data), np.arange(len(open_for_training(data))), seed=recipe.seed)
    wanted = Batches(recipe, plain, rank=0)
    assert found == [cast(Any, wanted[step]).instructions for step in range(len(batches))]
    assert len(set(found)) > 1


def test_a_pair_that_cannot_be_read_is_passed_over(data: Path) -> None:
    class Broken:
        layout = "data"

        def __init__(self, pairs: PairSet) -> None:
            self.readable = pairs.sample(0)

        def __len__(self) -> int:
            return 4

        def sample(self, index: int) -> Sample:
            if index == 3:
                raise InputError(f"pair {index} cannot be read")
            return self.readable

    pairs = cast(PairSet, Broken(open_for_training(data)))
    crop = CropSpec(height=32, width=32, side=32)
    stream = PairStream(pairs, np.arange(4), seed=0)
    assert [len(stream.batch(step, 2, crop).instructions) for step in range(9)] == [2] * 9
    with pytest.raises(InputError, match="cannot be read"):
        PairStream(pairs, np.array([3]), seed=0).batch(0, 1, crop)


def test_what_does_not_fit(data: Path, tmp_path: Path) -> None:
    def opened(**changes: object) -> object:
        return open_data(TrainRecipe.model_validate(make_recipe("x", Path("y"), **changes)))

    with pytest.raises(UsageError, match="emphasis is for looks"):
        opened(data=str(data), emphasis={"winter": 2.0})
    with pytest.raises(UsageError, match="leaves no pair to train on"):
        opened(data=str(data), hold_out_every=1)
    with pytest.raises(UsageError, match="or a dataset's folder, not"):
        opened(data=str(tmp_path / "none"))
