"""Which weights made a picture: a short hash over the files that were loaded."""

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
    from ip2p_cli.models.loader import Editor

_DTYPES = {"torch.float32": "fp32", "torch.float16": "fp16", "torch.bfloat16": "bf16"}


def fingerprint(model: Editor | ModelSpec, loras: Sequence[Lora] = (), vae: str | None = None) -> str:
    """16 hexadecimal digits that tell the weights apart, wherever their files lie and whatever they are called.

    It covers the bytes of the model's files, of the LoRAs with their weights, in order, and of the VAE. A ModelSpec
    stands for its fp32 files. Raises ModelError where a file is missing.
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
    """16 hexadecimal digits of the bytes of `paths`, in order. Raises ModelError where one cannot be read."""
    hashes = _remembered_hashes(paths)
    return hashlib.sha256("".join(f"{hashes[path]}\n" for path in paths).encode()).hexdigest()[:16]


def _vae_file(source: str) -> Path:
    from ip2p_cli.models.vae import WEIGHTS, find_vae

    path = find_vae(source)
    return path / WEIGHTS if path.is_dir() else path


# --- Hashes of files, once for each file


def memory_path() -> Path | None:
    """Where the hashes of files are remembered; None without a home folder."""
    folder = user_folder("cache")
    return folder / "fingerprints.json" if folder else None


def _remembered_hashes(paths: Sequence[Path]) -> dict[Path, str]:
    """The sha256 of each file's bytes; gigabytes are read once, and again only where size or time have changed."""
    known = _recall()
    hashes: dict[Path, str] = {}
    learned: dict[str, str] = {}
    for path in paths:
        try:
            path = path.absolute()
            real = path.resolve()
            status = real.stat()
            key = f"{real}|{status.st_size}|{status.st_mtime_ns}"
            found = known.get(key) or learned.get(key)
            if found is None:
                with real.open("rb") as file:
                    found = learned[key] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(f"{path} cannot be read ({error.strerror}); fetch the model again") from error
        hashes[path] = found
    if learned:
        _remember(learned)
    return {path: hashes[path.absolute()] for path in paths}


def _recall() -> dict[str, str]:
    """What is remembered; nothing where that is missing or damaged."""
    path = memory_path()
    try:
        content = json.loads(path.read_text("utf-8")) if path else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str) and len(value) == 64}


def _remember(learned: dict[str, str]) -> None:
    """Add `learned` to the memory; a memory that cannot be written to only costs time."""
    path = memory_path()
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Read again: another process may have learned something meanwhile. What no longer exists is forgotten.
        known = {key: value for key, value in (_recall() | learned).items() if Path(key.split("|")[0]).exists()}
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(known, file, indent=0)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
