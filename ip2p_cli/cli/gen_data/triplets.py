"""`ip2p gen-data triplets` and `ip2p gen-data prepare-finetune`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ip2p_cli.cli import options as shared
from ip2p_cli.cli.gen_data import options
from ip2p_cli.cli.gen_data.running import run_shown, workers_of
from ip2p_cli.cli.output import Output
from ip2p_cli.io.shards import read_object, reading


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

    The grammar needs no model. The answers of an endpoint are kept as they come: a run that was stopped asks only for
    the rest. The triplets that are dropped are counted by reason.
    """
    from ip2p_cli.datagen.triplets import EndpointConfig, TripletSettings, triplet_stage

    output, config = Output(json=json, quiet=quiet), workers_of(workers, engine, shard)
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
    endpoint = EndpointConfig(
        url=url,
        moderation=moderate,
        key_name=key_env,
        concurrency=concurrency,
        timeout=timeout,
        batch=llm_batch,
        device=device,
    )
    stage = triplet_stage(data, settings, endpoint, redo=redo)
    try:
        run_shown(*stage, config, output, redo=redo)
    finally:
        if writer == "endpoint":
            _print_usage(data / "triplets", price_in, price_out, output)


def _print_usage(folder: Path, price_in: float, price_out: float, output: Output) -> None:
    """The calls and tokens of all shards in the folder, by the endpoint's own counts."""
    totals: Counter[str] = Counter()
    for path in folder.glob("*.usage.json"):
        with reading(path):
            totals.update({name: int(count) for name, count in read_object(path.read_bytes()).items()})
    cost = (totals["tokens_in"] * price_in + totals["tokens_out"] * price_out) / 1e6
    text = f"{totals['calls']} calls, {totals['tokens_in']} tokens in, {totals['tokens_out']} out"
    output.say(text + (f", cost {cost:.4f}" if price_in or price_out else ""))


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

    Without --from the examples are our own hand-written triplets.
    """
    from ip2p_cli.datagen.triplets.finetune import write_examples

    output = Output(json=json, quiet=quiet)
    count = write_examples(out, source, form, overwrite=overwrite)
    output.result(f"{out}: {count} examples", {"output": str(out), "examples": count, "format": form})
