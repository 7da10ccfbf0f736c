"""What all stages share: each shard once, whoever makes it, and stale ones are noticed."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from ip2p_cli.datagen.stages import Task, Work, WorkerConfig, key_of, run_stage, seed_of, tasks_of, total_counts
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.shards import Marker, Shards
from ip2p_cli.types import EngineName


@dataclass(frozen=True)
class Double:
    """Writes the double of each number."""

    before: Shards
    after: Shards

    def __call__(self, number: int) -> Work:
        def work(task: Task) -> Marker:
            with self.after.writing(task.number, task.digest) as writer:
                for index, row in enumerate(self.before.rows(task.source)):
                    if index >= task.start and (task.stop is None or index < task.stop):
                        writer.add({"n": row["n"] * 2})
                writer.drop("odd", task.number)
            return self.after.marker(task.number)

        return work


@pytest.fixture
def before(tmp_path: Path) -> Shards:
    shards = Shards(folder=tmp_path / "before")
    for number, numbers in enumerate(((1, 2, 3), (4, 5), ())):
        with shards.writing(number) as writer:
            for n in numbers:
                writer.add({"n": n})
    return shards


def numbers(shards: Shards) -> list[list[int]]:
    return [[row["n"] for row in shards.rows(number)] for number in shards.done()]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(None, [[2, 4, 6], [8, 10], []]), (2, [[2, 4], [6], [8, 10], []]), (9, [[2, 4, 6], [8, 10], []])],
)
def test_each_row_once(before: Shards, tmp_path: Path, rows: int | None, expected: list[list[int]]) -> None:
    after = Shards(folder=tmp_path / "after")
    ran = list(run_stage(after, tasks_of(before, rows), Double(before, after), WorkerConfig()))
    assert numbers(after) == expected
    assert not any(there for _, _, there in ran)
    again = list(run_stage(after, tasks_of(before, rows), Double(before, after), WorkerConfig()))
    assert all(there for _, _, there in again)
    assert total_counts(list(after.done().values())) == {"odd": sum(range(len(expected)))}


def test_parts_make_the_whole(before: Shards, tmp_path: Path) -> None:
    after = Shards(folder=tmp_path / "after")
    for part in ((2, 2), (1, 2)):
        list(run_stage(after, tasks_of(before, 2), Double(before, after), WorkerConfig(part=part)))
    whole = Shards(folder=tmp_path / "whole")
    list(run_stage(whole, tasks_of(before, 2), Double(before, whole), WorkerConfig(workers=2)))
    assert [after.path(n).read_bytes() for n in range(4)] == [whole.path(n).read_bytes() for n in range(4)]


@dataclass(frozen=True)
class Mortal(Double):
    """Dies over its second shard, once."""

    def __call__(self, number: int) -> Work:
        work = super().__call__(number)

        def mortal(task: Task) -> Marker:
            died = self.after.folder.parent / "died"
            if task.number == 1 and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return work(task)

        return mortal


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_lost_worker_costs_its_shard_only(before: Shards, tmp_path: Path, engine: EngineName) -> None:
    whole, after = Shards(folder=tmp_path / "whole"), Shards(folder=tmp_path / "after")
    list(run_stage(whole, tasks_of(before, 2), Double(before, whole), WorkerConfig()))
    ran = list(run_stage(after, tasks_of(before, 2), Mortal(before, after), WorkerConfig(workers=2, engine=engine)))
    assert (tmp_path / "died").exists()
    assert all(isinstance(result, Marker) for _, result, _ in ran)
    assert [after.path(n).read_bytes() for n in range(4)] == [whole.path(n).read_bytes() for n in range(4)]


def test_what_was_made_of_other_data(before: Shards, tmp_path: Path) -> None:
    after = Shards(folder=tmp_path / "after")
    list(run_stage(after, tasks_of(before), Double(before, after), WorkerConfig()))
    with before.writing(1) as writer:
        writer.add({"n": 50})
    with pytest.raises(UsageError, match=r"00001\.jsonl was made from data that has changed"):
        list(run_stage(after, tasks_of(before), Double(before, after), WorkerConfig()))
    ran = list(run_stage(after, tasks_of(before), Double(before, after), WorkerConfig(), redo=True))
    assert [task.number for task, _, there in ran if not there] == [1]
    assert numbers(after) == [[2, 4, 6], [100], []]


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run the stage before first"):
        tasks_of(Shards(folder=tmp_path / "none"))


def test_seeds_and_keys_follow_from_their_parts() -> None:
    assert seed_of(1, "a", 2) == seed_of(1, "a", 2)
    assert len({seed_of(1, "a", n) for n in range(500)}) == 500
    assert all(0 <= seed_of(n) < 2**32 for n in range(50))
    assert key_of("a", 1) != key_of("a", "1")
    assert len(key_of("ä")) == 16
