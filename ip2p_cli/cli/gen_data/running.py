"""Runs a stage from the command line: a progress bar, a line for each shard, and what was dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ip2p_cli.cli.input_args import part_of
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.running import counting
from ip2p_cli.errors import Ip2pError, ModelError
from ip2p_cli.types import EngineName

if TYPE_CHECKING:
    from ip2p_cli.datagen.stages import Task, Work, WorkerConfig
    from ip2p_cli.io.shards import Marker, Shards


def workers_of(workers: int | None, engine: EngineName, shard: str | None) -> WorkerConfig:
    """Who does the work, from --workers, --engine and --shard."""
    from ip2p_cli.datagen.stages import WorkerConfig
    from ip2p_cli.jobs.workers import ray_library

    if engine == "ray":
        ray_library()  # fails before anything is written if it is not installed
    return WorkerConfig(workers=workers, engine=engine, part=part_of(shard) or (1, 1))


def run_shown(
    shards: Shards,
    tasks: Sequence[Task],
    make: Callable[[int], Work],
    workers: WorkerConfig,
    output: Output,
    *,
    redo: bool = False,
) -> list[Marker]:
    """Run a stage as `run_stage` does, and show its shards as `show_shards` does."""
    from ip2p_cli.datagen.stages import run_stage

    results = ((task.number, result, old) for task, result, old in run_stage(shards, tasks, make, workers, redo=redo))
    return show_shards(shards, results, output, count=len(workers.own(tasks)))


def show_shards(
    shards: Shards, results: Iterable[tuple[int, Marker | Exception, bool]], output: Output, *, count: int | None
) -> list[Marker]:
    """Show shards while they are written.

    Each new shard is a line on stdout: its path, or with --json its marker.

    Args:
        shards: The stage's shards.
        results: The number of each shard, its marker or its error, and whether it existed before.
        output: The command's output.
        count: The number of shards, or None where it is not known before the end.

    Returns:
        The markers. The first error is raised at the end.
    """
    from ip2p_cli.datagen.stages import total_counts

    markers: list[Marker] = []
    name = shards.folder.name
    with (
        counting(count or 2, output, folder=shards.folder, noun="shards", goes_on=True, verb="written") as tally,
        output.progress(name) as bar,
    ):
        for done, (number, result, existed) in enumerate(results, start=1):
            bar(done, count or 0)
            tally.count = count or done
            path = shards.path(number)
            if isinstance(result, Exception):
                lines = str(result).strip().splitlines() or [type(result).__name__]
                error = result if isinstance(result, Ip2pError) else ModelError(f"a worker failed ({lines[-1]})")
                tally.fail(type(error)(f"{path}: {error}; the same command tries again"))
                continue
            markers.append(result)
            tally.skipped += existed
            tally.done += not existed
            if not existed:
                output.data_only(str(path), {"stage": name, "path": str(path), **vars(result)})
    dropped = ", ".join(f"{number} {reason}" for reason, number in total_counts(markers).items())
    rows = sum(marker.rows for marker in markers)
    output.say(f"{shards.folder}: {rows} rows" + (f"; dropped: {dropped}" if dropped else ""))
    return markers
