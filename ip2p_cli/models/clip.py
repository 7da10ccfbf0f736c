"""CLIP (Radford et al. 2021, arXiv:2103.00020), where its weights are on this machine: similarities of pictures, texts.

Nothing is fetched: a folder is named, or the hub's cache has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ip2p_cli.errors import ModelError
from ip2p_cli.folders import expand_home
from ip2p_cli.models.hub import find_cached, reason
from ip2p_cli.models.library_logging import quiet

# The paper's own is the first.
_CACHED = ("openai/clip-vit-large-patch14", "openai/clip-vit-base-patch32", "openai/clip-vit-base-patch16")
# Of the pictures it was trained on, as CLIP's own code has them.
CLIP_MEAN, CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

CLIP_SCORES = ("clip_image", "clip_direction", "clip_text_original", "clip_text_edited")


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A loaded CLIP; name: the folder's or the repository's."""

    model: Any
    tokenizer: Any
    name: str

    @property
    def side(self) -> int:
        """Pixels of the square that it sees."""
        return int(self.model.config.vision_config.image_size)

    @torch.no_grad()
    def images(self, pixels: Tensor) -> Tensor:
        """(N, D) unit vectors of pictures (N, 3, H, W) in [0, 1]: scaled to the model's size and cut to a square."""
        cut = normalised(square(pixels, self.side), CLIP_MEAN, CLIP_DEVIATION).to(self.model.device)
        pooled = self.model.vision_model(pixel_values=cut).pooler_output
        return F.normalize(self.model.visual_projection(pooled), dim=1).cpu()

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """(N, D) unit vectors of texts; what is too long for the model is cut off."""
        length = int(self.model.config.text_config.max_position_embeddings)
        tokens = self.tokenizer(
            list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        pooled = self.model.text_model(input_ids=tokens.input_ids.to(self.model.device)).pooler_output
        return F.normalize(self.model.text_projection(pooled), dim=1).cpu()


def square(pixels: Tensor, side: int) -> Tensor:
    """(N, 3, side, side) of pictures (N, 3, H, W) in [0, 1]: the shorter side scaled to `side`, the middle cut out."""
    scale = side / min(pixels.shape[-2:])
    height, width = (max(side, round(n * scale)) for n in pixels.shape[-2:])
    scaled = F.interpolate(pixels, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (height - side) // 2, (width - side) // 2
    return scaled[..., top : top + side, left : left + side]


def normalised(pixels: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Pictures (N, 3, H, W) in [0, 1] less `mean`, by `deviation`, each for a channel."""
    first, second = (torch.tensor(values)[:, None, None] for values in (mean, deviation))
    return (pixels - first) / second


def find_clip(named: str | None) -> Path | None:
    """The folder `named`, else one in the hub's cache with safetensors, else None. ModelError for a wrong folder."""
    if named is not None:
        folder = expand_home(named)
        if not (folder / "model.safetensors").is_file() or not (folder / "config.json").is_file():
            raise ModelError(f"--clip {named}: no folder with a config.json and a model.safetensors; give CLIP's own")
        return folder
    for source in _CACHED:
        cached = find_cached(source)
        if cached is not None and (cached / "model.safetensors").is_file() and (cached / "config.json").is_file():
            return cached
    return None


def load_clip(folder: Path, device: str = "cpu") -> Clip:
    """Load CLIP in float32 on `device`, from safetensors only; ModelError where the folder does not hold one."""
    from transformers import CLIPModel, CLIPTokenizer

    try:
        with quiet():
            model = CLIPModel.from_pretrained(str(folder), use_safetensors=True, local_files_only=True)
            tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        # Missing parts, truncated files, wrong configs: the libraries raise anything.
        raise ModelError(f"{folder} cannot be loaded as CLIP ({reason(error)}); give another folder") from error
    model = model.float().eval().requires_grad_(False).to(device)
    return Clip(model=model, tokenizer=tokenizer, name=folder.name)


def similarities(
    clip: Clip, before: Tensor, after: Tensor, instruction: str, captions: tuple[str, str] | None = None
) -> list[dict[str, float]]:
    """For each edit (N, 3, h, w) of the photo (1, 3, h, w): "image", and "direction" or "text"; each -1 to 1.

    image: of photo and edit. direction (Gal et al. 2021, arXiv:2108.00946; the paper's measure): of the change in the
    picture and the change from the first to the second caption. Without captions, text: of the edit and the
    instruction, less that of the photo.
    """
    source, edits = clip.images(before), clip.images(after)
    image = (edits @ source.T)[:, 0]
    if captions is not None:
        first, second = clip.texts(captions)
        name, other = "direction", F.normalize(edits - source, dim=1) @ F.normalize(second - first, dim=0)
    else:
        words = clip.texts([instruction])[0]
        name, other = "text", (edits - source) @ words
    return [{"image": float(a), name: float(b)} for a, b in zip(image, other, strict=True)]


def pair_scores(
    clip: Clip, before: Tensor, after: Tensor, captions: Sequence[tuple[str, str] | None]
) -> list[dict[str, float | None]]:
    """The paper's four scores of pairs, each -1 to 1. before, after: (N, 3, side, side) in [0, 1], made by `square`.

    clip_image: of the two pictures. clip_direction: of the change in the picture and the change from the first to the
    second caption. clip_text_original, clip_text_edited: of each picture and its caption. Without captions those
    three are None.
    """
    one, two = clip.images(torch.cat([before, after])).chunk(2)
    known = list(dict.fromkeys(text for both in captions for text in both or ()))
    words = dict(zip(known, clip.texts(known), strict=True)) if known else {}
    scores: list[dict[str, float | None]] = []
    for first, second, both in zip(one, two, captions, strict=True):
        texts = [words[text] for text in both or ()]
        found = {"clip_image": first @ second}
        if texts:
            turn = F.normalize(second - first, dim=0) @ F.normalize(texts[1] - texts[0], dim=0)
            found |= {
                "clip_direction": turn, "clip_text_original": first @ texts[0], "clip_text_edited": second @ texts[1]
            }  # fmt: skip
        scores.append({name: float(found[name]) if name in found else None for name in CLIP_SCORES})
    return scores
