"""What all stages of data generation have in common: shards made of shards, each once, by whichever worker.

A stage's shard is a function of its source, the stage's settings and its number, never of who makes it or when.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Marker, Shards
from ip2p_cli.jobs.workers import map_tasks
from ip2p_cli.types import EngineName


@dataclass(frozen=True, kw_only=True)
class Task:
    """A shard to write. Made of rows `start` to `stop` (None: all) of shard `source` of the stage before.

    digest: of what it is made from; a shard whose marker says another one is stale.
    """

    number: int
    digest: str
    source: int = 0
    start: int = 0
    stop: int | None = None


Work = Callable[[Task], Marker]


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Who does the work. part: (I, N) is the I-th of N processes that share it, from 1."""

    workers: int | None = None
    engine: EngineName = "local"
    part: tuple[int, int] = (1, 1)


def tasks_of(before: Shards, rows: int | None = None) -> list[Task]:
    """The tasks of a stage that reads `before`: a shard each, or shards of `rows` of its rows.

    Shards that come later get numbers after those that are there. Raises InputError where there is nothing to read.
    """
    done = before.done()
    if not done:
        raise InputError(f"{printable(before.folder)} holds no finished shards: run the stage before first")
    tasks: list[Task] = []
    for number, marker in done.items():
        step = rows or max(1, marker.rows)
        for start in range(0, max(1, marker.rows), step):
            stop = None if rows is None else min(start + step, marker.rows)
            digest = marker.sha256 if rows is None else f"{marker.sha256}:{start}:{stop}"
            tasks.append(Task(number=len(tasks), digest=digest, source=number, start=start, stop=stop))
    return tasks


def run_stage(
    shards: Shards,
    tasks: Sequence[Task],
    make: Callable[[int], Work],
    hands: WorkerConfig,
    *,
    redo: bool = False,
) -> Iterator[tuple[Task, Marker | Exception, bool]]:
    """Make the shards that are missing: (task, its marker or what went wrong, whether it was there already).

    make: makes a worker of its number, in the worker's own process; a worker writes its task's shard. Raises UsageError
    for shards that were made from something else, unless `redo`.
    """
    mine = [task for task in tasks if task.number % hands.part[1] == hands.part[0] - 1]
    done = shards.done()
    stale = [task for task in mine if task.number in done and done[task.number].source != task.digest]
    if stale and not redo:
        raise UsageError(
            f"{printable(shards.path(stale[0].number))} was made from other data than there is now: --redo makes it "
            "anew, or give another folder"
        )
    left = []
    for task in mine:
        if task.number in done and task not in stale:
            yield task, done[task.number], True
        else:
            left.append(task)
    for task, result in map_tasks(make, left, workers=hands.workers, engine=hands.engine):
        yield task, result, False


def key_of(*parts: Any) -> str:
    """A name of 16 hex digits that follows from `parts` alone."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:16]


def seed_of(*parts: Any) -> int:
    """A seed in [0, 2**32) that follows from `parts` alone: (run's seed, item, candidate)."""
    return int.from_bytes(hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).digest()[:4], "big")


def total_counts(markers: Sequence[Marker]) -> Mapping[str, int]:
    """What was dropped in all shards, by reason."""
    counts: dict[str, int] = {}
    for marker in markers:
        for why, count in marker.counts.items():
            counts[why] = counts.get(why, 0) + count
    return counts
