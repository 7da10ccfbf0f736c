"""One definition for each flag that only data generation has; the others are in `cli.options`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Layout = Literal["shards", "original", "parquet", "webdataset"]
Data = Annotated[Path, typer.Argument(metavar="DATA", help="The dataset's folder, which all stages share.")]
RunSeed = Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same data.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that share the work, one a GPU. Default: one; with --engine ray one a GPU."),
]
DataOption = Annotated[
    Path, typer.Option("-o", "--output", metavar="DATA", help="The dataset's folder, which all stages share.")
]

# --- Filter, export, stats, view

_MEASURES, _BOUNDS = "What to score with", "What to keep"

FilterClip = Annotated[
    str | None,
    typer.Option(
        "--clip",
        help="The folder of a CLIP model. Default: one in the hub's cache, else the offline measure.",
        rich_help_panel=_MEASURES,
    ),
]
Dino = Annotated[Path | None, typer.Option(help="Also score with the DINO in this folder.", rich_help_panel=_MEASURES)]
Safety = Annotated[
    Path | None,
    typer.Option(help="Also score with the safety checker or classifier in this folder.", rich_help_panel=_MEASURES),
]
JudgeUrl = Annotated[
    str | None,
    typer.Option(
        "--judge",
        metavar="URL",
        help="Also ask a model with eyes: an OpenAI-compatible endpoint, http://…/v1.",
        rich_help_panel=_MEASURES,
    ),
]
JudgeModel = Annotated[
    str, typer.Option(metavar="NAME", help="The judge's name at its endpoint.", rich_help_panel=_MEASURES)
]
ScoreBatch = Annotated[int, typer.Option("--batch-size", min=1, help="Pairs at a time.", rich_help_panel=_MEASURES)]
MinImage = Annotated[float, typer.Option(help="CLIP likeness of the two pictures.", rich_help_panel=_BOUNDS)]
MinDirection = Annotated[float, typer.Option(help="CLIP direction: pictures and captions.", rich_help_panel=_BOUNDS)]
MinText = Annotated[float, typer.Option(help="CLIP likeness of picture and caption.", rich_help_panel=_BOUNDS)]
MinChange = Annotated[
    float, typer.Option(help="Offline: mean CIELAB distance; 2.3 is just noticeable.", rich_help_panel=_BOUNDS)
]
MaxChange = Annotated[float, typer.Option(help="Offline: mean CIELAB distance at most.", rich_help_panel=_BOUNDS)]
MinStructure = Annotated[
    float, typer.Option(help="Offline: correlation of luminance; unrelated photos have 0.3.", rich_help_panel=_BOUNDS)
]
MinDino = Annotated[float, typer.Option(help="With --dino: likeness.", rich_help_panel=_BOUNDS)]
MinJudge = Annotated[float, typer.Option(help="With --judge: its score, 0 to 1.", rich_help_panel=_BOUNDS)]
MaxUnsafe = Annotated[float, typer.Option(help="With --safety: 0 to 1, at most.", rich_help_panel=_BOUNDS)]
KeepPairs = Annotated[
    int, typer.Option("--keep", min=1, help="Pairs of a triplet at most, by direction.", rich_help_panel=_BOUNDS)
]

ExportOut = Annotated[
    Path, typer.Option("-o", "--output", help="The export's folder: a new one, or one to go on with.")
]
ExportFormat = Annotated[Layout, typer.Option("--format", help="How it is laid out; `ip2p train` reads them all.")]
Split = Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of the triplets to hold out as “test”.")]
PerFile = Annotated[int, typer.Option(min=1, help="Pairs of a tar or parquet file, about.")]
DataSet = Annotated[
    Path, typer.Argument(metavar="PATH", help="A dataset's folder, or an export in any format.", show_default=False)
]
Pairs = Annotated[int, typer.Option("--pairs", "-n", min=1, max=200, help="Pairs to show.")]
ViewOut = Annotated[Path, typer.Option("-o", "--out", help="A page (.html), or a sheet (.png, .jpg).")]

# --- Captions and triplets

Column = Annotated[
    str | None, typer.Option(help="Column of a table with the captions. Default: caption, input, text …")
]
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

_LLM = "Language models"
_FILTERS = "Filters"

Writer = Annotated[
    Literal["grammar", "endpoint", "local"],
    typer.Option(
        help="grammar: hand-written edits, no model. endpoint: OpenAI-compatible. local: a transformers folder."
    ),
]
PerCaption = Annotated[int, typer.Option(min=1, max=100, help="Triplets to try for of each caption.")]
Balance = Annotated[bool, typer.Option("--balance/--no-balance", help="Draw kinds of edits equally often.")]
LooksOnly = Annotated[
    bool, typer.Option("--looks-only", help="Grammar: only edits that the painter “looks” can paint.")
]
Url = Annotated[
    str | None,
    typer.Option(help="Of the endpoint, for example http://localhost:8000/v1.", rich_help_panel=_LLM),
]
Llm = Annotated[
    str | None, typer.Option(help="The endpoint's name of the model, or the local folder.", rich_help_panel=_LLM)
]
KeyEnv = Annotated[
    str, typer.Option(help="Environment variable with the endpoint's key; need not be set.", rich_help_panel=_LLM)
]
Concurrency = Annotated[int, typer.Option(min=1, max=1024, help="Calls of an endpoint at once.", rich_help_panel=_LLM)]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer.", rich_help_panel=_LLM)]
Temperature = Annotated[float, typer.Option(min=0, max=2, help="Of sampling.", rich_help_panel=_LLM)]
MaxTokens = Annotated[int, typer.Option(min=8, max=4096, help="Tokens of an answer at most.", rich_help_panel=_LLM)]
Shots = Annotated[
    int,
    typer.Option(min=0, max=50, help="Exemplars in a prompt; 0 for a model that was fine-tuned.", rich_help_panel=_LLM),
]
PriceIn = Annotated[float, typer.Option(min=0, help="Price of a million tokens in.", rich_help_panel=_LLM)]
PriceOut = Annotated[float, typer.Option(min=0, help="Price of a million tokens out.", rich_help_panel=_LLM)]
LlmBatch = Annotated[int, typer.Option(min=1, max=512, help="Captions at once, local model.", rich_help_panel=_LLM)]
Blocklist = Annotated[
    Path | None, typer.Option(help="A file of words, one a line: triplets with one go.", rich_help_panel=_FILTERS)
]
Moderate = Annotated[
    str | None,
    typer.Option(metavar="URL", help="An OpenAI-compatible endpoint for moderation.", rich_help_panel=_FILTERS),
]
FineTuneOut = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="A .jsonl to write.")]
FineTuneFrom = Annotated[
    Path | None, typer.Option("--from", metavar="FILE", help="A .jsonl of triplets. Default: our own.")
]
FineTuneFormat = Annotated[
    Literal["prompt-completion", "chat"], typer.Option("--format", help="What the examples look like.")
]
