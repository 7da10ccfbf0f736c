"""Training as users run it: real processes, killed and started again, and several at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ip2p_cli.training import checkpoints
from tests.train_runs import make_photos, make_recipe, make_start, weights

pytestmark = pytest.mark.slow

STEPS = 30
STAGES = [{"steps": STEPS, "batch": 2, "shapes": [[64, 64]], "side": 64}]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    recipe = make_recipe(make_start(folder / "start"), make_photos(folder / "photos"), stages=STAGES, accumulate=1)
    (folder / "recipe.yaml").write_text(recipe.model_dump_json())
    return folder / "recipe.yaml"


def command(config: Path, out: Path) -> list[str]:
    return ["-m", "ip2p_cli", "train", "--config", str(config), "--out", str(out), "--threads", "1"]


def launch(arguments: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *arguments], text=True, stderr=subprocess.PIPE, env=environment, start_new_session=True
    )


def wait_for_checkpoint(process: subprocess.Popen[str], out: Path) -> None:
    deadline = time.monotonic() + 600
    while not checkpoints.complete(out):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    process = launch(command(config, out))
    said = process.communicate()[1]
    assert process.returncode == 0, said
    return out


def finish(config: Path, out: Path, whole: Path) -> None:
    """Run the same command again: log and weights are those of the uninterrupted run."""
    process = launch(command(config, out))
    said = process.communicate()[1]
    assert process.returncode == 0, said
    assert "going on after step" in said
    assert (out / "log.jsonl").read_text() == (whole / "log.jsonl").read_text()
    torch.testing.assert_close(weights(out), weights(whole), rtol=0, atol=0)


def test_killed_and_started_again(config: Path, whole: Path, tmp_path: Path) -> None:
    process = launch(command(config, tmp_path / "run"))
    wait_for_checkpoint(process, tmp_path / "run")
    process.kill()
    process.communicate()
    assert checkpoints.complete(tmp_path / "run")[-1][0] < STEPS
    finish(config, tmp_path / "run", whole)


@pytest.mark.parametrize("to_group", [False, True])
def test_asked_to_stop_and_started_again(config: Path, whole: Path, tmp_path: Path, to_group: bool) -> None:
    """Ctrl-C goes to the reading process too, `kill` to the training one alone."""
    process = launch(command(config, tmp_path / "run"))
    wait_for_checkpoint(process, tmp_path / "run")
    if to_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    said = process.communicate()[1]
    assert process.returncode == 130, said
    done = checkpoints.complete(tmp_path / "run")[-1][0]
    assert f"stopped after step {done} of {STEPS}; the same command goes on from there." in said
    finish(config, tmp_path / "run", whole)


def test_two_processes(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--cpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    process = launch(["-m", "accelerate.commands.launch", *arguments, *command(config, out)])
    said = process.communicate()[1]
    assert process.returncode == 0, said
    assert said.count("trained; ip2p edit") == 1
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert weights(out)


def test_two_processes_into_one_folder(config: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = launch(command(config, out))
    wait_for_checkpoint(first, out)
    first.send_signal(signal.SIGSTOP)  # it may not end before the second begins
    second = launch(command(config, out))
    errors = second.communicate()[1]
    first.send_signal(signal.SIGCONT)
    assert (second.returncode, errors.count("\n")) == (4, 1), errors
    assert f"process {first.pid} on " in errors
    assert "give another --out" in errors
    assert first.communicate() is not None
    assert first.returncode == 0
    assert (out / "log.jsonl").read_text() == (whole / "log.jsonl").read_text()


def test_a_second_ctrl_c_ends_at_once(config: Path, tmp_path: Path) -> None:
    process = launch(command(config, tmp_path / "run"))
    wait_for_checkpoint(process, tmp_path / "run")
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate()[1]
    assert process.returncode in (-signal.SIGINT, 130), errors
    assert "Traceback" not in errors
    assert "terminate called" not in errors
