"""The last edit, kept on this machine so that `ip2p variants --seeds 8` can take it up again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ip2p_cli.editing.tree import Step
from ip2p_cli.errors import Ip2pError, UsageError
from ip2p_cli.folders import expand_home, user_folder
from ip2p_cli.io.files import write_whole
from ip2p_cli.io.mask_settings import MASK_SETTINGS, read_mask_settings
from ip2p_cli.io.setting_parser import SETTINGS, read_settings
from ip2p_cli.models.hub import is_set
from ip2p_cli.models.lora import lora_text
from ip2p_cli.models.registry import MODELS
from ip2p_cli.settings import choose_model
from ip2p_cli.types import EditSettings, MaskSettings

_NONE = 'there is no edit to take up again: give a photo and an instruction, ip2p variants in.jpg "make it winter"'
_MAX_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class LastEdit:
    """What was edited, where and with what. model, revision, loras, vae: as the flags take them; paths are absolute."""

    source: Path
    instruction: str
    settings: EditSettings
    model: str
    revision: str | None = None
    loras: tuple[str, ...] = ()
    vae: str | None = None
    mask: MaskSettings = field(default_factory=MaskSettings)


def history_path() -> Path | None:
    """Where the last edit is kept; None without a home folder."""
    folder = user_folder("state")
    return folder / "last-edit.json" if folder else None


def remember_edit(last: LastEdit) -> None:
    """Keep the last edit, whole or not at all; nothing with IP2P_NO_HISTORY, or where it cannot be written."""
    path = history_path()
    if is_set("IP2P_NO_HISTORY") or path is None:
        return
    said = {
        **vars(last),
        "source": str(last.source.absolute()),
        "settings": asdict(last.settings),
        "mask": vars(last.mask),
    }
    with contextlib.suppress(OSError, Ip2pError, UnicodeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps(said, indent=2) + "\n").encode(), overwrite=True)


def read_last_edit() -> LastEdit:
    """The last edit; UsageError where there is none, or where the file is not what `remember_edit` wrote."""
    path = history_path()
    if is_set("IP2P_NO_HISTORY"):
        raise UsageError(f"{_NONE} (IP2P_NO_HISTORY is set, so none is kept)")
    if path is None:
        raise UsageError(f"{_NONE} (there is no home folder, so none is kept: set HOME or XDG_STATE_HOME)")
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(_MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # the last: the home folder of another user
        raise UsageError(_NONE) from None
    except (OSError, ValueError, RecursionError):
        raise UsageError(f"{path}: cannot be read: delete it. {_NONE}") from None
    try:
        return _checked(said, str(path))
    except (KeyError, TypeError, AttributeError):
        raise UsageError(f"{path}: holds no edit: delete it. {_NONE}") from None


def last_edit_of(source: Path, step: Step, model: str | None, revision: str | None) -> LastEdit:
    """Return an edit that was made as it can be asked for again; model, revision: as the flags gave them."""
    choice = step.choice
    return LastEdit(
        source=source.absolute(),
        instruction=step.instruction,
        settings=EditSettings(**asdict(step.settings)),
        model=_absolute(choose_model(model)[0]),
        revision=revision,
        loras=tuple(map(lora_text, choice.loras)),
        vae=_absolute(choice.vae) if choice.vae else None,
        mask=step.mask.for_command() if step.mask is not None else MaskSettings(),
    )


def _absolute(name: str) -> str:
    """A path, where `name` is one that is there, from wherever it will be used next; else the name itself."""
    path = expand_home(name)
    try:
        return str(path.absolute()) if path.exists() and name not in MODELS else name
    except OSError:  # too long for a name
        return name


def _checked(said: Mapping[str, Any], where: str) -> LastEdit:
    loras: Sequence[Any] = said["loras"]
    texts = [said["source"], said["instruction"], said["model"], *loras]
    texts += [said[name] for name in ("revision", "vae") if said[name] is not None]
    if not all(isinstance(text, str) for text in texts) or not said["instruction"]:
        raise TypeError
    settings = {name: said["settings"].get(name) for name in SETTINGS}
    mask = {name: said.get("mask", {}).get(name) for name in MASK_SETTINGS}
    return LastEdit(
        source=Path(said["source"]),
        instruction=said["instruction"],
        settings=read_settings({name: value for name, value in settings.items() if value is not None}, where),
        model=said["model"],
        revision=said["revision"],
        loras=tuple(loras),
        vae=said["vae"],
        mask=read_mask_settings(mask, where),
    )
