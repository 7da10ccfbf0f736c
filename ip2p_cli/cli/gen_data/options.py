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

# --- Captions and triplets

Column = Annotated[str | None, typer.Option(help="Column of a table with the captions. Default: caption, input, text …")]
MinWords = Annotated[int, typer.Option(min=1, help="Words that a caption has at least.")]
MaxWords = Annotated[int, typer.Option(min=1, help="Words that a caption has at most.")]
Language = Annotated[
    str,
    typer.Option(
        help="Keep captions in this language (a code), or any. Without the extra “language” it is told by script alone."
    ),
]
Near = Annotated[
    float,
    typer.Option(min=0.5, max=1.0, help="Similarity from which two captions are the same; 1: only exact ones are."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Rows at most.")]
RowsPerShard = Annotated[int, typer.Option(min=1, max=100_000, help="Rows of a shard.")]
