"""Flags that several commands of data generation share; a command's own flags are in its module."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ip2p_cli.cli import options as opt

if TYPE_CHECKING:
    from ip2p_cli.datagen.stages import WorkerConfig

bound = partial(Option, rich_help_panel="What to keep")

Data = Annotated[Path, Argument(metavar="DATA", help="The dataset's folder, which all stages share.")]
DataOption = Annotated[
    Path, Option("-o", "--output", metavar="DATA", help="The dataset's folder, which all stages share.")
]
DataSet = Annotated[
    Path, Argument(metavar="PATH", help="A dataset's folder, or an export in any format.", show_default=False)
]
Seed = Annotated[int, Option("--seed", min=0, help="The same seed makes the same data.")]
Workers = Annotated[
    int | None,
    Option(min=1, help="Processes that share the work, one a GPU. Default: one; with --engine ray one a GPU."),
]
Plan = Annotated[bool, Option("--plan", help="Paint a few pairs to measure, print what all would take, write nothing.")]


@dataclass(frozen=True, kw_only=True)
class WorkerFlags:
    """Who does the work."""

    workers: Workers = None
    engine: opt.Engine = "local"
    shard: opt.Shard = None

    def config(self) -> WorkerConfig:
        """Return who does the work. Raises UsageError for a wrong --shard, and where Ray is needed and missing."""
        from ip2p_cli.cli.input_args import part_of
        from ip2p_cli.datagen.stages import WorkerConfig
        from ip2p_cli.jobs.workers import ray_library

        if self.engine == "ray":
            ray_library()
        return WorkerConfig(workers=self.workers, engine=self.engine, part=part_of(self.shard) or (1, 1))


@dataclass(frozen=True, kw_only=True)
class ClipFlags:
    """CLIP, and the bounds that both the filter and --stop-after of pairs have."""

    clip: Annotated[
        str | None,
        Option(
            help="The folder of a CLIP model. Default: one in the hub's cache, else the offline measure.",
            rich_help_panel="What to score with",
        ),
    ] = None
    min_image: Annotated[float, bound(help="CLIP similarity of the two pictures.")] = 0.7
    min_direction: Annotated[float, bound(help="CLIP direction: pictures and captions.")] = 0.2
    min_text: Annotated[float, bound(help="CLIP similarity of picture and caption.")] = 0.2
    min_change: Annotated[float, bound(help="Offline: mean CIELAB distance; 2.3 is just noticeable.")] = 2.3

    def bounds(self) -> dict[str, Any]:
        """Return the bounds by their names in `Thresholds`."""
        return {name: value for name, value in vars(self).items() if name != "clip"}
