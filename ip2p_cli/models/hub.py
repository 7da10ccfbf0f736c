"""The hub's cache on this machine: what is in it, what may be fetched, what is deleted. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path


def offline() -> bool:
    """Whether IP2P_OFFLINE or HF_HUB_OFFLINE says that the network is not to be used."""
    said = (os.environ.get(name, "") for name in ("IP2P_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.strip().lower() not in ("", "0", "false", "no", "off") for value in said)


def reason(error: BaseException) -> str:
    """The part of an error that fits into one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def find_cached(source: str, revision: str | None = None) -> Path | None:
    """The snapshot folder of the hub repository `source` on this machine, whole or not; None where there is none."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, revision=revision, local_files_only=True))
    except (FileNotFoundError, ValueError):  # ValueError: not a repository's name
        return None
