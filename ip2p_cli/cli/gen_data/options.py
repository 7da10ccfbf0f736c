"""One definition for each flag that only data generation has; the others are in `cli.options`."""

from __future__ import annotations

from functools import partial
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

_measure = partial(typer.Option, rich_help_panel="What to score with")
_bound = partial(typer.Option, rich_help_panel="What to keep")

FilterClip = Annotated[
    str | None,
    _measure("--clip", help="The folder of a CLIP model. Default: one in the hub's cache, else the offline measure."),
]
Dino = Annotated[Path | None, _measure(help="Also score with the DINO in this folder.")]
Safety = Annotated[Path | None, _measure(help="Also score with the safety checker or classifier in this folder.")]
JudgeUrl = Annotated[
    str | None,
    _measure(
        "--judge", metavar="URL", help="Also ask a vision-language model: an OpenAI-compatible endpoint, http://…/v1."
    ),
]
JudgeModel = Annotated[str, _measure(metavar="NAME", help="The model's name at that endpoint.")]
ScoreBatch = Annotated[int, _measure("--batch-size", min=1, help="Pairs at a time.")]
MinImage = Annotated[float, _bound(help="CLIP similarity of the two pictures.")]
MinDirection = Annotated[float, _bound(help="CLIP direction: pictures and captions.")]
MinText = Annotated[float, _bound(help="CLIP similarity of picture and caption.")]
MinChange = Annotated[float, _bound(help="Offline: mean CIELAB distance; 2.3 is just noticeable.")]
MaxChange = Annotated[float, _bound(help="Offline: mean CIELAB distance at most.")]
MinStructure = Annotated[float, _bound(help="Offline: correlation of luminance; unrelated photos have 0.3.")]
MinDino = Annotated[float, _bound(help="With --dino: similarity.")]
MinJudge = Annotated[float, _bound(help="With --judge: its score, 0 to 1.")]
MaxUnsafe = Annotated[float, _bound(help="With --safety: 0 to 1, at most.")]
KeepPairs = Annotated[int, _bound("--keep", min=1, help="The most pairs of a triplet; the best by direction stay.")]

ExportOut = Annotated[
    Path, typer.Option("-o", "--output", help="The export's folder: a new one, or one to go on with.")
]
ExportFormat = Annotated[Layout, typer.Option("--format", help="The layout; `ip2p train` reads all of them.")]
Split = Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of the triplets to hold out as “test”.")]
PerFile = Annotated[int, typer.Option(min=1, help="Pairs in a tar or parquet file, about.")]
DataSet = Annotated[
    Path, typer.Argument(metavar="PATH", help="A dataset's folder, or an export in any format.", show_default=False)
]
Pairs = Annotated[int, typer.Option("--pairs", "-n", min=1, max=200, help="Pairs to show.")]
ViewOut = Annotated[Path, typer.Option("-o", "--out", help="A page (.html), or a sheet (.png, .jpg).")]

# --- Captions and triplets

Column = Annotated[
    str | None, typer.Option(help="Column of a table with the captions. Default: caption, input, text …")
]
MinWords = Annotated[int, typer.Option(min=1, help="The fewest words of a caption.")]
MaxWords = Annotated[int, typer.Option(min=1, help="The most words of a caption.")]
Language = Annotated[
    str,
    typer.Option(
        help="Keep captions in this language (a code), or any. Without the extra “language” only the script is checked."
    ),
]
Near = Annotated[
    float,
    typer.Option(
        min=0.5, max=1.0, help="Similarity from which two captions count as the same; 1: only exact duplicates."
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="The most rows.")]
RowsPerShard = Annotated[int, typer.Option(min=1, max=100_000, help="Rows in a shard.")]

_llm = partial(typer.Option, rich_help_panel="Language models")
_filter = partial(typer.Option, rich_help_panel="Filters")

Writer = Annotated[
    Literal["grammar", "endpoint", "local"],
    typer.Option(
        help="grammar: hand-written edits, no model. endpoint: OpenAI-compatible. local: a transformers folder."
    ),
]
PerCaption = Annotated[int, typer.Option(min=1, max=100, help="Triplets to write for each caption.")]
Balance = Annotated[bool, typer.Option("--balance/--no-balance", help="Draw all kinds of edits equally often.")]
LooksOnly = Annotated[
    bool, typer.Option("--looks-only", help="Grammar: only edits that the painter “looks” can paint.")
]
Url = Annotated[str | None, _llm(help="The endpoint, for example http://localhost:8000/v1.")]
Llm = Annotated[str | None, _llm(help="The model's name at the endpoint, or the local model's folder.")]
KeyEnv = Annotated[str, _llm(help="Environment variable with the endpoint's key; need not be set.")]
Concurrency = Annotated[int, _llm(min=1, max=1024, help="Calls of the endpoint at the same time.")]
Timeout = Annotated[float, _llm(min=0.1, help="Seconds to wait for an answer.")]
Temperature = Annotated[float, _llm(min=0, max=2, help="The sampling temperature.")]
MaxTokens = Annotated[int, _llm(min=8, max=4096, help="The most tokens of an answer.")]
Shots = Annotated[int, _llm(min=0, max=50, help="Exemplars in a prompt; 0 for a model that was fine-tuned.")]
PriceIn = Annotated[float, _llm(min=0, help="Price of a million tokens in.")]
PriceOut = Annotated[float, _llm(min=0, help="Price of a million tokens out.")]
LlmBatch = Annotated[int, _llm(min=1, max=512, help="Captions together, local model.")]
Blocklist = Annotated[Path | None, _filter(help="A file of words, one a line: triplets with any are dropped.")]
Moderate = Annotated[str | None, _filter(metavar="URL", help="An OpenAI-compatible endpoint for moderation.")]
FineTuneOut = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="A .jsonl to write.")]
FineTuneFrom = Annotated[
    Path | None, typer.Option("--from", metavar="FILE", help="A .jsonl of triplets. Default: our own.")
]
FineTuneFormat = Annotated[
    Literal["prompt-completion", "chat"], typer.Option("--format", help="The format of the examples.")
]
