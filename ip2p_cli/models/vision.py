"""Scores of pictures by vision models: similarity by DINO, and the probability that a picture is unsafe.

Nothing is fetched: each model is a folder in transformers layout with safetensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ip2p_cli.errors import ModelError
from ip2p_cli.models.clip import CLIP_DEVIATION, CLIP_MEAN, normalised, square
from ip2p_cli.models.hub import read_json
from ip2p_cli.models.library_logging import loading

# Mean and standard deviation of ImageNet, the defaults of DINO and most classifiers.
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_UNSAFE_LABELS = ("nsfw", "unsafe", "explicit", "porn", "sexy", "hentai")


@dataclass(frozen=True, kw_only=True, eq=False)
class Vision:
    """A loaded model and its input: squares of `side` pixels, normalised by `mean` and `deviation`."""

    model: Any
    side: int
    mean: Sequence[float]
    deviation: Sequence[float]

    def pixels(self, pictures: Sequence[Tensor]) -> Tensor:
        """The model's input (N, 3, side, side) for pictures (3, H, W) in [0, 1] of any sizes."""
        squares = torch.cat([square(picture[None], self.side) for picture in pictures])
        return normalised(squares, self.mean, self.deviation).to(self.model.device)


def load_dino(folder: Path, device: str = "cpu") -> Vision:
    """Load DINO, DINOv2 or another vision transformer in float32; raises ModelError where the folder holds none."""
    from transformers import AutoModel

    model = _loaded(folder, "--dino", lambda: AutoModel.from_pretrained(str(folder), **_LOCAL)).to(device)
    return _vision(model, folder, int(getattr(model.config, "image_size", 224)))


@torch.no_grad()
def likeness(dino: Vision, before: Sequence[Tensor], after: Sequence[Tensor]) -> list[float]:
    """Cosine similarities, -1 to 1, of the class tokens of pairs of pictures (Caron et al. 2021, arXiv:2104.14294)."""
    tokens = dino.model(pixel_values=dino.pixels([*before, *after])).last_hidden_state[:, 0]
    first, second = F.normalize(tokens, dim=1).cpu().chunk(2)
    return [float(value) for value in (first * second).sum(1)]


def load_safety(folder: Path, device: str = "cpu") -> Vision:
    """Load Stable Diffusion's safety checker, or a classifier with a label such as “nsfw”, in float32.

    Raises:
        ModelError: The folder holds neither.
    """
    if "StableDiffusionSafetyChecker" in _config(folder, "config.json").get("architectures", []):
        from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker as Checker

        model = _loaded(folder, "--safety", lambda: Checker.from_pretrained(str(folder), **_LOCAL)).to(device)
        side = int(model.config.vision_config.image_size)
        return Vision(model=model, side=side, mean=CLIP_MEAN, deviation=CLIP_DEVIATION)
    from transformers import AutoModelForImageClassification as Classifier

    model = _loaded(folder, "--safety", lambda: Classifier.from_pretrained(str(folder), **_LOCAL)).to(device)
    if not _unsafe_labels(model):
        raise ModelError(f"--safety {folder}: none of its labels is {', '.join(_UNSAFE_LABELS)}; give another model")
    return _vision(model, folder, int(getattr(model.config, "image_size", 224)))


@torch.no_grad()
def unsafe(checker: Vision, pictures: Sequence[Tensor]) -> list[float]:
    """The probability that each picture is unsafe, 0 to 1; the safety checker's is 0 or 1."""
    pixels, model = checker.pixels(pictures), checker.model
    if hasattr(model, "special_care_embeds"):
        # It blackens the unsafe ones of `images`, which is not needed here.
        _, flags = model(clip_input=pixels, images=[torch.zeros(1) for _ in pictures])
        return [float(bool(flag)) for flag in flags]
    shares = model(pixel_values=pixels).logits.softmax(1)[:, _unsafe_labels(model)].sum(1)
    return [float(share) for share in shares.cpu()]


_LOCAL = {"use_safetensors": True, "local_files_only": True}


def _loaded(folder: Path, flag: str, load: Callable[[], Any]) -> Any:
    with loading(f"{flag} {folder} cannot be loaded", "give another folder"):
        return load().float().eval().requires_grad_(False)


def _vision(model: Any, folder: Path, side: int) -> Vision:
    """The model with the input of the folder's preprocessor_config.json, where there is one."""
    config = _config(folder, "preprocessor_config.json")
    size = config.get("crop_size") or config.get("size") or side
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge") or side
    mean, deviation = config.get("image_mean") or IMAGENET_MEAN, config.get("image_std") or IMAGENET_DEVIATION
    return Vision(model=model, side=int(size), mean=mean, deviation=deviation)


def _config(folder: Path, name: str) -> dict[str, Any]:
    try:
        return read_json(folder / name)
    except ModelError:
        return {}


def _unsafe_labels(model: Any) -> list[int]:
    labels = {int(index): str(label).casefold() for index, label in model.config.id2label.items()}
    return [index for index, label in labels.items() if any(word in label for word in _UNSAFE_LABELS)]
