"""What the stages of data generation share: each shard is written once, by any worker.

A shard depends on its source, its stage's settings and its number, never on who writes it or when.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Marker, Shards, ShardWriter
from ip2p_cli.jobs.workers import map_tasks
from ip2p_cli.types import EngineName


@dataclass(frozen=True, kw_only=True)
class Task:
    """A shard to write.

    Attributes:
        number: The shard's number.
        digest: A hash of what the shard is made from; a shard whose marker has another one is stale.
        source: The number of the shard to read.
        start: The first row to read.
        stop: The row to end before; None is all rows.
    """

    number: int
    digest: str
    source: int = 0
    start: int = 0
    stop: int | None = None


Work = Callable[[Task], Marker]
Fill = Callable[[Task, ShardWriter], None]
StageResult = tuple[Task, Marker | Exception, bool]


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Who does the work.

    Attributes:
        workers: The number of processes; see `map_tasks`.
        engine: Processes of this machine, or a Ray cluster.
        part: (I, N): this is the I-th of N runs that share the work, from 1.
    """

    workers: int | None = None
    engine: EngineName = "local"
    part: tuple[int, int] = (1, 1)

    def own(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks of this part."""
        return [task for task in tasks if task.number % self.part[1] == self.part[0] - 1]


def tasks_of(before: Shards, rows: int | None = None) -> list[Task]:
    """The tasks of a stage that reads `before`; shards that are added later get later numbers.

    Args:
        before: The finished shards of the stage before.
        rows: The rows to read for each new shard. None is a whole shard.

    Raises:
        InputError: There is nothing to read.
    """
    markers = before.done()
    if not markers:
        raise InputError(f"{printable(before.folder)} holds no finished shards: run the stage before first")
    tasks: list[Task] = []
    for source, marker in markers.items():
        step = rows or max(1, marker.rows)
        for start in range(0, max(1, marker.rows), step):
            stop = None if rows is None else min(start + step, marker.rows)
            digest = marker.sha256 if rows is None else f"{marker.sha256}:{start}:{stop}"
            tasks.append(Task(number=len(tasks), digest=digest, source=source, start=start, stop=stop))
    return tasks


def shard_work(shards: Shards, fill: Fill) -> Work:
    """Make the work of a stage of `fill`, which writes the rows of a task's shard."""

    def work(task: Task) -> Marker:
        with shards.writing(task.number, task.digest) as writer:
            fill(task, writer)
        return shards.marker(task.number)

    return work


def run_stage(
    shards: Shards,
    tasks: Sequence[Task],
    make: Callable[[int], Work],
    workers: WorkerConfig,
    *,
    redo: bool = False,
) -> Iterator[StageResult]:
    """Write the shards that are missing.

    Args:
        shards: The stage's shards.
        tasks: The shards to write, those of other parts included.
        make: Creates a worker, given its number, in the worker's own process; see `map_tasks`.
        workers: Who does the work.
        redo: Also write the stale shards again.

    Yields:
        Each task of this part, with its shard's marker or its error, and whether the shard existed before.

    Raises:
        UsageError: A shard is stale.
    """
    own, markers = workers.own(tasks), shards.done()
    fresh = {task.number for task in own if task.number in markers and markers[task.number].source == task.digest}
    missing = [task for task in own if task.number not in fresh]
    stale = [task for task in missing if task.number in markers]
    if stale and not redo:
        raise UsageError(
            f"{printable(shards.path(stale[0].number))} was made from data that has changed: write it again with "
            "--redo, or give another folder"
        )
    for task in own:
        if task.number in fresh:
            yield task, markers[task.number], True
    for task, result in map_tasks(make, missing, workers=workers.workers, engine=workers.engine):
        yield task, result, False


def key_of(*parts: Any) -> str:
    """A key of 16 hex digits that depends on `parts` alone."""
    return _hash_of(parts).hex()[:16]


def seed_of(*parts: Any) -> int:
    """A seed in [0, 2**32) that depends on `parts` alone, such as the run's seed, an item's key and a number."""
    return int.from_bytes(_hash_of(parts)[:4], "big")


def _hash_of(parts: tuple[Any, ...]) -> bytes:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).digest()


def total_counts(markers: Sequence[Marker]) -> Mapping[str, int]:
    """The rows that were dropped in all shards, by reason."""
    counts: Counter[str] = Counter()
    for marker in markers:
        counts.update(marker.counts)
    return dict(counts)
