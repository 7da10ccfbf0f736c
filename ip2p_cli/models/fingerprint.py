"""Fingerprints of models: a short hash of the files that are loaded."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ip2p_cli.errors import ModelError
from ip2p_cli.folders import user_folder
from ip2p_cli.types import Lora, ModelSpec

if TYPE_CHECKING:
    from ip2p_cli.models.editor import Editor

_DTYPES = {"torch.float32": "fp32", "torch.float16": "fp16", "torch.bfloat16": "bf16"}


def fingerprint(model: Editor | ModelSpec, loras: Sequence[Lora] = (), vae: str | None = None) -> str:
    """Hash the bytes of a model's files, of LoRAs with their weights in order, and of a VAE.

    Args:
        model: The model; a ModelSpec stands for its fp32 files.
        loras: LoRAs that are added to the model.
        vae: Another VAE for the model: a file, a folder or a hub id.

    Returns:
        16 hexadecimal digits, whatever the files are called.

    Raises:
        ModelError: A file is missing.
    """
    from ip2p_cli.models.lora import lora_file
    from ip2p_cli.models.model_files import weight_files

    spec = model if isinstance(model, ModelSpec) else model.spec
    dtype = "fp32" if isinstance(model, ModelSpec) else _DTYPES[str(model.dtype)]
    files = [("model", path) for path in weight_files(spec, dtype=dtype)]
    files += [(f"lora {lora.weight!r}", lora_file(lora)) for lora in loras]
    if vae is not None:
        files.append(("vae", _vae_file(vae)))
    hashes = _remembered_hashes([path for _, path in files])
    lines = [f"{role} {hashes[path]}\n" for role, path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def files_fingerprint(paths: Sequence[Path]) -> str:
    """Hash the bytes of files, in order, to 16 hexadecimal digits; raises ModelError where one cannot be read."""
    hashes = _remembered_hashes(paths)
    return hashlib.sha256("".join(f"{hashes[path]}\n" for path in paths).encode()).hexdigest()[:16]


def _vae_file(source: str) -> Path:
    from ip2p_cli.models.vae import WEIGHTS, find_vae

    path = find_vae(source)
    return path / WEIGHTS if path.is_dir() else path


def memory_path() -> Path | None:
    """The file that remembers hashes of files; None without a home folder."""
    folder = user_folder("cache")
    return folder / "fingerprints.json" if folder else None


def _remembered_hashes(paths: Sequence[Path]) -> dict[Path, str]:
    """The sha256 of each file; a file is read again only where its size or time have changed."""
    known = _read_memory()
    hashes: dict[Path, str] = {}
    new: dict[str, str] = {}
    for path in paths:
        try:
            real = path.absolute().resolve()
            status = real.stat()
            key = f"{real}|{status.st_size}|{status.st_mtime_ns}"
            if key not in known:
                with real.open("rb") as file:
                    known[key] = new[key] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(f"{path} cannot be read ({error.strerror}); fetch the model again") from error
        hashes[path] = known[key]
    if new:
        _add_to_memory(new)
    return hashes


def _read_memory() -> dict[str, str]:
    """Remembered hashes by path, size and time; none where the file is missing or damaged."""
    path = memory_path()
    try:
        content = json.loads(path.read_text("utf-8")) if path else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str) and len(value) == 64}


def _add_to_memory(new: dict[str, str]) -> None:
    """Remember new hashes; where that fails, the files are read again next time."""
    path = memory_path()
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Read again: another process may have written meanwhile. Files that no longer exist are dropped.
        known = {key: value for key, value in (_read_memory() | new).items() if Path(key.split("|")[0]).exists()}
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(known, file, indent=0)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
