"""One definition for each flag that only data generation has; the others are in `cli.options`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Data = Annotated[Path, typer.Argument(metavar="DATA", help="The dataset's folder, which all stages share.")]
RunSeed = Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same data.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that share the work, one a GPU. Default: one; with --engine ray one a GPU."),
]

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
