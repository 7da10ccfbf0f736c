"""Tasks over processes: each result once, errors in their place, and a process that dies costs its task only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ip2p_cli.errors import InterruptionError, ModelError, UsageError
from ip2p_cli.jobs.workers import map_tasks
from ip2p_cli.types import EngineName


@dataclass(frozen=True)
class Make:
    """Workers that square numbers; `folder` notes who was killed and how often workers were made."""

    folder: Path
    times: int = 1

    def __call__(self, number: int) -> Callable[[int], tuple[int, int]]:
        with (self.folder / "made").open("a") as file:
            file.write(f"{number}\n")

        def work(task: int) -> tuple[int, int]:
            if task == 13:
                raise UsageError("13 is not possible")
            if task == 14:
                raise InterruptionError("stopped", exit_code=143)
            if task == 15:
                raise KeyError("15")
            if task == 99:
                deaths = len(list(self.folder.glob("death*")))
                if deaths < self.times:
                    (self.folder / f"death{deaths}").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            return task * task, number

        return work


@dataclass(frozen=True)
class MakeNone(Make):
    """Workers that cannot be made."""

    def __call__(self, number: int) -> Callable[[int], tuple[int, int]]:
        super().__call__(number)
        raise ModelError("the model is not there")


@pytest.mark.parametrize("workers", [None, 2])
def test_every_task_once(tmp_path: Path, workers: int | None) -> None:
    results = dict(map_tasks(Make(tmp_path), [1, 2, 13, 4, 5], workers=workers, engine="local"))
    assert isinstance(results.pop(13), UsageError)
    assert {task: result[0] for task, result in results.items()} == {1: 1, 2: 4, 4: 16, 5: 25}  # type: ignore[index]
    numbers = {result[1] for result in results.values()}  # type: ignore[index]
    assert numbers <= ({1, 2} if workers else {1})
    assert sorted((tmp_path / "made").read_text().split()) == (["1", "2"] if workers else ["1"])


@pytest.mark.parametrize("times", [1, 2])
def test_a_process_that_is_killed(tmp_path: Path, times: int) -> None:
    results = dict(map_tasks(Make(tmp_path, times), [1, 99, 3, 4], workers=2, engine="local"))
    assert {task: r[0] for task, r in results.items() if task != 99} == {1: 1, 3: 9, 4: 16}  # type: ignore[index]
    if times == 1:
        assert results[99][0] == 9801  # type: ignore[index]
    else:
        assert isinstance(results[99], ChildProcessError)
        assert "exit code -9" in str(results[99])


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_errors_come_back_as_they_are(tmp_path: Path, engine: EngineName) -> None:
    results = dict(map_tasks(Make(tmp_path), [13, 14, 15], workers=2, engine=engine))
    assert [type(results[n]) for n in (13, 14, 15)] == [UsageError, InterruptionError, RuntimeError]
    assert [str(results[n]) for n in (13, 15)] == ["13 is not possible", "KeyError: '15'"]
    assert results[14].exit_code == 143  # type: ignore[union-attr]


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_worker_that_cannot_be_made_fails_the_run_once(tmp_path: Path, engine: EngineName) -> None:
    run = map_tasks(MakeNone(tmp_path), list(range(20)), workers=2, engine=engine)
    with pytest.raises(ModelError, match=r"^the model is not there$"):
        next(run)
    assert len((tmp_path / "made").read_text().split()) <= 2
    assert list(run) == []


def test_no_tasks_no_workers(tmp_path: Path) -> None:
    assert list(map_tasks(Make(tmp_path), [], workers=2, engine="local")) == []


SLEEPERS = """
import sys, time
from pathlib import Path
from ip2p_cli.jobs.workers import map_tasks

class Make:
    def __call__(self, number):
        return sleep

def sleep(task):
    (Path(sys.argv[1]) / str(task)).touch()
    time.sleep(60)

if __name__ == "__main__":
    list(map_tasks(Make(), [1, 2], workers=2, engine="local"))
"""


def test_ctrl_c_goes_to_the_first_process(tmp_path: Path) -> None:
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS)
    (tmp_path / "begun").mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "begun")],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        # Tests that a shell runs in the background ignore Ctrl-C, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    until = time.monotonic() + 60
    while len(list((tmp_path / "begun").iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert errors.count("Traceback") == 1  # of the first process only
