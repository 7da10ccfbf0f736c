"""Tasks over processes: each result once, errors in their place, and a process that dies costs its task only."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ip2p_cli.errors import UsageError
from ip2p_cli.runners import map_tasks


@dataclass(frozen=True)
class Make:
    """Workers that square numbers; `folder` notes who was killed."""

    folder: Path
    times: int = 1

    def __call__(self, number: int) -> Callable[[int], tuple[int, int]]:
        def work(task: int) -> tuple[int, int]:
            if task == 13:
                raise UsageError("13 is not possible")
            if task == 99:
                deaths = len(list(self.folder.iterdir()))
                if deaths < self.times:
                    (self.folder / str(deaths)).touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            return task * task, number

        return work


@pytest.mark.parametrize("workers", [None, 2])
def test_every_task_once(tmp_path: Path, workers: int | None) -> None:
    results = dict(map_tasks(Make(tmp_path), [1, 2, 13, 4, 5], workers=workers, engine="local"))
    assert isinstance(results.pop(13), UsageError)
    assert {task: result[0] for task, result in results.items()} == {1: 1, 2: 4, 4: 16, 5: 25}  # type: ignore[index]
    numbers = {result[1] for result in results.values()}  # type: ignore[index]
    assert numbers <= ({1, 2} if workers else {1})


@pytest.mark.parametrize("times", [1, 2])
def test_a_process_that_is_killed(tmp_path: Path, times: int) -> None:
    results = dict(map_tasks(Make(tmp_path, times), [1, 99, 3, 4], workers=2, engine="local"))
    assert {task: r[0] for task, r in results.items() if task != 99} == {1: 1, 3: 9, 4: 16}  # type: ignore[index]
    if times == 1:
        assert results[99][0] == 9801  # type: ignore[index]
    else:
        assert isinstance(results[99], ChildProcessError)


def test_no_tasks_no_workers(tmp_path: Path) -> None:
    assert list(map_tasks(Make(tmp_path), [], workers=2, engine="local")) == []
