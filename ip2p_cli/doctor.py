"""Checks of whether ip2p works on this machine, and what would help; the last check is a real edit."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil
from packaging.requirements import Requirement

from ip2p_cli.config import config_path, read_config
from ip2p_cli.errors import Ip2pError
from ip2p_cli.folders import can_write, user_folder
from ip2p_cli.models.backends import exports_folder, openvino_version, pick_backend
from ip2p_cli.models.device import pick_device, pick_dtype
from ip2p_cli.models.hub import cache_folder, has_cache_folder, offline
from ip2p_cli.models.registry import MODELS
from ip2p_cli.settings import choose_model

State = Literal["ok", "warn", "fail"]

# What the extras of pyproject.toml are for; those for developers are not among them.
_USES = {
    "heif": "reads HEIC photos",
    "data": "reads and writes datasets in parquet, and reads folders of datasets.save_to_disk",
    "language": "tells the language of captions, not only their script",
    "llm": "asks language models behind an endpoint for triplets and scores",
    "ray": "runs a batch on a cluster",
    "preview": "shows pictures in the terminal",
    "openvino": "runs full-size models faster on a CPU",
    "subject": "finds the subject of a photo, for --region subject and background",
}
_DEVELOPMENT = frozenset({"test"})
_FREE_DISK_GB = 5.0
_FREE_MEMORY_GB = 2.0
_REINSTALL = "install ip2p again in a new environment"


@dataclass(frozen=True)
class Check:
    """A line of the report. fix: what to do, if anything. facts: the same for programs."""

    text: str
    _: KW_ONLY
    state: State = "ok"
    fix: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    name: str = ""


def examine() -> Iterator[Check]:
    """Run the checks, one after another; one that raises an error has failed, and the others go on."""
    checks: dict[str, Callable[[], Check]] = {
        "python": _python,
        "torch": _torch,
        "device": _device,
        "dtype": _dtype,
        "threads": _threads,
        "backend": _backend,
        "memory": _memory,
        "cache": _cache,
        "home": _home,
        "network": _network,
        "config": _config,
        **{f"extra {name}": partial(_extra, name) for name in extras()},
        "edit": _edit,
    }
    for name, check in checks.items():
        try:
            result = check()
        except Ip2pError as error:
            result = Check(str(error), state="fail", fix="see the message")
        except Exception as error:  # a broken installation can raise anything
            lines = str(error).strip().splitlines()
            result = Check(f"{type(error).__name__}: {lines[0] if lines else ''}", state="fail", fix=_REINSTALL)
        yield replace(result, name=name)


def _python() -> Check:
    version = platform.python_version()
    text = f"{version} on {platform.system()} {platform.machine()}, ip2p {metadata.version('ip2p')}"
    return Check(text, facts={"version": version, "executable": sys.executable})


def _torch() -> Check:
    import torch

    names = ("torch", "diffusers", "transformers", "huggingface_hub", "safetensors")
    versions = {name: metadata.version(name) for name in names}
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Check(text, facts={**versions, "cuda": torch.version.cuda})


def _device() -> Check:
    choice = pick_device()
    fix = "" if choice.name != "cpu" else "full-size models take minutes a photo on a CPU: use a GPU, or --model nano"
    return Check(f"{choice.name}: {choice.why}", fix=fix, facts={"device": choice.name})


def _dtype() -> Check:
    device = pick_device().name
    large, small = (pick_dtype("auto", device, MODELS[name]) for name in ("instruct-pix2pix", "nano"))
    text = f"{large.name} for full-size models: {large.why}; {small.name} for nano"
    return Check(text, facts={"large": large.name, "nano": small.name})


def _backend() -> Check:
    """Check what runs full-size models, and how much their exports take."""
    device, spec = pick_device().name, MODELS["instruct-pix2pix"]
    choice = pick_backend("auto", spec, device=device, dtype=pick_dtype("auto", device, spec).name)
    folder, version = exports_folder(), openvino_version()
    size = _size(folder) if folder else 0
    text = f"{choice.name} for full-size models: {choice.why}; torch for nano"
    text += f"; exported models: {folder} ({_gb(size)}), made again if deleted" if size else ""
    facts = {"large": choice.name, "openvino": version, "exports": str(folder) if folder else None, "bytes": size}
    return Check(text, facts=facts)


def _threads() -> Check:
    import torch

    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    few = pick_device().name == "cpu" and threads < min(cores, psutil.cpu_count(logical=False) or cores)
    fix = f"unset OMP_NUM_THREADS, or raise it to {cores}" if few else ""
    text = f"{threads} of {cores} processor threads"
    return Check(text, state="warn" if few else "ok", fix=fix, facts={"threads": threads, "cores": cores})


def _memory() -> Check:
    import torch

    memory = psutil.virtual_memory()
    facts = {"total": memory.total, "free": memory.available}
    text = f"{_gb(memory.available)} free of {_gb(memory.total)}"
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        facts |= {"gpu_free": free, "gpu_total": total}
        text += f"; GPU: {_gb(free)} free of {_gb(total)}"
    short = memory.available < _FREE_MEMORY_GB * 1e9
    fix = "close other programs; nano needs about 1 GB, a full-size model 4 to 8 GB" if short else ""
    return Check(text, state="warn" if short else "ok", fix=fix, facts=facts)


def _cache() -> Check:
    own = user_folder("cache")
    if not has_cache_folder():
        text = "there is no home folder, so no models are kept"
        return Check(text, state="warn", fix="set HF_HOME to a folder that can be written to")
    folders = {"models": cache_folder(), **({"ip2p": own} if own else {})}
    sizes = {name: _size(folder) for name, folder in folders.items()}
    text = "; ".join(f"{name}: {folder} ({_gb(sizes[name])})" for name, folder in folders.items())
    existing = next(p for p in (folders["models"], *folders["models"].parents) if os.path.lexists(p))
    free = psutil.disk_usage(str(existing)).free
    text += f", {_gb(free)} free"
    facts: dict[str, Any] = {name: {"path": str(folder), "bytes": sizes[name]} for name, folder in folders.items()}
    fix = ""
    if not can_write(folders["models"]):
        text, fix = f"{text}; {existing} cannot be written to", "set HF_HOME to a folder that can"
    elif free < _FREE_DISK_GB * 1e9:
        fix = "a full-size model takes 4 GB: delete something, or set HF_HOME to another disk"
    return Check(text, state="warn" if fix else "ok", fix=fix, facts={**facts, "room": free})


def _home() -> Check:
    """Check the folders for the configuration, the last edit and the hashes of weights; ip2p works without them."""
    folders = {"config": user_folder("config"), "state": user_folder("state"), "cache": user_folder("cache")}
    facts = {name: str(folder) if folder else None for name, folder in folders.items()}
    if None in folders.values():
        fix = "set HOME to keep a configuration, the last edit and hashes of weights; nothing else needs it"
        return Check("there is no home folder", state="warn", fix=fix, facts=facts)
    kept = {name: folder for name, folder in folders.items() if folder and name != "config"}
    closed = {name: folder for name, folder in kept.items() if not can_write(folder)}
    if closed:
        text = f"cannot be written to: {', '.join(map(str, closed.values()))}"
        fix = "set XDG_STATE_HOME and XDG_CACHE_HOME to keep the last edit and hashes of weights; nothing else needs it"
        return Check(text, state="warn", fix=fix, facts=facts)
    return Check("the last edit and hashes of weights are kept", facts=facts)


def _network() -> Check:
    if offline():
        fix = "unset IP2P_OFFLINE and HF_HUB_OFFLINE to fetch models"
        return Check("offline: nothing is fetched", fix=fix, facts={"offline": True})
    return Check("models that are missing are fetched from huggingface.co", facts={"offline": False})


def _config() -> Check:
    path, own = config_path(), read_config().models
    name, _ = choose_model(None)
    where = f"{path}{'' if os.path.isfile(path) else ' (none)'}" if path else "none"  # noqa: PTH113 - never raises
    text = f"{where}; default model {name}"
    text += f"; own models: {', '.join(own)}" if own else ""
    return Check(text, facts={"path": str(path) if path else None, "model": name, "own": list(own)})


def extras() -> list[str]:
    """List the optional parts of ip2p, as its installed distribution declares them."""
    declared = metadata.metadata("ip2p").get_all("Provides-Extra") or []
    return [name for name in declared if name not in _DEVELOPMENT]


def _extra(name: str) -> Check:
    declared = map(Requirement, metadata.requires("ip2p") or [])
    needed = [requirement for requirement in declared if _is_of_extra(requirement, name)]
    missing = [requirement.name for requirement in needed if not _is_installed(requirement)]
    names = ", ".join(requirement.name for requirement in needed)
    fix = f"if you want that: pip install 'ip2p[{name}]'" if missing else ""
    state = f"{', '.join(missing)} not installed" if missing else f"{names} installed"
    text = f"{state}: {_USES[name]}" if name in _USES else state
    return Check(text, fix=fix, facts={"installed": not missing, "packages": [item.name for item in needed]})


def _is_of_extra(requirement: Requirement, name: str) -> bool:
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": name}) and not marker.evaluate({"extra": ""})


def _is_installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def _edit() -> Check:
    """Edit a picture with nano, on the device and in the number format that `ip2p edit` would use."""
    from PIL import Image

    from ip2p_cli.api import Editor
    from ip2p_cli.models.loader import load_editor
    from ip2p_cli.types import EditSettings

    spec, device = MODELS["nano"], pick_device().name
    started = time.perf_counter()
    editor = load_editor(spec, device=device, dtype=pick_dtype("auto", device, spec).name)
    loaded = time.perf_counter() - started
    grey = Image.linear_gradient("L")
    picture = Image.merge("RGB", (grey, grey.rotate(90), grey.rotate(180)))
    result = Editor(editor).edit(picture, "make it night", EditSettings(seed=0))
    facts = {"load_seconds": round(loaded, 2), "edit_seconds": round(result.seconds, 2)}
    if result.image.size != picture.size or result.image.tobytes() == picture.tobytes():
        return Check("nano returned the picture unedited", state="fail", fix=_REINSTALL, facts=facts)
    size = f"{picture.width} x {picture.height}"
    return Check(f"nano loaded in {loaded:.1f} s and edited a {size} picture in {result.seconds:.1f} s", facts=facts)


def _size(folder: Path) -> int:
    """Add up the bytes in a folder; links are not followed, as the hub's cache links to its own files."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118 - a cache holds many files
    return total


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
