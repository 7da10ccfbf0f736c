"""Resolving settings, once: flag > model default > built-in. Also which model, where nobody named one."""

from __future__ import annotations

import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any

import platformdirs
import yaml

from .errors import UsageError
from .types import EditSettings, ModelSpec, ResolvedEditSettings

BUILT_IN = EditSettings(steps=50, cfg_text=7.5, cfg_image=1.5, sampler="euler_a", resolution=512, output_size="input")
MAX_SEED = 2**63 - 1
DEFAULT_MODEL = "nano"


def resolve(said: EditSettings, spec: ModelSpec) -> ResolvedEditSettings:
    """`said`, completed by the model's defaults and the built-in ones; an unsaid seed is drawn.

    Raises UsageError for a value that is not possible, or that the model does not have.
    """
    from .diffusion.samplers import find_sampler
    from .io.sizes import check_resolution

    _refuse_unsupported(said, spec)
    settings = said.or_else(spec.defaults).or_else(BUILT_IN)
    if settings.seed is None:
        settings = settings.or_else(EditSettings(seed=draw_seed()))
    values = ResolvedEditSettings(**asdict(settings))
    find_sampler(values.sampler)
    check_resolution(values.resolution)
    for name, low, high in (("steps", 1, 999), ("cfg_text", 0, 100), ("cfg_image", 0, 100), ("seed", 0, MAX_SEED)):
        value = getattr(values, name)
        if not low <= value <= high:  # also refuses nan
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} {value} is not possible: give a number from {low} to {high}.")
    return values


def draw_seed() -> int:
    """A seed at random; 32 bits: short enough to be read out and typed again."""
    return secrets.randbits(32)


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


def config_path() -> Path:
    """The user's config file; IP2P_CONFIG names another one."""
    said = os.environ.get("IP2P_CONFIG")
    return Path(said) if said else platformdirs.user_config_path("ip2p") / "config.yaml"


def read_config() -> dict[str, Any]:
    """The config file's mapping, empty where there is none; UsageError where it is not valid."""
    path = config_path()
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); repair or delete it.") from error
    try:
        config = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML; repair or delete it.") from error
    if not isinstance(config, dict) or set(config) - {"model"} or not isinstance(config.get("model", ""), str):
        raise UsageError(f"{path}: the only key it may hold is `model: NAME`.")
    return config


def choose_model(flag: str | None) -> tuple[str, bool]:
    """(name, whether anyone chose it): --model, else IP2P_MODEL, else the config file, else nano."""
    for name in (flag, os.environ.get("IP2P_MODEL"), read_config().get("model")):
        if name:
            return name, True
    return DEFAULT_MODEL, False
