"""`ip2p gen-data triplets`: the second stage."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING

from ip2p_cli.cli import options as shared
from ip2p_cli.cli.gen_data import options
from ip2p_cli.cli.gen_data.running import hands_of, run_shown
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import UsageError

if TYPE_CHECKING:
    from ip2p_cli.datagen.triplets import TripletSettings


def triplets(
    data: options.Data,
    writer: options.Writer = "grammar",
    per_caption: options.PerCaption = 1,
    balance: options.Balance = True,
    looks_only: options.LooksOnly = False,
    seed: options.RunSeed = 0,
    url: options.Url = None,
    llm: options.Llm = None,
    key_env: options.KeyEnv = "OPENAI_API_KEY",
    concurrency: options.Concurrency = 8,
    timeout: options.Timeout = 60,
    temperature: options.Temperature = 0.7,
    max_tokens: options.MaxTokens = 256,
    shots: options.Shots = 8,
    price_in: options.PriceIn = 0,
    price_out: options.PriceOut = 0,
    llm_batch: options.LlmBatch = 8,
    device: shared.Device = "auto",
    blocklist: options.Blocklist = None,
    moderate: options.Moderate = None,
    workers: options.Workers = None,
    engine: shared.Engine = "local",
    shard: shared.Shard = None,
    redo: shared.Redo = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    debug: shared.Debug = False,
) -> None:
    """Write an instruction and an edited caption for each caption of DATA: DATA/triplets.

    The grammar needs no model. An endpoint's answers are kept as they come: a run that was stopped asks only for the
    rest. What is dropped is counted by reason.
    """
    from ip2p_cli.datagen.triplets import EndpointConfig, TripletSettings, WriteTriplets, triplet_tasks

    output = Output(json=json, quiet=quiet)
    settings = TripletSettings(
        writer=writer,
        seed=seed,
        per_caption=per_caption,
        balance=balance,
        looks_only=looks_only,
        model=llm,
        temperature=temperature,
        tokens=max_tokens,
        shots=shots,
        blocklist=blocklist,
        moderate=moderate is not None,
    )
    _check(settings, url)
    access = EndpointConfig(
        url=url,
        moderation=moderate,
        key_name=key_env,
        concurrency=concurrency,
        timeout=timeout,
        batch=llm_batch,
        device=device,
    )
    hands = hands_of(workers, engine, shard)
    shards, tasks = triplet_tasks(data, settings, redo=redo)
    try:
        run_shown(shards, tasks, WriteTriplets(data=data, settings=settings, access=access), hands, output, redo=redo)
    finally:
        if writer == "endpoint":
            _tell_usage(shards.folder, price_in, price_out, output)


def _check(settings: TripletSettings, url: str | None) -> None:
    if settings.writer == "endpoint" and not (url and settings.model):
        raise UsageError("--writer endpoint needs --url and --llm: for example http://localhost:8000/v1 and its model")
    if settings.writer == "local" and not settings.model:
        raise UsageError("--writer local needs --llm: the folder of a causal language model")


def _tell_usage(folder: Path, price_in: float, price_out: float, output: Output) -> None:
    """What all shards of the folder took, by the endpoint's own counts."""
    totals = {"calls": 0, "tokens_in": 0, "tokens_out": 0}
    for path in folder.glob("*.usage.json"):
        found = json_module.loads(path.read_text("utf-8"))
        for name in totals:
            totals[name] += found[name]
    cost = (totals["tokens_in"] * price_in + totals["tokens_out"] * price_out) / 1e6
    said = f"{totals['calls']} calls, {totals['tokens_in']} tokens in, {totals['tokens_out']} out"
    output.say(said + (f", cost {cost:.4f}" if price_in or price_out else ""))


def prepare_finetune(
    out: options.FineTuneOut,
    source: options.FineTuneFrom = None,
    form: options.FineTuneFormat = "prompt-completion",
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    debug: shared.Debug = False,
) -> None:
    """Write examples to fine-tune a language model on, as the paper did with 700 of them.

    Without --from, of our own hand-written triplets.
    """
    from ip2p_cli.datagen.triplets.finetune import write_examples

    output = Output(json=json, quiet=quiet)
    count = write_examples(out, source, form, overwrite=overwrite)
    output.result(f"{out}: {count} examples", {"output": str(out), "examples": count, "format": form})
