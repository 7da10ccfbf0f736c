"""What steps made, kept in a folder under their keys. Nothing in it is ever needed: it may be deleted at any time."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ip2p_cli.editing.choose import Chosen
from ip2p_cli.editing.tuning import Tuned
from ip2p_cli.io.files import sweep_temporary, write_whole
from ip2p_cli.io.sizes import Fit

FOLDER = ".ip2p-chain"
# What no result refers to any more may take this much.
MAX_UNUSED_BYTES = 512 * 1024**2


@dataclass(frozen=True, kw_only=True, eq=False)
class StepResult:
    """What a step made, at the model's size.

    Attributes:
        fit: How the photo became the model's picture.
        model: Name and weights of the model whose latents these are.
        latent: Unscaled, (1, C, h, w); None from a model that edits in a way of its own.
        picture: The photo's part of the result, 8 bits, from such a model.
        pixels: The same before it was rounded, (3, h, w) in [0, 1]; is not kept.
        chosen: Which of several seeds was kept.
        memory: How the model was run, if memory was too short for the usual way.
        tuned: What was tried until it was ok.
    """

    fit: Fit
    model: str
    latent: torch.Tensor | None = None
    picture: Image.Image | None = None
    pixels: torch.Tensor | None = None
    chosen: Chosen | None = None
    memory: dict[str, Any] | None = None
    tuned: Tuned | None = None


class StepCache:
    """Step results on disk.

    Args:
        folder: Where they are kept; None to keep nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def read(self, key: str) -> StepResult | None:
        """Return the result with this key; None if there is none that can be read."""
        return _read(self.folder / f"{key}.safetensors") if self.folder is not None else None

    def write(self, key: str, result: StepResult) -> None:
        """Keep a result; raises OSError and OutputError."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / f"{key}.safetensors", _as_bytes(result), overwrite=True)

    def prune(self, used: Collection[str], most: int = MAX_UNUSED_BYTES) -> int:
        """Delete the oldest files whose keys are not `used` until they take at most `most` bytes; returns how many."""
        if self.folder is None:
            return 0
        sweep_temporary(self.folder)
        unused = []
        try:
            for path in self.folder.glob("*.safetensors"):
                if path.stem not in used:
                    status = path.stat()
                    unused.append((status.st_mtime_ns, status.st_size, path))
        except OSError:  # another process prunes too
            return 0
        total = deleted = 0
        for _, size, path in sorted(unused, reverse=True):
            total += size
            if total > most:
                path.unlink(missing_ok=True)
                deleted += 1
        return deleted


def _as_bytes(result: StepResult) -> bytes:
    tensors = {"latent": result.latent.cpu().contiguous()} if result.latent is not None else {}
    if result.picture is not None and result.latent is None:
        tensors = {"picture": torch.from_numpy(np.array(result.picture))}
    facts = {"fit": json.dumps(asdict(result.fit)), "model": result.model}
    if result.chosen is not None:
        facts["chosen"] = json.dumps(asdict(result.chosen))
    if result.tuned is not None:
        facts["tuned"] = json.dumps(vars(result.tuned))
    if result.memory is not None:
        facts["memory"] = json.dumps(result.memory)
    data: bytes = save(tensors, facts)
    return data


def _read(path: Path) -> StepResult | None:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            fit = json.loads(metadata["fit"])
            chosen = Chosen.read(json.loads(metadata["chosen"])) if "chosen" in metadata else None
            tuned = Tuned.read(json.loads(metadata["tuned"])) if "tuned" in metadata else None
            names = set(file.keys())
            latent = file.get_tensor("latent") if "latent" in names else None
            picture = Image.fromarray(file.get_tensor("picture").numpy()) if "picture" in names else None
            if latent is None and picture is None:
                return None
            return StepResult(
                fit=Fit(
                    resized=tuple(fit["resized"]),
                    padded=tuple(fit["padded"]),
                    seen=tuple(fit["seen"]) if fit["seen"] else None,
                ),
                model=metadata.get("model", ""),
                latent=latent,
                picture=picture,
                chosen=chosen,
                tuned=tuned,
                memory=json.loads(metadata["memory"]) if "memory" in metadata else None,
            )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
