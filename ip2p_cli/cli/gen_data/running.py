"""A stage run from the command line: a bar of shards, a line for each, and what was dropped at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ip2p_cli.cli.input_args import part_of
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.running import counting
from ip2p_cli.errors import Ip2pError, ModelError
from ip2p_cli.types import EngineName

if TYPE_CHECKING:
    from ip2p_cli.datagen.stages import Task, Work, WorkerConfig
    from ip2p_cli.io.shards import Marker, Shards


def hands_of(workers: int | None, engine: EngineName, shard: str | None) -> WorkerConfig:
    """Who does the work, out of --workers, --engine and --shard."""
    from ip2p_cli.datagen.stages import WorkerConfig

    return WorkerConfig(workers=workers, engine=engine, part=part_of(shard) or (1, 1))


def run_shown(
    shards: Shards,
    tasks: Sequence[Task],
    make: Callable[[int], Work],
    hands: WorkerConfig,
    output: Output,
    *,
    redo: bool = False,
) -> list[Marker]:
    """Run a stage and tell of it; the markers of this process's shards. Raises what went wrong, at the end.

    stdout gets a line a shard that was made: its path, or with --json its marker.
    """
    from ip2p_cli.datagen.stages import run_stage, total_counts

    mine = sum(task.number % hands.part[1] == hands.part[0] - 1 for task in tasks)
    markers: list[Marker] = []
    name = shards.folder.name
    with (
        counting(mine, output, folder=shards.folder, noun="shards", goes_on=True, verb="written") as tally,
        output.progress(name) as bar,
    ):
        for done, (task, result, there) in enumerate(run_stage(shards, tasks, make, hands, redo=redo), start=1):
            bar(done, mine)
            path = shards.path(task.number)
            if isinstance(result, Exception):
                lines = str(result).strip().splitlines() or [type(result).__name__]
                told = result if isinstance(result, Ip2pError) else ModelError(f"a worker failed ({lines[-1]})")
                tally.fail(type(told)(f"{path}: {told}; the same command tries again"))
                continue
            markers.append(result)
            tally.skipped += there
            tally.done += not there
            if not there:
                output.data_only(str(path), {"stage": name, "path": str(path), **vars(result)})
    dropped = ", ".join(f"{count} {why}" for why, count in total_counts(markers).items())
    rows = sum(marker.rows for marker in markers)
    output.say(f"{shards.folder}: {rows} rows" + (f"; dropped: {dropped}" if dropped else ""))
    return markers
