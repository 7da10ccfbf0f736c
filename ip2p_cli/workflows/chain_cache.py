"""What the edits of chains left, kept in a folder under their keys: nothing in it is ever needed.

A key says all that decides a result, so that a file is right for ever; the folder may be deleted at any time.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ip2p_cli.io.sizes import Fit
from ip2p_cli.workflows.best_of import Chosen

FOLDER = ".ip2p-chain"
# What no result refers to any more may take this much.
MAX_UNUSED_BYTES = 512 * 1024**2


@dataclass(frozen=True, kw_only=True, eq=False)
class Left:
    """What an edit left at the model's size.

    latent: unscaled, (1, C, h, w); None from a model that edits its own way. picture: the photo's part of it, 8 bits;
    None until it is needed. fit: how the photo met the model. model: what tells its latents from another model's.
    chosen: which of several seeds it comes from.
    """

    fit: Fit
    model: str
    latent: torch.Tensor | None = None
    picture: Image.Image | None = None
    chosen: Chosen | None = None


def cache_file(folder: Path, key: str) -> Path:
    """Where the result with this key is kept."""
    return folder / f"{key}.safetensors"


def as_bytes(left: Left) -> bytes:
    """A result of an edit as it is kept in the cache: safetensors."""
    tensors = {"latent": left.latent.cpu().contiguous()} if left.latent is not None else {}
    if left.picture is not None and left.latent is None:
        tensors = {"picture": torch.from_numpy(np.array(left.picture))}
    facts = {"fit": json.dumps(asdict(left.fit)), "model": left.model}
    if left.chosen is not None:
        facts["chosen"] = json.dumps(asdict(left.chosen))
    data: bytes = save(tensors, facts)
    return data


def read_left(path: Path) -> Left | None:
    """What `as_bytes` made; None where there is none, or none that can be read."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            said = json.loads(metadata["fit"])
            fit = Fit(
                resized=tuple(said["resized"]),
                padded=tuple(said["padded"]),
                seen=tuple(said["seen"]) if said["seen"] else None,
            )
            chosen = Chosen.read(json.loads(metadata["chosen"])) if "chosen" in metadata else None
            names = set(file.keys())
            latent = file.get_tensor("latent") if "latent" in names else None
            picture = Image.fromarray(file.get_tensor("picture").numpy()) if "picture" in names else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    if latent is None and picture is None:
        return None
    return Left(fit=fit, model=metadata.get("model", ""), latent=latent, picture=picture, chosen=chosen)


def prune(folder: Path, used: Collection[str], most: int = MAX_UNUSED_BYTES) -> int:
    """Drop the oldest files whose keys are not `used` until they take `most` bytes or less; returns how many."""
    found = []
    try:
        for path in folder.glob("*.safetensors"):
            if path.stem not in used:
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
    except OSError:  # another process prunes too
        return 0
    found.sort(reverse=True)
    kept = dropped = 0
    for _, size, path in found:
        kept += size
        if kept > most:
            path.unlink(missing_ok=True)
            dropped += 1
    return dropped
