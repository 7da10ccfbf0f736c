"""Registers the commands of `ip2p gen-data`."""

from __future__ import annotations

import typer

from ip2p_cli.cli.gen_data import run, stats, triplets, view
from ip2p_cli.cli.gen_data.running import command_of

app = typer.Typer(
    help="Make a dataset of instructed edits: captions, triplets, pairs, filter, export; `run` runs all.",
    no_args_is_help=True,
)
app.command("run")(run.run)
for name, stage in run.STAGES.items():
    app.command(name)(command_of(stage))
app.command("stats")(stats.stats)
app.command("view")(view.view)
app.command("prepare-finetune")(triplets.prepare_finetune)
