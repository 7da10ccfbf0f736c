"""`ip2p gen-data export DATA -o OUT`: write the kept pairs in one of four layouts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from ip2p_cli.cli.flags import CommonFlags
from ip2p_cli.cli.gen_data import flags as gen
from ip2p_cli.cli.gen_data.running import show_results
from ip2p_cli.cli.output import Output


@dataclass(frozen=True, kw_only=True)
class ExportFlags:
    """Where an export goes, and in which layout."""

    out: Annotated[Path, Option("-o", "--output", help="The export's folder: a new one, or one to go on with.")]
    layout: Annotated[
        Literal["shards", "original", "parquet", "webdataset"],
        Option("--format", help="The layout; `ip2p train` reads all of them."),
    ] = "shards"
    split: Annotated[float, Option(min=0.0, max=0.5, help="Share of the triplets to hold out as “test”.")] = 0.0
    per_file: Annotated[int, Option(min=1, help="Pairs in a tar or parquet file, about.")] = 1000


def export(data: gen.Data, flags: ExportFlags, workers: gen.WorkerFlags, common: CommonFlags) -> Iterator[None]:
    """Write the kept pairs for training and for others, with a card. Pictures keep their bytes.

    original is the authors' layout, parquet that of the published dataset. The same command continues a run that was
    stopped.
    """
    from ip2p_cli.datagen.export.plan import plan_export
    from ip2p_cli.datagen.export.write import finish_export, run_export
    from ip2p_cli.io.tables import pyarrow

    out, layout = flags.out, flags.layout
    output, config = Output(json=common.json, quiet=common.quiet), workers.config()
    if layout == "parquet":
        pyarrow()  # fails before anything is written if it is not installed
    yield
    plan = plan_export(data, out, layout, share=flags.split, per_file=flags.per_file)
    count = sum(number % config.part[1] == config.part[0] - 1 for number in range(len(plan.parts)))
    results = ((None, result, existed) for _, result, existed in run_export(plan, config))
    show_results(results, output, folder=out, name="export", noun="files", count=count)
    pairs = finish_export(plan)
    if pairs is None:
        output.say("the card is written with the last part")
        return
    facts = {"stage": "export", "output": str(out), "format": layout, "pairs": pairs, "files": len(plan.parts)}
    output.result(f"{out}: {pairs} pairs, {layout}; ip2p train --config RECIPE --data {out} --out RUN", facts)
