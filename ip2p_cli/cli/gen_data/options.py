"""One definition for each flag that only data generation has; the others are in `cli.options`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Argument(metavar="DATA", help="The dataset's folder, which all stages share.")]
RunSeed = Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same data.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that share the work, one a GPU. Default: one; with --engine ray one a GPU."),
]
DataOption = Annotated[
    Path, typer.Option("-o", "--output", metavar="DATA", help="The dataset's folder, which all stages share.")
]
