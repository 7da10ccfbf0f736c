"""Training in this process: exact resume, what is written, what the steps learn from."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from ip2p_cli.api import Editor
from ip2p_cli.errors import InputError, TrainingError, UsageError
from ip2p_cli.io.train_recipes import TrainRecipe
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.registry import find_model
from ip2p_cli.training import checkpoints
from ip2p_cli.training import train as training
from ip2p_cli.training.schedule import learning_rate_factor, stage_at
from ip2p_cli.training.train import TrainStep, train
from ip2p_cli.types import EditSettings
from tests.train_runs import DEFAULTS, SAMPLES, make_photos, make_recipe, make_start, silent, weights


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_start(tmp_path_factory.mktemp("start") / "model")


@pytest.fixture(scope="module")
def whole(photos: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that nothing interrupted. Shared: do not change it."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    assert len(run(make_recipe(start, photos), folder)) == 4
    return folder


def run(recipe: TrainRecipe, folder: Path, stop: Callable[[], bool] = lambda: False) -> list[TrainStep]:
    return list(train(recipe, folder, stop=stop, say=silent))


def stop_after(steps: int) -> Callable[[], bool]:
    asked = itertools.count()
    return lambda: next(asked) >= steps


def log(folder: Path) -> str:
    return (folder / "log.jsonl").read_text()


@pytest.mark.parametrize("steps", [1, 3])
def test_resume_is_exact(whole: Path, photos: Path, start: Path, tmp_path: Path, steps: int) -> None:
    recipe = make_recipe(start, photos)
    first = run(recipe, tmp_path, stop_after(steps))
    assert [step.step for step in first] == list(range(1, steps + 1))
    assert not (tmp_path / "model").exists()
    rest = run(recipe, tmp_path)
    assert [step.step for step in rest] == list(range(steps + 1, 5))
    assert log(tmp_path) == log(whole)
    torch.testing.assert_close(weights(tmp_path), weights(whole), rtol=0, atol=0)


def test_what_is_written(whole: Path, photos: Path, start: Path) -> None:
    rows = [json.loads(line) for line in log(whole).splitlines()]
    assert [set(row) for row in rows] == [{"step", "loss", "learning_rate"}] * 4
    assert [row["learning_rate"] for row in rows] == [5e-5, 1e-4, 1e-4, 1e-4]
    assert [step for step, _ in checkpoints.complete(whole)] == [2, 4]
    with Image.open(whole / "grids" / "step-0000004.png") as grid:
        assert grid.size == (128, 64)  # one photo is held out, one instruction
    assert sorted(p.name for p in (whole / "model").iterdir()) == [
        "README.md", "ip2p.json", "model_index.json", "scheduler", "text_encoder", "tokenizer", "unet", "vae",
    ]  # fmt: skip
    assert not list(whole.rglob("*.part"))


def test_the_model_holds_the_averaged_weights(whole: Path) -> None:
    state = torch.load(whole / "checkpoints" / "step-0000004" / "state.pt", weights_only=True)
    averaged, trained = state["ema"]["shadow_params"], list(state["unet"].values())
    saved = weights(whole)
    for name, average in zip(state["unet"], averaged, strict=True):
        assert torch.equal(saved[name], average)
    assert not all(torch.equal(a, b) for a, b in zip(averaged, trained, strict=True))


def test_the_model_edits_photos(whole: Path) -> None:
    spec = find_model(str(whole / "model"))
    assert (spec.name, spec.multiple, spec.licence, spec.size_mb) == ("test", 64, "a licence", 3)
    defaults = spec.defaults
    assert defaults.resolution == 64  # the last stage's; all else as the starting model has it
    assert (defaults.steps, defaults.cfg_text, defaults.cfg_image) == (2, 2.0, 1.2)
    assert defaults.sampler == DEFAULTS.sampler
    editor = load_editor(spec, device="cpu", dtype="fp32")
    settings = EditSettings(
        steps=2, cfg_text=2.0, cfg_image=1.2, sampler="euler", seed=0, resolution=64, output_size="model"
    )
    with Image.open(SAMPLES / "cat.jpg") as photo:
        result = Editor(editor).edit(photo.convert("RGB"), "make it winter", settings)
    assert min(result.image.size) == 64


def test_a_finished_run_has_nothing_left_to_do(whole: Path, photos: Path, start: Path) -> None:
    before = weights(whole)
    assert run(make_recipe(start, photos), whole) == []
    torch.testing.assert_close(weights(whole), before, rtol=0, atol=0)


def test_a_run_can_go_on_longer(photos: Path, start: Path, tmp_path: Path) -> None:
    stages = [{"steps": 1, "batch": 1, "shapes": [[64, 64]], "side": 64}]
    run(make_recipe(start, photos, stages=stages), tmp_path)
    said: list[str] = []
    longer = make_recipe(start, photos, stages=[{**stages[0], "steps": 2}])
    steps = list(train(longer, tmp_path, stop=lambda: False, say=said.append))
    assert [step.step for step in steps] == [2]
    assert said[0].startswith("stages has changed since this run began")
    assert said[1] == "going on after step 1 of 2"


def test_stop_before_the_first_step(photos: Path, start: Path, tmp_path: Path) -> None:
    assert run(make_recipe(start, photos), tmp_path, lambda: True) == []
    assert not (tmp_path / "checkpoints").exists()


def test_bf16(photos: Path, start: Path, tmp_path: Path) -> None:
    stages = [{"steps": 1, "batch": 1, "shapes": [[64, 64]], "side": 64}]
    recipe = make_recipe(start, photos, stages=stages, precision="bf16", loss={"weighting": "min_snr"})
    assert len(run(recipe, tmp_path)) == 1
    assert {weight.dtype for weight in weights(tmp_path).values()} == {torch.float32}


@pytest.mark.parametrize("data", [None, "looks", "looks:", "pairs:folder"])
def test_no_data(start: Path, photos: Path, tmp_path: Path, data: str | None) -> None:
    with pytest.raises(UsageError, match="--data looks:FOLDER"):
        run(make_recipe(start, photos, data=data), tmp_path)


def test_missing_photos(start: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no photos there"):
        run(make_recipe(start, tmp_path / "nowhere"), tmp_path)


def test_all_photos_held_out(start: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hold_out_every 1 leaves no photo to train on"):
        run(make_recipe(start, photos, hold_out_every=1), tmp_path)


def test_a_photo_that_is_none(start: Path, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 1)
    (tmp_path / "photos" / "a.jpg").write_text("no photo")
    stages = [{"steps": 1, "batch": 8, "shapes": [[64, 64]], "side": 64}]
    with pytest.raises(InputError, match=r"^\S+a\.jpg: not a picture that can be read; remove it[^\n]*$"):
        run(make_recipe(start, tmp_path / "photos", hold_out_every=0, stages=stages), tmp_path / "run")


def test_shapes_that_do_not_fit(start: Path, photos: Path, tmp_path: Path) -> None:
    stages = [{"steps": 1, "batch": 1, "shapes": [[64, 60]], "side": 64}]
    with pytest.raises(UsageError, match=r"stages\.1\.shapes: 64 x 60 px do not fit this model; give multiples of 8"):
        run(make_recipe(start, photos, stages=stages), tmp_path)


def test_overflow_is_an_error_and_no_checkpoint(
    start: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "weighted_mse", lambda prediction, *_: prediction.mean() * torch.inf)
    with pytest.raises(TrainingError, match=r"step 1: the loss is .*; lower learning_rate"):
        run(make_recipe(start, photos), tmp_path)
    assert checkpoints.complete(tmp_path) == []


def test_null_text_as_no_edit(start: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With text always dropped, the target is the photo itself."""
    encoded: list[torch.Tensor] = []
    encode = training.encode_image

    def watch(editor: object, pixels: torch.Tensor) -> object:
        encoded.append(pixels)
        return encode(editor, pixels)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "encode_image", watch)
    stages = [{"steps": 1, "batch": 6, "shapes": [[64, 64]], "side": 64}]
    loss = {"dropout": 1 / 3, "null_text": "no edit"}  # r < 2/3: no text
    run(make_recipe(start, photos, stages=stages, accumulate=1, loss=loss), tmp_path)
    before, after = encoded[:2]
    generator = torch.Generator().manual_seed(3 << 40)
    dropped = torch.rand(6, generator=generator) < 2 / 3
    assert 0 < dropped.sum() < 6
    same = (before == after).flatten(1).all(1)
    assert torch.equal(same, dropped)


def test_schedule() -> None:
    recipe = make_recipe("x", Path("y"), warmup=0)
    assert [stage_at(recipe, step).side for step in range(5)] == [64] * 5
    assert [len(stage_at(recipe, step).shapes) for step in range(5)] == [1, 1, 2, 2, 2]
    stages = [{"steps": 100, "batch": 1}]
    for schedule, at_60 in (("constant", 1.0), ("cosine", 0.02 + 0.98 * 0.3454915), ("cooldown", 1.0)):
        plan = make_recipe("x", Path("y"), stages=stages, schedule=schedule, cooldown=0.25, warmup=10)
        assert learning_rate_factor(plan, 0) == pytest.approx(0.1, rel=0.01)
        assert learning_rate_factor(plan, 60) == pytest.approx(at_60)
        end = learning_rate_factor(plan, 99)
        assert end == 1.0 if schedule == "constant" else 0 < end < 0.03


def test_sigterm_ends_with_a_checkpoint_and_130(
    start: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import typer

    from ip2p_cli.cli import train as command

    recipe = make_recipe(start, photos, grid_every=2)
    config = tmp_path / "recipe.yaml"
    config.write_text(recipe.model_dump_json())  # JSON is YAML
    monkeypatch.setattr(training, "draw_grid", lambda *_: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as caught:
        command.train(config, tmp_path / "run", threads=1)
    assert caught.value.exit_code == 130
    assert signal.getsignal(signal.SIGTERM) is before
    said = capfd.readouterr().err
    assert "stopping after this step, with a checkpoint" in said
    assert "stopped after step 3 of 4; the same command goes on from there." in said
    assert checkpoints.complete(tmp_path / "run")[-1][0] == 3


def test_a_second_signal_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from ip2p_cli.cli.output import Output
    from ip2p_cli.cli.train import _Stop

    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ended: list[int] = []
    monkeypatch.setattr("ip2p_cli.cli.train.end_at_once", ended.append)
    before = signal.getsignal(signal.SIGINT)
    with _Stop(Output(quiet=True)) as stop:
        assert signal.getsignal(signal.SIGINT) is before  # nothing to save yet
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        assert not ended
        signal.raise_signal(signal.SIGINT)
        assert ended == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is before
