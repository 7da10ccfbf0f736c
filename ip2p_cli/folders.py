"""The user's own folders: configuration, state and cache. All are optional; cron jobs and containers have no home."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import platformdirs

Purpose = Literal["config", "state", "cache"]


def user_folder(purpose: Purpose) -> Path | None:
    """Return ip2p's folder for a purpose, whether it exists or not; None where the user has no home folder."""
    try:
        folder = Path(getattr(platformdirs, f"user_{purpose}_dir")("ip2p"))
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # older versions of platformdirs return "~/.cache/ip2p"


def expand_home(path: str | Path) -> Path:
    """Replace a leading ~ or ~user by the home folder; the path stays as it is where there is no such folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, or in the one in which it would be made."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place):
            return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    return False
