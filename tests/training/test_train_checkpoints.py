"""Checkpoints are whole or not there; a folder belongs to one recipe; the log ends where the checkpoint does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel

from ip2p_cli.errors import OutputError, TrainingError
from ip2p_cli.training import checkpoints
from tests.train_runs import make_recipe, silent


class Parts:
    """The smallest thing that trains."""

    def __init__(self) -> None:
        self.accelerator = Accelerator(cpu=True)
        self.unet = torch.nn.Linear(2, 2)
        self.ema = EMAModel(self.unet.parameters())
        self.optimizer = torch.optim.AdamW(self.unet.parameters())

    @property
    def state(self) -> checkpoints.TrainState:
        return checkpoints.TrainState(
            accelerator=self.accelerator, unet=self.unet, ema=self.ema, optimizer=self.optimizer
        )

    def step(self) -> None:
        self.unet(torch.ones(1, 2)).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.step(self.unet.parameters())

    def save(self, folder: Path, step: int) -> None:
        checkpoints.save(folder, step, self.state)

    def restore(self, folder: Path) -> int:
        return checkpoints.restore(folder, self.state)


def test_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    one, other = Parts(), Parts()
    assert other.restore(tmp_path) == 0
    one.step()
    one.step()
    one.save(tmp_path, 2)
    assert other.restore(tmp_path) == 2
    one.step()
    other.step()
    for a, b in ((one.unet.weight, other.unet.weight), (one.ema.shadow_params[0], other.ema.shadow_params[0])):
        assert torch.equal(a, b)


def test_the_newest_two_are_kept_and_halves_are_not_read(tmp_path: Path) -> None:
    parts = Parts()
    for step in (9, 10, 100):
        parts.save(tmp_path, step)
        (tmp_path / "checkpoints" / "step-0000999.part").mkdir(exist_ok=True)
    assert [step for step, _ in checkpoints.complete(tmp_path)] == [10, 100]
    assert parts.restore(tmp_path) == 100
    parts.save(tmp_path, 101)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-0000100", "step-0000101"]


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_unreadable(tmp_path: Path, content: bytes | None) -> None:
    parts = Parts()
    parts.save(tmp_path, 1)
    state = tmp_path / "checkpoints" / "step-0000001" / "state.pt"
    if content is None:
        state.unlink()
    else:
        state.write_bytes(content)
    with pytest.raises(TrainingError, match="step-0000001: this checkpoint cannot be read; delete it"):
        parts.restore(tmp_path)


def test_log_is_cut_to_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    rows = [json.dumps({"step": step, "loss": 0.5}) for step in (1, 2, 3)]
    path.write_text("\n".join(rows) + '\n{"step": 4, "lo')
    log = checkpoints.Log(path, 2)
    log.add(step=3, loss=0.25)
    assert [json.loads(line)["loss"] for line in path.read_text().splitlines()] == [0.5, 0.5, 0.25]


def changed(**changes: Any) -> Any:
    return make_recipe("model", Path("photos"), **changes)


def test_another_recipe_is_refused(tmp_path: Path) -> None:
    checkpoints.check_recipe(tmp_path, changed(), silent)
    checkpoints.check_recipe(tmp_path, changed(), silent)
    with pytest.raises(TrainingError, match=r"another seed \(3, now 4\): give another --out"):
        checkpoints.check_recipe(tmp_path, changed(seed=4), silent)
    said: list[str] = []
    checkpoints.check_recipe(tmp_path, changed(learning_rate=1e-5, data="looks:elsewhere"), said.append)
    assert said == ["learning_rate has changed since this run began: 0.0001, now 1e-05"]


def test_a_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """A setting that the recorded recipe does not have yet had its default."""
    checkpoints.check_recipe(tmp_path, changed(), silent)
    path = tmp_path / "recipe.json"
    old = json.loads(path.read_text())
    del old["max_grad_norm"]
    path.write_text(json.dumps(old))
    checkpoints.check_recipe(tmp_path, changed(), silent)
    with pytest.raises(TrainingError, match="another max_grad_norm"):
        checkpoints.check_recipe(tmp_path, changed(max_grad_norm=2), silent)


def test_the_teacher_may_move(tmp_path: Path) -> None:
    checkpoints.check_recipe(tmp_path, changed(start={"teacher": "/here"}), silent)
    checkpoints.check_recipe(tmp_path, changed(start={}), silent)
    with pytest.raises(TrainingError, match="another start"):
        checkpoints.check_recipe(tmp_path, changed(start={"patch_size": 8}), silent)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("[]")
    with pytest.raises(TrainingError, match="not the recipe of a run"):
        checkpoints.check_recipe(tmp_path, changed(), silent)


def test_a_checkpoint_on_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file\nmore")

    accelerator = mock.Mock(is_main_process=True, scaler=None)
    state = checkpoints.TrainState(accelerator=accelerator, unet=mock.Mock(), ema=mock.Mock(), optimizer=mock.Mock())
    monkeypatch.setattr("torch.save", full)
    with pytest.raises(OutputError, match=r"step-0000003 cannot be written .PytorchStreamWriter failed") as error:
        checkpoints.save(tmp_path, 3, state)
    assert "\n" not in str(error.value)
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("line", ["[" * 100_000, "3}", "{}", '{"step": "x"}', "{half"])
def test_a_log_with_a_damaged_line_goes_on(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n' + line + '\n{"step": 2}\n{"step": 3}\n')
    checkpoints.Log(path, 2).add(step=3)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3}\n'
