"""Resolving settings, once: flag > preset > model default > built-in. Also which model, where nobody named one."""

from __future__ import annotations

import os
import secrets
from dataclasses import asdict, replace
from typing import get_args

from ip2p_cli.config import read_config
from ip2p_cli.errors import UsageError
from ip2p_cli.presets import lora_of, preset_settings
from ip2p_cli.types import NO_SAVINGS, EditSettings, ModelSpec, OutputSize, ResolvedEditSettings

BUILT_IN = EditSettings(
    steps=50,
    cfg_text=7.5,
    cfg_image=1.5,
    sampler="euler_a",
    resolution=512,
    output_size="input",
    resize_mode="pad",
    negative_prompt="",
    **NO_SAVINGS,
)
MAX_SEED = 2**63 - 1
DEFAULT_MODEL = "nano"


def resolve(said: EditSettings, spec: ModelSpec, preset: str | None = None) -> ResolvedEditSettings:
    """`said`, completed by the preset, the model's defaults and the built-in ones; an unsaid seed is drawn.

    preset: a name of `presets.PRESETS` or of the config file. Raises UsageError for a value that is not possible, or
    that is said of a setting which the model does not have.
    """
    from ip2p_cli.diffusion.samplers import find_sampler
    from ip2p_cli.diffusion.savings import parse_interval
    from ip2p_cli.io.sizes import check_resize_mode, check_resolution

    if preset is not None:
        said = said.or_else(preset_settings(preset, spec, read_config().presets))
    _refuse_unsupported(said, spec)
    settings = said.or_else(spec.defaults).or_else(BUILT_IN)
    if settings.seed is None:
        settings = settings.or_else(EditSettings(seed=draw_seed()))
    values = ResolvedEditSettings(**asdict(settings))
    sampler = find_sampler(values.sampler)
    check_resolution(values.resolution)
    check_resize_mode(values.resize_mode)
    if values.output_size not in get_args(OutputSize):
        raise UsageError(f"output size {values.output_size!r} is not possible: use {' or '.join(get_args(OutputSize))}")
    if values.negative_prompt and values.cfg_text == values.cfg_image == 1:
        raise UsageError("--negative-prompt has no effect at --cfg-text 1 and --cfg-image 1: raise --cfg-text.")
    bounds = {"steps": (1, 999), "cfg_text": (spec.least_cfg_text, 100), "cfg_image": (0, 100), "seed": (0, MAX_SEED)}
    bounds |= {"adaptive_guidance": (0, 1), "feature_reuse": (1, 10)}
    for name, (low, high) in bounds.items():
        value = getattr(values, name)
        if not low <= value <= high:  # also refuses nan
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} {value} is not possible: give a number from {low} to {high}.")
    sampler.check_steps(values.steps)
    first, last = parse_interval(values.guidance_interval)
    return replace(values, guidance_interval=f"{first:g}-{last:g}")


def preset_lora(preset: str, spec: ModelSpec) -> str | None:
    """The name of the LoRA that a preset needs, if any; raises UsageError if it is not for this model."""
    return lora_of(preset, spec, read_config().presets)


def draw_seed() -> int:
    """A seed at random; 32 bits: short enough to be read out and typed again."""
    return secrets.randbits(32)


def supported(settings: EditSettings, spec: ModelSpec) -> EditSettings:
    """`settings` without those that the model does not have: for what a record holds, not for what a user says."""
    if spec.supports is None:
        return settings
    return EditSettings(**{name: value for name, value in asdict(settings).items() if name in spec.supports})


def _refuse_unsupported(said: EditSettings, spec: ModelSpec) -> None:
    if spec.supports is None:
        return
    for name, value in asdict(said).items():
        if value is not None and name not in spec.supports:
            known = ", ".join("--" + other.replace("_", "-") for other in asdict(said) if other in spec.supports)
            flag = "--" + name.replace("_", "-")
            raise UsageError(
                f"{flag} {value}: the model {spec.name} has no such setting; leave it out. It has {known}."
            )


def choose_model(flag: str | None) -> tuple[str, bool]:
    """(name, whether anyone chose it): --model, else IP2P_MODEL, else the config file, else nano."""
    for name in (flag, os.environ.get("IP2P_MODEL"), read_config().model):
        if name:
            return name, True
    return DEFAULT_MODEL, False
