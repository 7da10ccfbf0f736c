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
from .suggest import did_you_mean
from .types import EditSettings, ModelSpec, ResolvedEditSettings

BUILT_IN = EditSettings(steps=50, cfg_text=7.5, cfg_image=1.5, sampler="euler_a", resolution=512, output_size="input")
MAX_SEED = 2**63 - 1
DEFAULT_MODEL = "nano"


def resolve(said: EditSettings, spec: ModelSpec) -> ResolvedEditSettings:
    """`said`, completed by the model's defaults and the built-in ones; an unsaid seed is drawn.

    Raises UsageError for a value that is not possible.
    """
    from .diffusion.samplers import find_sampler
    from .io.sizes import check_resolution

    settings = said.or_else(spec.defaults).or_else(BUILT_IN)
    if settings.seed is None:
        # 32 bits: short enough to be read out and typed again.
        settings = settings.or_else(EditSettings(seed=secrets.randbits(32)))
    values = ResolvedEditSettings(**asdict(settings))
    find_sampler(values.sampler)
    check_resolution(values.resolution)
    for name, low, high in (("steps", 1, 999), ("cfg_text", 0, 100), ("cfg_image", 0, 100), ("seed", 0, MAX_SEED)):
        value = getattr(values, name)
        if not low <= value <= high:  # also refuses nan
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} {value} is not possible: give a number from {low} to {high}.")
    return values


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
    if not isinstance(config, dict):
        raise UsageError(f"{path}: must hold `model: NAME`, `models:` or both.")
    _check_config(path, config)
    return config


def configured_models() -> dict[str, ModelSpec]:
    """The user's own models by name, from the config file's `models`; UsageError where it is not valid.

    An entry's source is a hub id, the name of a known model, or local; that is made absolute, and starts at the
    config file's folder.
    """
    entries = read_config().get("models") or {}
    return {name: _spec(name, entry) for name, entry in entries.items()}


def _spec(name: str, entry: dict[str, Any]) -> ModelSpec:
    source = str(entry["source"])
    path = Path(source).expanduser()
    beside = config_path().parent / path
    hub_id = source.count("/") == 1 and not source.startswith((".", "~", "/"))
    known_name = "/" not in source and not path.is_absolute() and not beside.is_dir()
    is_file = path.suffix in (".safetensors", ".ckpt", ".pt", ".pth")
    if is_file or not (hub_id or known_name):
        source = str(beside.absolute())
    return ModelSpec(
        name=name,
        source=source,
        revision=entry.get("revision"),
        description=entry.get("description", ""),
        licence="",
        defaults=EditSettings(**(entry.get("defaults") or {})),
    )


def _check_config(path: Path, config: dict[str, Any]) -> None:
    """Refuse what the config file may not hold, naming the file and the field."""
    from pydantic import BaseModel, ConfigDict, Field, ValidationError

    class Defaults(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)
        steps: int | None = Field(None, ge=1, le=999)
        cfg_text: float | None = Field(None, ge=0, le=100)
        cfg_image: float | None = Field(None, ge=0, le=100)
        sampler: str | None = None
        resolution: int | None = Field(None, ge=1)

    class Entry(BaseModel):
        model_config = ConfigDict(extra="forbid", str_min_length=1)
        source: str
        revision: str | None = None
        description: str = ""
        defaults: Defaults | None = None

    class Config(BaseModel):
        model_config = ConfigDict(extra="forbid")
        model: str | None = None
        models: dict[str, Entry] | None = None

    try:
        Config.model_validate(config)
    except ValidationError as error:
        # A mistyped name is both unknown and missing: the first says more.
        problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        place = [str(part) for part in problem["loc"]]
        field = ".".join(place)
        if problem["type"] == "extra_forbidden":
            kinds: dict[int, type[BaseModel]] = {1: Config, 3: Entry, 4: Defaults}
            fields = kinds[len(place)].model_fields
            raise UsageError(
                f"{path}: there is no setting {field}.{did_you_mean(place[-1], fields)} Known: {', '.join(fields)}."
            ) from None
        said = problem["msg"][:1].lower() + problem["msg"][1:]
        raise UsageError(f"{path}: {field}: {said}.") from None


def choose_model(flag: str | None) -> tuple[str, bool]:
    """(name, whether anyone chose it): --model, else IP2P_MODEL, else the config file, else nano."""
    for name in (flag, os.environ.get("IP2P_MODEL"), read_config().get("model")):
        if name:
            return name, True
    return DEFAULT_MODEL, False
