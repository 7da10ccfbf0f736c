"""The user's config file: the default model, own models and own presets. It is read anew each time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ip2p_cli.errors import InputError
from ip2p_cli.folders import expand_home, user_folder
from ip2p_cli.io.setting_parser import read_settings
from ip2p_cli.io.yaml_files import Document, StrictModel, read_yaml, validated
from ip2p_cli.types import EditSettings, ModelSpec

_MODEL_FILES = (".safetensors", ".ckpt", ".pt", ".pth")

_Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


@dataclass(frozen=True, kw_only=True)
class Config:
    """The content of the config file. The source of a local model is absolute."""

    model: str | None = None
    models: dict[str, ModelSpec] = field(default_factory=dict)
    presets: dict[str, EditSettings] = field(default_factory=dict)


class _OwnModel(StrictModel):
    source: _Text = Field(description="a hub id, a folder or a file")
    revision: _Text | None = None
    description: _Text | None = None
    licence: _Text | None = None
    defaults: dict[str, Any] | None = None


class _ConfigFile(StrictModel):
    model: _Text | None = None
    models: dict[str, _OwnModel] | None = None
    presets: dict[str, dict[str, Any]] | None = None


def config_path() -> Path | None:
    """Return where the config file is, or would be. IP2P_CONFIG names another one; None without a home folder."""
    path = os.environ.get("IP2P_CONFIG")
    folder = user_folder("config")
    return Path(path) if path else folder / "config.yaml" if folder else None


def read_config() -> Config:
    """Read the config file; without one, or with an empty one, nothing is configured.

    Raises:
        InputError: The file cannot be read.
        UsageError: It is not valid; the message names file, line and field.
    """
    path = config_path()
    if path is None:
        return Config()
    try:
        if path.stat().st_size == 0:
            return Config()
    except (FileNotFoundError, NotADirectoryError):
        return Config()
    except PermissionError:
        if not os.environ.get("IP2P_CONFIG") and not os.access(path.parent, os.X_OK):
            return Config()  # the home folder of another user
        raise InputError(f"{path}: cannot be read (permission denied); repair or delete it.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); repair or delete it.") from error
    document = read_yaml(path)
    if document.raw is None:
        return Config()
    content = validated(_ConfigFile, document.raw, document)
    presets = content.presets or {}
    return Config(
        model=content.model,
        models={name: _spec(document, name, entry) for name, entry in (content.models or {}).items()},
        presets={name: _settings(document, values, ("presets", name)) for name, values in presets.items()},
    )


def _spec(document: Document, name: str, entry: _OwnModel) -> ModelSpec:
    from ip2p_cli.models.registry import MODELS

    source, local = entry.source, expand_home(entry.source)
    is_file = local.suffix in _MODEL_FILES or local.is_absolute() or source.startswith((".", "~"))
    if source not in MODELS and (is_file or source.count("/") != 1):
        source = str((document.path.parent / local).absolute())
    return ModelSpec(
        name=name,
        source=source,
        revision=entry.revision,
        description=entry.description or "",
        licence=entry.licence or "",
        defaults=_settings(document, entry.defaults or {}, ("models", name, "defaults")),
    )


def _settings(document: Document, values: Mapping[str, Any], location: tuple[str, ...]) -> EditSettings:
    return read_settings(values, f"{document.where(location)}: {'.'.join(location)}")
