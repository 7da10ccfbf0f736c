"""What there is to choose from: for `--sampler help`, `--preset help`, and a shell's completion.

Imports nothing heavy. A shell that asks for completions gets none from a broken config file, and no error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Literal

import typer

from ip2p_cli.cli.output import Output
from ip2p_cli.errors import Ip2pError
from ip2p_cli.types import EditSettings

Kind = Literal["models", "samplers", "presets"]


def choices(kind: Kind) -> dict[str, str]:
    """Name -> one line for people. UsageError where the config file, which may hold presets, is not valid."""
    if kind == "models":
        from ip2p_cli.models.registry import MODELS

        return {spec.name: spec.description for spec in MODELS.values()}
    if kind == "samplers":
        from ip2p_cli.diffusion.samplers import SAMPLERS

        return {name: sampler.description for name, sampler in SAMPLERS.items()}
    from ip2p_cli.config import read_config
    from ip2p_cli.presets import PRESETS

    own = {name: f"your own: {_said(preset)}" for name, preset in read_config().presets.items()}
    return {name: preset.description for name, preset in PRESETS.items()} | own


def _said(settings: EditSettings) -> str:
    return ", ".join(f"{key} {value}" for key, value in asdict(settings).items() if value is not None)


def print_choices(kind: Kind, output: Output) -> None:
    """The list on stdout: a line each, or with --json an object each."""
    listed = choices(kind)
    width = max(map(len, listed))
    for name, description in listed.items():
        output.data(f"{name:{width}}  {description}", {"name": name, "description": description})


def sampler_or_help(value: str | None) -> str | None:
    """Callback of --sampler: `help` lists the samplers and ends the command."""
    return _or_help("samplers", value)


def preset_or_help(value: str | None) -> str | None:
    """Callback of --preset: `help` lists the presets and ends the command."""
    return _or_help("presets", value)


def _or_help(kind: Kind, value: str | None) -> str | None:
    if value != "help":
        return value
    # The callback is eager, so that no photo need be named: --json has not been parsed yet.
    print_choices(kind, Output(json="--json" in sys.argv))
    raise typer.Exit


def complete_model(incomplete: str) -> Iterator[tuple[str, str]]:
    """Names of models, for the shell."""
    return _complete("models", incomplete)


def complete_sampler(incomplete: str) -> Iterator[tuple[str, str]]:
    """Names of samplers, for the shell."""
    return _complete("samplers", incomplete)


def complete_preset(incomplete: str) -> Iterator[tuple[str, str]]:
    """Names of presets, for the shell."""
    return _complete("presets", incomplete)


def _complete(kind: Kind, incomplete: str) -> Iterator[tuple[str, str]]:
    try:
        listed = choices(kind)
    except Ip2pError:
        return
    yield from ((name, line) for name, line in listed.items() if name.startswith(incomplete))
