"""Whether ip2p can work on this machine, and what would help: one check after another, the last a real edit."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import platformdirs
import psutil

from ip2p_cli.config import config_path, read_config
from ip2p_cli.errors import Ip2pError
from ip2p_cli.models.device import pick_device, pick_dtype
from ip2p_cli.models.hub import cache_folder, offline
from ip2p_cli.models.registry import MODELS
from ip2p_cli.settings import choose_model

State = Literal["ok", "warn", "fail"]

# What ip2p can do with more packages: the module that shows it, its package, what it is for.
EXTRAS = {
    "heif": ("pillow_heif", "pillow-heif", "reads HEIC photos"),
    "data": ("pyarrow", "pyarrow", "reads and writes datasets in parquet"),
    "ray": ("ray", "ray", "spreads a batch over a cluster"),
    "llm": ("llama_cpp", "llama-cpp-python", "writes instructions with a language model"),
    "peft": ("peft", "peft", "trains LoRAs"),
}
_ROOM_GB = 5.0
_MEMORY_GB = 2.0


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report. fix: what to do about it, where something can be done. facts: the same for programs."""

    name: str
    state: State
    text: str
    fix: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def examine() -> Iterator[Check]:
    """The checks, one after another; a check that breaks is a failed one, and the others go on."""
    checks: tuple[tuple[str, Callable[[], Check]], ...] = (
        ("python", _python),
        ("torch", _torch),
        ("device", _device),
        ("dtype", _dtype),
        ("threads", _threads),
        ("memory", _memory),
        ("cache", _cache),
        ("network", _network),
        ("config", _config),
    )
    for name, check in checks:
        yield _guarded(name, check)
    for name in EXTRAS:
        yield _extra(name)
    yield _guarded("edit", _edit)


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Ip2pError as error:
        return Check(name=name, state="fail", text=str(error), fix="see the message")
    except Exception as error:  # a broken installation can raise anything; the report must come to its end
        lines = str(error).strip().splitlines()
        said = f"{type(error).__name__}: {lines[0] if lines else ''}"
        return Check(name=name, state="fail", text=said, fix="install ip2p again in a fresh environment")


def _python() -> Check:
    version = platform.python_version()
    where = f"{version} on {platform.system()} {platform.machine()}, ip2p {metadata.version('ip2p')}"
    return Check(name="python", state="ok", text=where, facts={"version": version, "executable": sys.executable})


def _torch() -> Check:
    names = ("torch", "diffusers", "transformers", "huggingface_hub", "safetensors")
    versions = {name: metadata.version(name) for name in names}
    import torch

    return Check(
        name="torch",
        state="ok",
        text=", ".join(f"{name} {version}" for name, version in versions.items()),
        facts={**versions, "cuda": torch.version.cuda},
    )


def _device() -> Check:
    choice = pick_device()
    fix = "" if choice.name != "cpu" else "full-size models take minutes a photo on a CPU: use a GPU, or --model nano"
    return Check(name="device", state="ok", text=f"{choice.name}: {choice.why}", fix=fix, facts={"device": choice.name})


def _dtype() -> Check:
    device = pick_device().name
    large, small = (pick_dtype("auto", device, MODELS[name]) for name in ("instruct-pix2pix", "nano"))
    text = f"{large.name} for full-size models: {large.why}; {small.name} for nano"
    return Check(name="dtype", state="ok", text=text, facts={"large": large.name, "nano": small.name})


def _threads() -> Check:
    import torch

    used, cores = torch.get_num_threads(), os.cpu_count() or 1
    few = pick_device().name == "cpu" and used < min(cores, psutil.cpu_count(logical=False) or cores)
    fix = f"unset OMP_NUM_THREADS, or raise it to {cores}" if few else ""
    return Check(
        name="threads",
        state="warn" if few else "ok",
        text=f"{used} of {cores} processor threads",
        fix=fix,
        facts={"threads": used, "cores": cores},
    )


def _memory() -> Check:
    memory = psutil.virtual_memory()
    facts = {"total": memory.total, "free": memory.available}
    text = f"{_gb(memory.available)} free of {_gb(memory.total)}"
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        facts |= {"gpu_free": free, "gpu_total": total}
        text += f"; GPU: {_gb(free)} free of {_gb(total)}"
    short = memory.available < _MEMORY_GB * 1e9
    fix = "close other programs; nano needs about 1 GB, a full-size model 4 to 8 GB" if short else ""
    return Check(name="memory", state="warn" if short else "ok", text=text, fix=fix, facts=facts)


def _cache() -> Check:
    folders = {"models": cache_folder(), "ip2p": Path(platformdirs.user_cache_path("ip2p"))}
    sizes = {name: _size(folder) for name, folder in folders.items()}
    text = "; ".join(f"{name}: {folder} ({_gb(sizes[name])})" for name, folder in folders.items())
    existing = next(p for p in (folders["models"], *folders["models"].parents) if p.exists())
    room = psutil.disk_usage(str(existing)).free
    facts = {name: {"path": str(folder), "bytes": sizes[name]} for name, folder in folders.items()}
    problem, fix = "", ""
    if not os.access(existing, os.W_OK):
        problem, fix = f"; {existing} cannot be written to", "set HF_HOME to a folder that can"
    elif room < _ROOM_GB * 1e9:
        problem, fix = "", "a full-size model takes 4 GB: free some room, or set HF_HOME to another disk"
    return Check(
        name="cache",
        state="warn" if fix else "ok",
        text=f"{text}, {_gb(room)} of room left{problem}",
        fix=fix,
        facts={**facts, "room": room},
    )


def _network() -> Check:
    off = offline()
    text = "offline: nothing is fetched" if off else "models are fetched from huggingface.co where they are missing"
    fix = "unset IP2P_OFFLINE and HF_HUB_OFFLINE to fetch models" if off else ""
    return Check(name="network", state="ok", text=text, fix=fix, facts={"offline": off})


def _config() -> Check:
    path = config_path()
    own = read_config().models
    name, _ = choose_model(None)
    text = f"{path}{'' if path.is_file() else ' (none)'}; default model {name}"
    text += f"; own models: {', '.join(own)}" if own else ""
    return Check(name="config", state="ok", text=text, facts={"path": str(path), "model": name, "own": list(own)})


def _extra(name: str) -> Check:
    module, package, use = EXTRAS[name]
    there = importlib.util.find_spec(module) is not None
    text = f"{package} is {'here' if there else 'not installed'}: {use}"
    fix = "" if there else f"if you want that: pip install {package}"
    return Check(name=f"extra {name}", state="ok", text=text, fix=fix, facts={"installed": there})


def _edit() -> Check:
    """nano on a picture of its own size, on the device and in the number format that `ip2p edit` would take."""
    from PIL import Image

    from ip2p_cli.api import Editor
    from ip2p_cli.models.loader import load_editor
    from ip2p_cli.types import EditSettings

    spec = MODELS["nano"]
    device = pick_device().name
    started = time.perf_counter()
    editor = load_editor(spec, device=device, dtype=pick_dtype("auto", device, spec).name)
    loaded = time.perf_counter() - started
    grey = Image.linear_gradient("L")
    picture = Image.merge("RGB", (grey, grey.rotate(90), grey.rotate(180)))
    result = Editor(editor).edit(picture, "make it night", EditSettings(seed=0))
    facts = {"load_seconds": round(loaded, 2), "edit_seconds": round(result.seconds, 2)}
    if result.image.size != picture.size or result.image.tobytes() == picture.tobytes():
        fix = "install ip2p again in a fresh environment"
        return Check(name="edit", state="fail", text="nano returned the picture unedited", fix=fix, facts=facts)
    text = f"nano loaded in {loaded:.1f} s and edited a {picture.width} x {picture.height} picture in"
    return Check(name="edit", state="ok", text=f"{text} {result.seconds:.1f} s", facts=facts)


def _size(folder: Path) -> int:
    """Bytes below `folder`, links not followed: the hub's cache links to its own files."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118 - a cache holds many files
    return total


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
