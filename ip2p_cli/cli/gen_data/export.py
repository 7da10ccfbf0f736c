"""`ip2p gen-data export DATA -o OUT`: what the filter kept, in one of four layouts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.gen_data import options as own
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.running import counting
from ip2p_cli.errors import Ip2pError, ModelError

if TYPE_CHECKING:
    from ip2p_cli.datagen.stages import WorkerConfig


def export(
    data: own.Data,
    out: own.ExportOut,
    layout: own.ExportFormat = "shards",
    split: own.Split = 0.0,
    per_file: own.PerFile = 1000,
    workers: own.Workers = None,
    engine: opt.Engine = "local",
    shard: opt.Shard = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write the kept pairs for training and for others, with a card. Pictures keep their bytes.

    original is the authors' layout, parquet that of the published dataset. A run that was stopped goes on.
    """
    from ip2p_cli.cli.gen_data.running import workers_of

    output, hands = Output(json=json, quiet=quiet), workers_of(workers, engine, shard)
    export_data(data, out, layout, hands, output, split=split, per_file=per_file)


def export_data(
    data: Path,
    out: Path,
    layout: own.Layout,
    hands: WorkerConfig,
    output: Output,
    *,
    split: float = 0.0,
    per_file: int = 1000,
) -> None:
    """The stage as `ip2p gen-data run` calls it too."""
    from ip2p_cli.datagen.export.plan import plan_export
    from ip2p_cli.datagen.export.stage import finish_export, ledger_of, run_export

    if layout == "parquet":
        from ip2p_cli.datagen.dataset.tables import pyarrow

        pyarrow()  # said before anything is begun, where it is missing
    plan = plan_export(data, out, layout, share=split, per_file=per_file)
    mine = sum(number % hands.part[1] == hands.part[0] - 1 for number in range(len(plan.parts)))
    with (
        counting(mine, output, folder=out, noun="files", goes_on=True, verb="written") as tally,
        output.progress("export") as bar,
    ):
        for done, (_, result, there) in enumerate(run_export(plan, hands), start=1):
            bar(done, mine)
            if isinstance(result, Exception):
                tally.fail(result if isinstance(result, Ip2pError) else ModelError(f"a worker failed ({result})"))
                continue
            tally.skipped += there
            tally.done += not there
    if not finish_export(plan):
        output.say("the card comes with the last part")
        return
    ledger = ledger_of(out)
    pairs = sum(row["pairs"] for number in ledger.done() for row in ledger.rows(number))
    said = {"stage": "export", "output": str(out), "format": layout, "pairs": pairs, "files": len(plan.parts)}
    output.result(f"{out}: {pairs} pairs, {layout}; ip2p train --config RECIPE --data {out} --out RUN", said)
