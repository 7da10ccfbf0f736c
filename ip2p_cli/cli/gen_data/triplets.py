"""`ip2p gen-data triplets` and `ip2p gen-data prepare-finetune`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.flags import CommonFlags, takes_flags
from ip2p_cli.cli.gen_data import flags as gen
from ip2p_cli.cli.gen_data.running import run_shown
from ip2p_cli.cli.output import Output

_llm = partial(Option, rich_help_panel="Language models")
_filter = partial(Option, rich_help_panel="Filters")


@dataclass(frozen=True, kw_only=True)
class TripletFlags:
    """What the triplets depend on, as in `TripletSettings`."""

    writer: Annotated[
        Literal["grammar", "endpoint", "local"],
        Option(
            help="grammar: hand-written edits, no model. endpoint: OpenAI-compatible. local: a transformers folder."
        ),
    ] = "grammar"
    per_caption: Annotated[int, Option(min=1, max=100, help="Triplets to write for each caption.")] = 1
    balance: Annotated[bool, Option("--balance/--no-balance", help="Draw all kinds of edits equally often.")] = True
    looks_only: Annotated[
        bool, Option("--looks-only", help="Grammar: only edits that the painter “looks” can paint.")
    ] = False
    seed: gen.Seed = 0
    model: Annotated[
        str | None, _llm("--llm", help="The model's name at the endpoint, or the local model's folder.")
    ] = None
    temperature: Annotated[float, _llm(min=0, max=2, help="The sampling temperature.")] = 0.7
    tokens: Annotated[int, _llm("--max-tokens", min=8, max=4096, help="The most tokens of an answer.")] = 256
    shots: Annotated[int, _llm(min=0, max=50, help="Exemplars in a prompt; 0 for a model that was fine-tuned.")] = 8
    blocklist: Annotated[Path | None, _filter(help="A file of words, one a line: triplets with any are dropped.")] = (
        None
    )


@dataclass(frozen=True, kw_only=True)
class EndpointFlags:
    """How models are reached, as in `EndpointConfig`."""

    url: Annotated[str | None, _llm(help="The endpoint, for example http://localhost:8000/v1.")] = None
    key_name: Annotated[
        str, _llm("--key-env", help="Environment variable with the endpoint's key; need not be set.")
    ] = "OPENAI_API_KEY"
    concurrency: Annotated[int, _llm(min=1, max=1024, help="Calls of the endpoint at the same time.")] = 8
    timeout: Annotated[float, _llm(min=0.1, help="Seconds to wait for an answer.")] = 60
    batch: Annotated[int, _llm("--llm-batch", min=1, max=512, help="Captions together, local model.")] = 8
    device: opt.Device = "auto"
    moderation: Annotated[
        str | None, _filter("--moderate", metavar="URL", help="An OpenAI-compatible endpoint for moderation.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class PriceFlags:
    """What an endpoint's tokens cost."""

    price_in: Annotated[float, _llm(min=0, help="Price of a million tokens in.")] = 0
    price_out: Annotated[float, _llm(min=0, help="Price of a million tokens out.")] = 0


def triplets(
    data: gen.Data,
    flags: TripletFlags,
    endpoint: EndpointFlags,
    prices: PriceFlags,
    workers: gen.WorkerFlags,
    common: CommonFlags,
    redo: opt.Redo = False,
) -> Iterator[None]:
    """Write an instruction and an edited caption for each caption of DATA: DATA/triplets.

    The grammar needs no model. The answers of an endpoint are kept as they come: a run that was stopped asks only for
    the rest. The triplets that are dropped are counted by reason.
    """
    from ip2p_cli.datagen.triplets import EndpointConfig, TripletSettings, triplet_stage
    from ip2p_cli.datagen.triplets.write import check_needs

    output, config = Output(json=common.json, quiet=common.quiet), workers.config()
    settings = TripletSettings(**vars(flags), moderate=endpoint.moderation is not None)
    access = EndpointConfig(**vars(endpoint))
    check_needs(settings, access)
    yield
    stage = triplet_stage(data, settings, access, redo=redo)
    try:
        run_shown(*stage, config, output, redo=redo)
    finally:
        if flags.writer == "endpoint":
            _print_usage(data / "triplets", prices, output)


def _print_usage(folder: Path, prices: PriceFlags, output: Output) -> None:
    """Print the calls and tokens of all shards in the folder, by the endpoint's own counts."""
    from ip2p_cli.io.shards import read_object, reading

    totals: Counter[str] = Counter()
    for path in folder.glob("*.usage.json"):
        with reading(path):
            totals.update({name: int(count) for name, count in read_object(path.read_bytes()).items()})
    cost = (totals["tokens_in"] * prices.price_in + totals["tokens_out"] * prices.price_out) / 1e6
    text = f"{totals['calls']} calls, {totals['tokens_in']} tokens in, {totals['tokens_out']} out"
    output.say(text + (f", cost {cost:.4f}" if prices.price_in or prices.price_out else ""))


@takes_flags
def prepare_finetune(
    out: Annotated[Path, Option("-o", "--output", metavar="FILE", help="A .jsonl to write.")],
    common: CommonFlags,
    source: Annotated[
        Path | None, Option("--from", metavar="FILE", help="A .jsonl of triplets. Default: our own.")
    ] = None,
    form: Annotated[
        Literal["prompt-completion", "chat"], Option("--format", help="The format of the examples.")
    ] = "prompt-completion",
    overwrite: opt.Overwrite = False,
) -> None:
    """Write examples to fine-tune a language model on, as the paper did with 700 of them.

    Without --from the examples are our own hand-written triplets.
    """
    from ip2p_cli.datagen.triplets.finetune import write_examples

    count = write_examples(out, source, form, overwrite=overwrite)
    facts = {"output": str(out), "examples": count, "format": form}
    Output(json=common.json, quiet=common.quiet).result(f"{out}: {count} examples", facts)
