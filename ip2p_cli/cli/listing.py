"""Lists of models, samplers and presets: for `--sampler help`, `--preset help`, and the completion of shells.

Nothing heavy is imported. With a broken config file a shell gets no completions, and no error.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Literal

import typer

from ip2p_cli.cli.output import Output
from ip2p_cli.errors import Ip2pError
from ip2p_cli.types import EditSettings

ListName = Literal["models", "samplers", "presets"]


def choices(list_name: ListName) -> dict[str, str]:
    """Describe what can be chosen: one line for each name.

    Raises:
        UsageError: The config file, which may hold presets, is not valid.
    """
    if list_name == "models":
        from ip2p_cli.models.registry import MODELS

        return {spec.name: spec.description for spec in MODELS.values()}
    if list_name == "samplers":
        from ip2p_cli.diffusion.samplers import SAMPLERS

        return {name: sampler.description for name, sampler in SAMPLERS.items()}
    from ip2p_cli.config import read_config
    from ip2p_cli.presets import PRESETS

    own = {name: f"your own: {_settings_text(preset)}" for name, preset in read_config().presets.items()}
    return {name: preset.description for name, preset in PRESETS.items()} | own


def _settings_text(settings: EditSettings) -> str:
    return ", ".join(f"{key} {value}" for key, value in asdict(settings).items() if value is not None)


def print_choices(list_name: ListName, output: Output) -> None:
    """Print a list on stdout: a line for each name, or with --json an object."""
    descriptions = choices(list_name)
    width = max(map(len, descriptions))
    for name, description in descriptions.items():
        output.data(f"{name:{width}}  {description}", {"name": name, "description": description})


def sampler_or_help(value: str | None) -> str | None:
    """List the samplers and end the command where --sampler is `help`."""
    return _or_help("samplers", value)


def preset_or_help(value: str | None) -> str | None:
    """List the presets and end the command where --preset is `help`."""
    return _or_help("presets", value)


def _or_help(list_name: ListName, value: str | None) -> str | None:
    if value != "help":
        return value
    # The callback is eager, so that no photo has to be named: --json has not been parsed yet.
    print_choices(list_name, Output(json="--json" in sys.argv))
    raise typer.Exit


def complete_model(incomplete: str) -> Iterator[tuple[str, str]]:
    """Complete the names of models."""
    return _complete("models", incomplete)


def complete_sampler(incomplete: str) -> Iterator[tuple[str, str]]:
    """Complete the names of samplers."""
    return _complete("samplers", incomplete)


def complete_preset(incomplete: str) -> Iterator[tuple[str, str]]:
    """Complete the names of presets."""
    return _complete("presets", incomplete)


def _complete(list_name: ListName, incomplete: str) -> Iterator[tuple[str, str]]:
    with contextlib.suppress(Ip2pError):
        yield from ((name, line) for name, line in choices(list_name).items() if name.startswith(incomplete))
