"""Similarities of pictures and texts by CLIP (Radford et al. 2021, arXiv:2103.00020).

Nothing is fetched: CLIP must be in a named folder or in the hub's cache.
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
from ip2p_cli.models.editor import token_ids
from ip2p_cli.models.hub import find_cached
from ip2p_cli.models.library_logging import loading

# In order of preference; the first is the paper's.
_CACHED = ("openai/clip-vit-large-patch14", "openai/clip-vit-base-patch32", "openai/clip-vit-base-patch16")
# Mean and standard deviation of the training pictures, by channel.
CLIP_MEAN, CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

CLIP_SCORES = ("clip_image", "clip_direction", "clip_text_original", "clip_text_edited")


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A loaded CLIP; `name` is that of its folder."""

    model: Any
    tokenizer: Any
    name: str

    @property
    def side(self) -> int:
        """Height and width of its input in pixels."""
        return int(self.model.config.vision_config.image_size)

    @torch.no_grad()
    def images(self, pixels: Tensor) -> Tensor:
        """Embed pictures (N, 3, H, W) in [0, 1], cropped to a square, as unit vectors (N, D)."""
        cut = normalised(square(pixels, self.side), CLIP_MEAN, CLIP_DEVIATION).to(self.model.device)
        pooled = self.model.vision_model(pixel_values=cut).pooler_output
        return F.normalize(self.model.visual_projection(pooled), dim=1).cpu()

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts, cut off at the model's length, as unit vectors (N, D)."""
        ids = token_ids(self.tokenizer, texts, int(self.model.config.text_config.max_position_embeddings))
        pooled = self.model.text_model(input_ids=ids.to(self.model.device)).pooler_output
        return F.normalize(self.model.text_projection(pooled), dim=1).cpu()


def square(pixels: Tensor, side: int) -> Tensor:
    """Scale the shorter side of pictures (N, 3, H, W) in [0, 1] to `side`, and crop the middle square."""
    scale = side / min(pixels.shape[-2:])
    height, width = (max(side, round(length * scale)) for length in pixels.shape[-2:])
    scaled = F.interpolate(pixels, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (height - side) // 2, (width - side) // 2
    return scaled[..., top : top + side, left : left + side]


def normalised(pixels: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Subtract the `mean` of each channel from pictures (N, 3, H, W), and divide by the `deviation`."""
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]


def find_clip(named: str | None) -> Path | None:
    """Find a CLIP with safetensors: the folder `named`, or where that is None one in the hub's cache.

    Raises:
        ModelError: The named folder holds none.
    """
    folders = [find_cached(source) for source in _CACHED] if named is None else [expand_home(named)]
    for folder in folders:
        if folder is not None and (folder / "model.safetensors").is_file() and (folder / "config.json").is_file():
            return folder
    if named is not None:
        raise ModelError(f"--clip {named}: no folder with a config.json and a model.safetensors; give CLIP's own")
    return None


def load_clip(folder: Path, device: str = "cpu") -> Clip:
    """Load CLIP in float32, from safetensors only; raises ModelError where the folder does not hold one."""
    from transformers import CLIPModel, CLIPTokenizer

    with loading(f"{folder} cannot be loaded as CLIP", "give another folder"):
        model = CLIPModel.from_pretrained(str(folder), use_safetensors=True, local_files_only=True)
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    model = model.float().eval().requires_grad_(False).to(device)
    return Clip(model=model, tokenizer=tokenizer, name=folder.name)


def similarities(
    clip: Clip, before: Tensor, after: Tensor, instruction: str, captions: tuple[str, str] | None = None
) -> list[dict[str, float]]:
    """Compare edits of a photo with the photo and the instruction.

    Args:
        clip: The loaded CLIP.
        before: The photo (1, 3, h, w) in [0, 1].
        after: The edits (N, 3, h, w) in [0, 1].
        instruction: The edit in words.
        captions: Captions of the photo and of the edit.

    Returns:
        For each edit "image", the similarity of photo and edit; with captions "direction", the similarity of the change
        between the pictures and the change between the captions (Gal et al. 2021, arXiv:2108.00946); without captions
        "text", the similarity of the edit and the instruction minus that of the photo. Each is -1 to 1.
    """
    source, edits = clip.images(before), clip.images(after)
    image = (edits @ source.T)[:, 0]
    if captions is not None:
        name, other = "direction", _direction(source, edits, *clip.texts(captions))
    else:
        name, other = "text", (edits - source) @ clip.texts([instruction])[0]
    return [{"image": float(a), name: float(b)} for a, b in zip(image, other, strict=True)]


def pair_scores(
    clip: Clip, before: Tensor, after: Tensor, captions: Sequence[tuple[str, str] | None]
) -> list[dict[str, float | None]]:
    """The four scores of arXiv:2211.09800, section 3.1.2, for N pairs of pictures; each is -1 to 1.

    Args:
        clip: The loaded CLIP.
        before: First pictures (N, 3, side, side) in [0, 1], made by `square`.
        after: Second pictures, likewise.
        captions: The captions of each pair, or None.

    Returns:
        For each pair "clip_image", the similarity of the pictures; "clip_direction", as in `similarities`;
        "clip_text_original" and "clip_text_edited", the similarities of each picture and its caption. Without captions
        the last three are None.
    """
    first_images, second_images = clip.images(torch.cat([before, after])).chunk(2)
    texts = list(dict.fromkeys(text for pair in captions for text in pair or ()))
    vectors = dict(zip(texts, clip.texts(texts), strict=True)) if texts else {}
    scores: list[dict[str, float | None]] = []
    for first, second, pair in zip(first_images, second_images, captions, strict=True):
        score: dict[str, float | None] = dict.fromkeys(CLIP_SCORES)
        score["clip_image"] = float(first @ second)
        if pair is not None:
            original, edited = (vectors[text] for text in pair)
            score["clip_direction"] = float(_direction(first, second, original, edited))
            score["clip_text_original"] = float(first @ original)
            score["clip_text_edited"] = float(second @ edited)
        scores.append(score)
    return scores


def _direction(before: Tensor, after: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Cosine of the change between pictures (..., D) and the change between texts (D,)."""
    return F.normalize(after - before, dim=-1) @ F.normalize(second - first, dim=0)
