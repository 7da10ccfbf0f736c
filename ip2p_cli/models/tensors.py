"""Reading tensors from a file: safetensors, or a checkpoint of torch without running code in it."""

from __future__ import annotations

import contextlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from ip2p_cli.errors import ModelError
from ip2p_cli.models.hub import reason

# torch stores tensors as they are; files that others packed again are a little smaller, and no more.
_MAX_RATIO = 4
_MAX_MEMBERS = 100_000
_MAX_PICKLE = 100_000_000


class _Nothing:
    """Replaces a class that a checkpoint names, so that the class itself is not imported."""


# Lightning's checkpoints, the authors' among them, name this class in the state of their callbacks.
_HARMLESS = ("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors in a file by name, memory-mapped where possible; of a training checkpoint, its `state_dict`.

    Raises:
        ModelError: The file is missing or damaged, holds no tensors, or could run code: it holds pickles of other
            objects than tensors and plain values.
    """
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file; give a .safetensors or .ckpt file that exists")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    tensors = {}
    if isinstance(content, dict):
        tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ModelError(f"{path} holds no tensors; give a file with a model's weights")
    return tensors


def _read_safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:
        raise ModelError(_damaged(path, error)) from error


def _read_pickle(path: Path) -> Any:
    _refuse_bomb(path)
    try:
        with _inert_names():
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError:
                # Files from before torch 1.6 cannot be mapped. A damaged file fails again.
                return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error).lower():
            raise ModelError(_damaged(path, error)) from error
        raise ModelError(
            f"{path} would need more than tensors unpickled, which can run any code; ip2p never does that. Get the "
            "model as .safetensors, or convert it on a machine that has nothing to lose"
        ) from error
    except Exception as error:
        # Truncated archive, no pickle at all, out of memory: torch raises anything from EOFError to KeyError.
        raise ModelError(_damaged(path, error)) from error


def _refuse_bomb(path: Path) -> None:
    """Raise ModelError if the zip's directory announces far more than the file can hold."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # a checkpoint from before torch 1.6, or a damaged one, as torch will say
    size = path.stat().st_size
    pickled = max((member.file_size for member in members if member.filename.endswith(".pkl")), default=0)
    total = sum(member.file_size for member in members)
    if len(members) > _MAX_MEMBERS or pickled > _MAX_PICKLE or total > _MAX_RATIO * size:
        raise ModelError(
            f"{path} would unpack to {total / 1e9:.1f} GB in {len(members)} parts from {size / 1e9:.1f} GB: no model "
            "does that; get it from somewhere else"
        )


def _inert_names() -> contextlib.AbstractContextManager[Any]:
    """Read the classes in `_HARMLESS` as `_Nothing` within the block."""
    try:
        return torch.serialization.safe_globals([(_Nothing, name) for name in _HARMLESS])
    except (AttributeError, TypeError):  # torch < 2.6 cannot replace classes, and refuses the file
        return contextlib.nullcontext()


def _damaged(path: Path, error: Exception) -> str:
    return f"{path} cannot be read ({reason(error)}); it is damaged or incomplete: fetch it again"
