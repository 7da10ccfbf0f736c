"""Masks from words by CLIPSeg (Lüddecke and Ecker 2022, arXiv:2112.10003).

Nothing is fetched: CLIPSeg must be in a named folder or in the hub's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ip2p_cli.errors import ModelError
from ip2p_cli.folders import expand_home
from ip2p_cli.models.clip import normalised
from ip2p_cli.models.editor import token_ids
from ip2p_cli.models.hub import find_cached
from ip2p_cli.models.library_logging import loading
from ip2p_cli.models.vision import IMAGENET_DEVIATION, IMAGENET_MEAN

SOURCE = "CIDAS/clipseg-rd64-refined"
HOW_TO_GET = f"fetch it once with `hf download {SOURCE}` (600 MB), or name its folder with --region-model"
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipSeg:
    """A loaded CLIPSeg."""

    model: Any
    tokenizer: Any

    @torch.no_grad()
    def mask(self, photo: Tensor, words: str) -> Tensor:
        """Return how likely each pixel of a photo (3, H, W) in [0, 1] shows what words name, (H, W) in [0, 1]."""
        side = int(self.model.config.vision_config.image_size)
        # As its training did: a square, whatever the photo's shape.
        square = F.interpolate(photo[None], (side, side), mode="bicubic", antialias=True).clamp(0, 1)
        ids = token_ids(self.tokenizer, [words], int(self.model.config.text_config.max_position_embeddings))
        pixels = normalised(square, IMAGENET_MEAN, IMAGENET_DEVIATION)
        logits = self.model(pixel_values=pixels, input_ids=ids).logits.reshape(1, 1, side, side)
        return F.interpolate(logits.sigmoid(), photo.shape[-2:], mode="bilinear")[0, 0]


def find_clipseg(named: str | PathLike[str] | None) -> Path | None:
    """Find a CLIPSeg with safetensors: the folder `named`, or where that is None the one in the hub's cache.

    Raises:
        ModelError: The named folder holds none.
    """
    folder = find_cached(SOURCE) if named is None else expand_home(str(named))
    if folder is not None and (folder / _WEIGHTS).is_file() and (folder / "config.json").is_file():
        return folder
    if named is not None:
        raise ModelError(f"--region-model {named}: no folder with a config.json and a {_WEIGHTS}: give CLIPSeg's own")
    return None


def clipseg_weights(folder: Path) -> Path:
    """Return the file of a CLIPSeg's weights."""
    return folder / _WEIGHTS


@lru_cache(maxsize=1)
def load_clipseg(folder: Path) -> ClipSeg:
    """Load CLIPSeg on the CPU in float32, from safetensors only; raises ModelError where the folder holds none."""
    from transformers import CLIPSegForImageSegmentation, CLIPTokenizer

    with loading(f"{folder} cannot be loaded as CLIPSeg", "give another folder with --region-model"):
        model = CLIPSegForImageSegmentation.from_pretrained(str(folder), use_safetensors=True, local_files_only=True)
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    return ClipSeg(model=model.float().eval().requires_grad_(False), tokenizer=tokenizer)
