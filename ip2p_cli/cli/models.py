"""`ip2p models list|show`: what there is to edit with."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from . import options as opt
from .output import Output

app = typer.Typer(help="What there is to edit with.", no_args_is_help=True)


@app.command("list")
def list_models(json: opt.Json = False, quiet: opt.Quiet = False, debug: opt.Debug = False) -> None:
    """List the models known by name."""
    from ..models.registry import MODELS

    width = max(map(len, MODELS))
    for spec in MODELS.values():
        Output(json=json, quiet=quiet).data(f"{spec.name:{width}}  {spec.description}", asdict(spec))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A model's name, hub id or folder.")],
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Show a model's card: what it was made from, what it can do, its licence and defaults."""
    from ..models.registry import find_model

    spec = find_model(name)
    if json:
        Output(json=True).data("", asdict(spec))
        return
    card = Path(spec.source) / "README.md"
    if card.is_file():
        sys.stdout.write(card.read_text("utf-8"))
        return
    said = {k: v for k, v in asdict(spec.defaults).items() if v is not None}
    lines = [f"# {spec.name}", "", spec.description, "", f"source: {spec.source}", f"licence: {spec.licence}"]
    lines += [f"defaults: {', '.join(f'{k} {v}' for k, v in said.items())}"]
    sys.stdout.write("\n".join(lines) + "\n")
