"""Checks what the stages need before any of them begins: packages, models, addresses and files."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ip2p_cli.cli.gen_data.pairs import default_painter, model_settings, spec_of
from ip2p_cli.cli.gen_data.running import workers_of

Arguments = Mapping[str, Any]


def check_needs(stage: str, command: Callable[..., None], arguments: Arguments) -> None:
    """Check what a stage needs.

    Args:
        stage: The stage's name.
        command: The function of its command.
        arguments: The function's arguments; those that are missing have their defaults.

    Raises:
        Ip2pError: Something is missing; the message names it, or the extra to install.
    """
    parameters = inspect.signature(command).parameters
    values = {name: parameter.default for name, parameter in parameters.items()} | dict(arguments)
    workers_of(values.get("workers"), values.get("engine", "local"), None)
    _CHECKS[stage](values)


def _check_captions(values: Arguments) -> None:
    from ip2p_cli.datagen.captions import source_of
    from ip2p_cli.datagen.captions.cleaning import language_check

    language_check(values["language"])
    source_of(values["source"], values["column"]).check()


def _check_triplets(values: Arguments) -> None:
    from ip2p_cli.datagen.triplets import EndpointConfig, TripletSettings
    from ip2p_cli.datagen.triplets.write import check_needs as check_writer

    settings = TripletSettings(
        writer=values["writer"],
        model=values["llm"],
        looks_only=values["looks_only"],
        blocklist=values["blocklist"],
        moderate=values["moderate"] is not None,
    )
    check_writer(settings, EndpointConfig(url=values["url"], moderation=values["moderate"]))


def _check_pairs(values: Arguments) -> None:
    from ip2p_cli.diffusion.samplers import find_sampler
    from ip2p_cli.models.clip import find_clip

    spec = spec_of(values["painter"] or default_painter(values["model"]), values["model"])
    if values["sampler"] is not None:
        find_sampler(values["sampler"])
    if spec is not None:
        model_settings(spec, values["vae"])
    if values["stop_after"]:
        find_clip(values["clip"])


def _check_filter(values: Arguments) -> None:
    from ip2p_cli.datagen.judge import VisionJudge
    from ip2p_cli.datagen.scores import ScorerConfig
    from ip2p_cli.models.clip import find_clip

    if values["judge"] is not None:
        VisionJudge(url=values["judge"])
    ScorerConfig(clip=find_clip(values["clip"]), dino=values["dino"], safety=values["safety"]).settings()


def _check_export(values: Arguments) -> None:
    from ip2p_cli.io.tables import pyarrow

    if values["layout"] == "parquet":
        pyarrow()


_CHECKS: dict[str, Callable[[Arguments], None]] = {
    "captions": _check_captions,
    "triplets": _check_triplets,
    "pairs": _check_pairs,
    "filter": _check_filter,
    "export": _check_export,
}
