"""The hub's cache on this machine, downloads to it, and JSON files of models. Imports no torch."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ip2p_cli.errors import ModelError
from ip2p_cli.types import ModelSpec


def offline() -> bool:
    """Whether IP2P_OFFLINE or HF_HUB_OFFLINE forbids the use of the network."""
    return is_set("IP2P_OFFLINE") or is_set("HF_HUB_OFFLINE")


def is_set(name: str) -> bool:
    """Whether the environment variable `name` is set to anything but 0, false, no or off."""
    return os.environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off")


def reason(error: BaseException) -> str:
    """The type and the first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def read_json(path: Path, fix: str = "fetch the model again") -> dict[str, Any]:
    """Read a JSON object; raises ModelError, with the `fix`, where the file holds none."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"the model lacks {path}; fetch or export it again, in diffusers layout") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({reason(error)}); {fix}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} must hold a JSON object; {fix}")
    return content


def download(source: str, patterns: Sequence[str], revision: str | None = None) -> Path:
    """Download files that match `patterns` from a hub repository; returns its folder in the cache."""
    from huggingface_hub import snapshot_download

    check_cache_folder()
    with _download_bars():
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(patterns)))


@contextlib.contextmanager
def _download_bars() -> Iterator[None]:
    """Show the client's progress bars on a terminal only."""
    from huggingface_hub import utils

    if sys.stderr.isatty() or utils.are_progress_bars_disabled():
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()


def find_cached(source: str, revision: str | None = None) -> Path | None:
    """The folder of a hub repository in the cache, complete or not; None where there is none."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, revision=revision, local_files_only=True))
    # Not there, or a folder of another user; ValueError: not a repository's name; RuntimeError: no home folder.
    except (OSError, ValueError, RuntimeError):
        return None


@dataclass(frozen=True)
class OnDisk:
    """A model on this machine: its folder or file, its size in bytes, and whether it is complete."""

    path: Path
    size: int
    whole: bool


def on_disk(spec: ModelSpec) -> OnDisk | None:
    """Where `spec` is on this machine; None where it is not."""
    local = Path(spec.source)
    if local.is_absolute():
        if local.is_file():
            return OnDisk(local, local.stat().st_size, True)
        if not local.is_dir():
            return None
        size = sum(path.stat().st_size for path in local.rglob("*") if path.is_file())
        return OnDisk(local, size, _is_whole(local))
    for revision in _cached_revisions(spec.source, spec.revision or "main"):
        folder = Path(revision.snapshot_path)
        return OnDisk(folder, int(revision.size_on_disk), _is_whole(folder))
    return None


def cached_sources() -> list[str]:
    """Hub ids of cached models in diffusers layout, sorted."""
    return sorted(
        repository.repo_id
        for repository in _repositories()
        if any((Path(revision.snapshot_path) / "model_index.json").is_file() for revision in repository.revisions)
    )


@dataclass(frozen=True)
class Removal:
    """A deletion from the cache, of `size` bytes; `run` performs it."""

    revisions: int
    size: int
    run: Callable[[], None]


def plan_removal(spec: ModelSpec, revision: str | None = None) -> Removal:
    """Prepare the deletion of a model from the hub's cache.

    Args:
        spec: The model.
        revision: The revision to delete; None for all.

    Raises:
        ModelError: The model or revision is not in the cache.
    """
    from huggingface_hub import scan_cache_dir

    if Path(spec.source).is_absolute():
        raise ModelError(f"model {spec.name} was not pulled: it lies at {spec.source}; delete that yourself")
    revisions = [cached.commit_hash for cached in _cached_revisions(spec.source, revision)]
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


def _cached_revisions(source: str, revision: str | None) -> list[Any]:
    """Cached revisions of the repository `source`: all, or those with the name or hash `revision`."""
    return [
        cached
        for repository in _repositories()
        if repository.repo_id == source
        for cached in repository.revisions
        if revision is None or revision in cached.refs or revision == cached.commit_hash
    ]


def _repositories() -> list[Any]:
    """Cached model repositories, without damaged ones."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    if not has_cache_folder():
        return []
    try:
        return [repository for repository in scan_cache_dir(cache_folder()).repos if repository.repo_type == "model"]
    except (CacheNotFound, OSError, ValueError):  # ValueError: a file where the cache should be
        return []


def _is_whole(folder: Path) -> bool:
    """Whether every part in the folder's index has files; the loader checks more closely."""
    try:
        index = read_json(folder / "model_index.json")
    except ModelError:
        return False
    for part, class_name in index.items():
        if not isinstance(class_name, list) or None in class_name or part in ("safety_checker", "image_encoder"):
            continue
        if any(word in part for word in ("tokenizer", "scheduler", "feature_extractor", "processor")):
            if not (folder / part).is_dir() and part != "feature_extractor":
                return False
        elif not any((folder / part).glob("*.safetensors")):
            return False
    return True
