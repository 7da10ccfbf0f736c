"""The hub's cache on this machine: what is in it, what may be fetched, what is deleted. Imports no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ip2p_cli.errors import ModelError
from ip2p_cli.types import ModelSpec


def offline() -> bool:
    """Whether IP2P_OFFLINE or HF_HUB_OFFLINE says that the network is not to be used."""
    return is_set("IP2P_OFFLINE") or is_set("HF_HUB_OFFLINE")


def is_set(name: str) -> bool:
    """Whether the environment variable `name` says yes: anything but nothing, 0, false, no and off."""
    return os.environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off")


def reason(error: BaseException) -> str:
    """The part of an error that fits into one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def find_cached(source: str, revision: str | None = None) -> Path | None:
    """The snapshot folder of the hub repository `source` on this machine, whole or not; None where there is none."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, revision=revision, local_files_only=True))
    except (OSError, ValueError):  # not there, or a folder of another user; ValueError: not a repository's name
        return None


@dataclass(frozen=True)
class OnDisk:
    """Where a model lies: the folder or file, its bytes, and whether everything that is loaded is in it."""

    path: Path
    size: int
    whole: bool


def on_disk(spec: ModelSpec) -> OnDisk | None:
    """What this machine has of `spec`; None where it has nothing."""
    local = Path(spec.source)
    if local.is_absolute():
        if local.is_file():
            return OnDisk(local, local.stat().st_size, True)
        if not local.is_dir():
            return None
        size = sum(path.stat().st_size for path in local.rglob("*") if path.is_file())
        return OnDisk(local, size, _is_whole(local))
    repository = next((found for found in _repositories() if found.repo_id == spec.source), None)
    wanted = spec.revision or "main"
    for revision in repository.revisions if repository else ():
        if wanted in revision.refs or wanted == revision.commit_hash:
            folder = Path(revision.snapshot_path)
            return OnDisk(folder, int(revision.size_on_disk), _is_whole(folder))
    return None


def cached_sources() -> list[str]:
    """The hub ids of the cached models in diffusers layout, sorted."""
    return sorted(
        repository.repo_id
        for repository in _repositories()
        if any((Path(revision.snapshot_path) / "model_index.json").is_file() for revision in repository.revisions)
    )


@dataclass(frozen=True)
class Removal:
    """What would be deleted from the cache; `run` does it. size: bytes that are freed."""

    revisions: int
    size: int
    run: Callable[[], None]


def plan_removal(spec: ModelSpec, revision: str | None = None) -> Removal:
    """Deleting `spec` from the hub's cache: one revision, or all that are there. ModelError where there is none."""
    from huggingface_hub import scan_cache_dir

    if Path(spec.source).is_absolute():
        raise ModelError(f"model {spec.name} was not pulled: it lies at {spec.source}; delete that yourself")
    repository = next((found for found in _repositories() if found.repo_id == spec.source), None)
    revisions = [
        found.commit_hash
        for found in (repository.revisions if repository else ())
        if revision is None or revision in found.refs or revision == found.commit_hash
    ]
    if not revisions:
        which = f", revision {revision}," if revision else ""
        raise ModelError(f"model {spec.name}{which} is not on this machine; `ip2p models list` says what is")
    strategy = scan_cache_dir(cache_folder()).delete_revisions(*revisions)
    return Removal(len(revisions), int(strategy.expected_freed_size), strategy.execute)


def cache_folder() -> Path:
    """The folder of the hub's cache, whether it exists or not."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def has_cache_folder() -> bool:
    """Whether the hub's client knows a folder for its cache: without a home folder it would take ./~/.cache."""
    return cache_folder().parts[0] != "~"


def check_cache_folder() -> None:
    """Raise ModelError if there is no folder to download to."""
    if not has_cache_folder():
        raise ModelError("there is no home folder to keep models in: set HF_HOME to a folder, or give --model FOLDER")


def _repositories() -> list[Any]:
    """The cached model repositories; those that are damaged are left out."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    if not has_cache_folder():
        return []
    try:
        return [found for found in scan_cache_dir(cache_folder()).repos if found.repo_type == "model"]
    except (CacheNotFound, OSError, ValueError):  # ValueError: a file where the cache should be
        return []


def _is_whole(folder: Path) -> bool:
    """Whether every model that the folder's index names has its weights; the loader looks closer."""
    try:
        index = json.loads((folder / "model_index.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(index, dict):
        return False
    for part, kind in index.items():
        if not isinstance(kind, list) or None in kind or part in ("safety_checker", "image_encoder"):
            continue
        if any(word in part for word in ("tokenizer", "scheduler", "feature_extractor", "processor")):
            if not (folder / part).is_dir() and part != "feature_extractor":
                return False
        elif not any((folder / part).glob("*.safetensors")):
            return False
    return True
