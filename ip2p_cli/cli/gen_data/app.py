"""Registers the commands of `ip2p gen-data`."""

from __future__ import annotations

import typer

from ip2p_cli.cli.gen_data import captions, export, pairs, run, stats, triplets, view
from ip2p_cli.cli.gen_data import filter as filtering

app = typer.Typer(
    help="Make a dataset of instructed edits: captions, triplets, pairs, filter, export; `run` runs all.",
    no_args_is_help=True,
)
app.command("run")(run.run)
app.command("captions")(captions.captions)
app.command("triplets")(triplets.triplets)
app.command("pairs")(pairs.pairs)
app.command("filter")(filtering.filter_pairs)
app.command("export")(export.export)
app.command("stats")(stats.stats)
app.command("view")(view.view)
app.command("prepare-finetune")(triplets.prepare_finetune)
