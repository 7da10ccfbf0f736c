"""A wrong recipe gives one line: file, line, field, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.train_recipes import ScratchModelRecipe, read_train_recipe, with_overrides

GOOD = "name: a\nstart: some/model\nstages:\n  - {steps: 1, batch: 2}\n  - {steps: 3, batch: 2, side: 512}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    recipe = read_train_recipe(write(tmp_path, GOOD))
    assert recipe.start == "some/model"
    assert not recipe.is_from_scratch
    assert recipe.total_steps == 4
    assert (recipe.learning_rate, recipe.ema_decay, recipe.loss.dropout) == (1e-4, 0.9999, 0.05)
    assert recipe.stages[0].shapes == ((256, 256),)


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    # YAML takes 8e-4, without a point, for text.
    assert read_train_recipe(write(tmp_path, GOOD + "learning_rate: 8e-4\n")).learning_rate == 8e-4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "learning_rte: 1\n", r":6: there is no setting learning_rte\. Did you mean learning_rate\?"),
        (GOOD.replace("batch: 2, side", "batches: 2, side"), r":5: there is no setting stages\.2\.batches\. Did you"),
        (GOOD.replace("some/model", "{patch_sise: 4}"), r":2: .* start\.patch_sise\. Did you mean patch_size\?"),
        (GOOD + "loss:\n  gama: 5\n", r":7: .* loss\.gama\. Did you mean gamma"),
        (
            GOOD + "\nloss:\n  weighting: minsnr\n",
            r":8: loss\.weighting should be 'none', 'min_snr' or 'sample', not 'minsnr'",
        ),
        (GOOD + "seed: many\n", r":6: seed should be a valid integer.*, not 'many'"),
        (GOOD + "seed: -1\n", r":6: seed should be greater than or equal to 0, not -1"),
        (GOOD + "grid_instructions: make it winter\n", r":6: grid_instructions should be a list, not 'make it winter'"),
        (GOOD.replace("some/model", "[1]"), r":2: start should be a mapping"),
        (GOOD.replace("steps: 3", "steps: 0"), r":5: stages\.2\.steps should be greater than 0, not 0"),
        ("name: a\nstages: []\n", r":1: start is missing$"),
        ("name: a\nstart: x\nstages: []\n", r":3: stages should be a longer list"),
        (GOOD + "loss: [1, 2\n", r":\d+: not valid YAML: "),
        (GOOD + "\tx: 1\n", r":\d+: not valid YAML: "),
        ("- a list\n", r": not a recipe: it must hold settings"),
        ("# nothing\n", r": not a recipe: it must hold settings"),
        (GOOD + "model: x\n", r":6: there is no setting model\."),
        (GOOD + "fresh: x\n", r":6: there is no setting fresh\."),
        (GOOD + "stags: x\n", r":6: there is no setting stags\. Did you mean stages"),
        (GOOD + "betas: {a: 1}\n", r":6: betas should be a list"),
        (GOOD + "emphasis: {dusk: -1}\n", r":6: emphasis\.dusk should be greater than 0, not -1"),
        (GOOD + "7: x\n", r": there is no setting 7: names of settings are texts"),
        (GOOD + "no: x\n", r": there is no setting False: names"),
        (GOOD + "'': x\n", r": there is no setting "),
        (GOOD + "name: b\n", r":6: 'name' is given twice: leave one out"),
    ],
)
def test_wrong_recipes(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=message) as caught:
        read_train_recipe(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        read_train_recipe(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a folder: name a YAML file in it"):
        read_train_recipe(tmp_path)
    (tmp_path / "photo.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_train_recipe(tmp_path / "photo.yaml")


def test_overrides(tmp_path: Path) -> None:
    recipe = read_train_recipe(write(tmp_path, GOOD))
    assert with_overrides(recipe, data=None, teacher=None) == recipe
    assert with_overrides(recipe, data="looks:x", teacher=None).data == "looks:x"
    with pytest.raises(UsageError, match="--teacher is for recipes that start from scratch"):
        with_overrides(recipe, data=None, teacher=tmp_path)
    fresh = with_overrides(
        read_train_recipe(write(tmp_path, GOOD.replace("some/model", "{}"))), data=None, teacher=tmp_path
    )
    assert isinstance(fresh.start, ScratchModelRecipe)
    assert fresh.start.teacher == tmp_path
