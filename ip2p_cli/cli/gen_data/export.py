"""`ip2p gen-data export DATA -o OUT`: write the kept pairs in one of four layouts."""

from __future__ import annotations

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.gen_data import options as own
from ip2p_cli.cli.gen_data.running import workers_of
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.running import counting
from ip2p_cli.errors import Ip2pError, ModelError


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

    original is the authors' layout, parquet that of the published dataset. The same command continues a run that was
    stopped.
    """
    from ip2p_cli.datagen.export.plan import plan_export
    from ip2p_cli.datagen.export.write import finish_export, run_export
    from ip2p_cli.io.tables import pyarrow

    output, config = Output(json=json, quiet=quiet), workers_of(workers, engine, shard)
    if layout == "parquet":
        pyarrow()  # fails before anything is written if it is not installed
    plan = plan_export(data, out, layout, share=split, per_file=per_file)
    count = sum(number % config.part[1] == config.part[0] - 1 for number in range(len(plan.parts)))
    with (
        counting(count, output, folder=out, noun="files", goes_on=True, verb="written") as tally,
        output.progress("export") as bar,
    ):
        for done, (_, result, was_done) in enumerate(run_export(plan, config), start=1):
            bar(done, count)
            if isinstance(result, Exception):
                tally.fail(result if isinstance(result, Ip2pError) else ModelError(f"a worker failed ({result})"))
                continue
            tally.skipped += was_done
            tally.done += not was_done
    pairs = finish_export(plan)
    if pairs is None:
        output.say("the card is written with the last part")
        return
    facts = {"stage": "export", "output": str(out), "format": layout, "pairs": pairs, "files": len(plan.parts)}
    output.result(f"{out}: {pairs} pairs, {layout}; ip2p train --config RECIPE --data {out} --out RUN", facts)
