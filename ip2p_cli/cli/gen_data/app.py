"""Registers the commands of `ip2p gen-data`."""

from __future__ import annotations

import typer

from . import captions, triplets

app = typer.Typer(
    help="Make a dataset of instructed edits: captions, triplets, pairs, filter, export; `run` does all.",
    no_args_is_help=True,
)
app.command("captions")(captions.captions)
app.command("triplets")(triplets.triplets)
app.command("prepare-finetune")(triplets.prepare_finetune)
