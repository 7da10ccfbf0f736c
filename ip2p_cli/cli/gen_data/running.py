"""Runs a stage from the command line: a progress bar, a line for each shard, and what was dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from ip2p_cli.cli.flags import takes_flags
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.running import counting
from ip2p_cli.errors import Ip2pError, ModelError

if TYPE_CHECKING:
    from ip2p_cli.datagen.stages import Task, Work, WorkerConfig
    from ip2p_cli.io.shards import Marker, Shards

# A stage's command: it checks what it needs, yields, and then works.
Stage = Callable[..., Iterator[None]]


def command_of(stage: Stage) -> Callable[..., None]:
    """Make a command for Typer of a stage."""

    @wraps(stage)
    def command(**values: Any) -> None:
        finish(stage(**values))

    return takes_flags(command)


def begin(stage: Stage, values: Mapping[str, Any]) -> Iterator[None]:
    """Check what a stage needs.

    Args:
        stage: The stage's command.
        values: Values of its flags; those that are missing have their defaults, others are ignored.

    Returns:
        The rest of the command, for `finish`.

    Raises:
        Ip2pError: Something is missing; the message names it, or the extra to install.
    """
    arguments = {}
    for name, kind in get_type_hints(stage).items():
        if is_dataclass(kind) and isinstance(kind, type):
            arguments[name] = kind(**{flag.name: values[flag.name] for flag in fields(kind) if flag.name in values})
        elif name in values:
            arguments[name] = values[name]
    steps = stage(**arguments)
    next(steps)
    return steps


def finish(steps: Iterator[None]) -> None:
    """Do what is left of a stage."""
    for _ in steps:
        pass


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
    """Show shards while they are written, and at the end what was dropped.

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

    name = shards.folder.name

    def show(path: Path, marker: Marker) -> None:
        output.data_only(str(path), {"stage": name, "path": str(path), **vars(marker)})

    paths = ((shards.path(number), result, existed) for number, result, existed in results)
    markers = show_results(paths, output, folder=shards.folder, name=name, noun="shards", count=count, show=show)
    dropped = ", ".join(f"{number} {reason}" for reason, number in total_counts(markers).items())
    rows = sum(marker.rows for marker in markers)
    output.say(f"{shards.folder}: {rows} rows" + (f"; dropped: {dropped}" if dropped else ""))
    return markers


def show_results(
    results: Iterable[tuple[Path | None, Marker | Exception, bool]],
    output: Output,
    *,
    folder: Path,
    name: str,
    noun: str,
    count: int | None,
    show: Callable[[Path, Marker], None] = lambda path, marker: None,
) -> list[Marker]:
    """Count files while they are written.

    Args:
        results: The path of each file, or None to show only errors as they are; its marker or its error; and
            whether it existed before.
        output: The command's output.
        folder: Where the files are.
        name: The stage's name, beside the progress bar.
        noun: What the files are called.
        count: The number of files, or None where it is not known before the end.
        show: Called for each new file.

    Returns:
        The markers. The first error is raised at the end.
    """
    markers: list[Marker] = []
    with (
        counting(count or 2, output, folder=folder, noun=noun, goes_on=True, verb="written") as tally,
        output.progress(name) as bar,
    ):
        for done, (path, result, existed) in enumerate(results, start=1):
            bar(done, count or 0)
            tally.count = count or done
            if isinstance(result, Exception):
                lines = str(result).strip().splitlines() or [type(result).__name__]
                error = result if isinstance(result, Ip2pError) else ModelError(f"a worker failed ({lines[-1]})")
                tally.fail(error if path is None else type(error)(f"{path}: {error}; the same command tries again"))
                continue
            markers.append(result)
            tally.skipped += existed
            tally.done += not existed
            if path is not None and not existed:
                show(path, result)
    return markers
