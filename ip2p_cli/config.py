"""The user's config file: the default model, models of one's own, presets of one's own. Read anew each time."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
import yaml

from ip2p_cli.errors import UsageError
from ip2p_cli.types import EditSettings, ModelSpec

_FILES = (".safetensors", ".ckpt", ".pt", ".pth")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the file says. A model's local source is absolute; a relative one starts at the file's folder."""

    model: str | None = None
    models: dict[str, ModelSpec] = field(default_factory=dict)
    presets: dict[str, EditSettings] = field(default_factory=dict)


def config_path() -> Path:
    """Where the config file is, or would be; IP2P_CONFIG names another one."""
    said = os.environ.get("IP2P_CONFIG")
    return Path(said) if said else platformdirs.user_config_path("ip2p") / "config.yaml"


def read_config() -> Config:
    """The config file, empty where there is none; UsageError, naming file and field, where it is not valid."""
    path = config_path()
    try:
        said = yaml.safe_load(path.read_text("utf-8")) or {}
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); repair or delete it.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid YAML; repair or delete it.") from error
    return _checked(path, said)


def _checked(path: Path, said: Any) -> Config:
    where = str(path)
    said = _mapping(said, where, ("model", "models", "presets"))
    models = _mapping(said.get("models") or {}, f"{where}: models")
    presets = _mapping(said.get("presets") or {}, f"{where}: presets")
    return Config(
        model=_text(said, "model", where),
        models={name: _spec(path, name, entry) for name, entry in models.items()},
        presets={name: _settings(values, f"{where}: presets.{name}") for name, values in presets.items()},
    )


def _spec(path: Path, name: str, said: Any) -> ModelSpec:
    where = f"{path}: models.{name}"
    entry = _mapping(said, where, ("source", "revision", "description", "licence", "defaults"))
    source = _text(entry, "source", where)
    if source is None:
        raise UsageError(f"{where}: `source` is missing: a hub id, a folder or a file")
    from ip2p_cli.models.registry import MODELS

    local = Path(source).expanduser()
    if source in MODELS:
        pass
    elif local.suffix in _FILES or source.startswith((".", "~")) or local.is_absolute() or source.count("/") != 1:
        source = str((path.parent / local).absolute())
    return ModelSpec(
        name=name,
        source=source,
        revision=_text(entry, "revision", where),
        description=_text(entry, "description", where) or "",
        licence=_text(entry, "licence", where) or "",
        defaults=_settings(entry.get("defaults") or {}, f"{where}.defaults"),
    )


def _settings(values: Any, where: str) -> EditSettings:
    from ip2p_cli.io.setting_parser import read_settings

    return read_settings(_mapping(values, where), where)


def _mapping(said: Any, where: str, known: tuple[str, ...] = ()) -> dict[str, Any]:
    """`said` as a mapping with names as keys, of the `known` ones if any are given."""
    from ip2p_cli.io.setting_parser import refuse_unknown

    if not isinstance(said, dict):
        raise UsageError(f"{where}: must be a mapping of names to values, not {said!r}")
    named = {str(key): value for key, value in said.items()}
    if known:
        refuse_unknown(named, known, where)
    return named


def _text(said: dict[str, Any], name: str, where: str) -> str | None:
    value = said.get(name)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise UsageError(f"{where}: {name} must be text, not {value!r}")
    return value
