"""Models that look at a picture and give a number: DINO's likeness of two, and how likely one is unsafe.

Nothing is fetched: each is a folder in transformers layout with safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ip2p_cli.errors import ModelError
from ip2p_cli.models.clip import CLIP_DEVIATION, CLIP_MEAN, normalised, square
from ip2p_cli.models.hub import reason
from ip2p_cli.models.library_logging import quiet

# Of ImageNet, which DINO and most classifiers are normalised by.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_UNSAFE_LABELS = ("nsfw", "unsafe", "explicit", "porn", "sexy", "hentai")


@dataclass(frozen=True, kw_only=True, eq=False)
class Vision:
    """A loaded model and how it wants its pictures: squares of `side` pixels, less `mean`, by `deviation`."""

    model: Any
    side: int
    mean: Sequence[float]
    deviation: Sequence[float]

    def pixels(self, pictures: Sequence[Tensor]) -> Tensor:
        """(N, 3, side, side), normalised, on the model's device, of pictures (3, H, W) in [0, 1] of any sizes."""
        cut = torch.cat([square(picture[None], self.side) for picture in pictures])
        return normalised(cut, self.mean, self.deviation).to(self.model.device)


def load_dino(folder: Path, device: str = "cpu") -> Vision:
    """DINO, DINOv2 or another vision transformer in float32; ModelError where the folder holds none."""
    from transformers import AutoModel

    model = _loaded(folder, "--dino", lambda: AutoModel.from_pretrained(str(folder), **_LOCAL)).to(device)
    return _vision(model, folder, int(getattr(model.config, "image_size", 224)))


@torch.no_grad()
def likeness(dino: Vision, before: Sequence[Tensor], after: Sequence[Tensor]) -> list[float]:
    """The cosine similarity of the class tokens of two pictures each, -1 to 1 (Caron et al. 2021, arXiv:2104.14294)."""
    both = dino.model(pixel_values=dino.pixels([*before, *after])).last_hidden_state[:, 0]
    one, two = F.normalize(both, dim=1).cpu().chunk(2)
    return [float(value) for value in (one * two).sum(1)]


def load_safety(folder: Path, device: str = "cpu") -> Vision:
    """Stable Diffusion's safety checker, or an image classifier with a label such as “nsfw”, in float32.

    Raises ModelError where the folder holds neither.
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
    """How likely each picture is unsafe, 0 to 1; the safety checker says 0 or 1."""
    pixels, model = checker.pixels(pictures), checker.model
    if hasattr(model, "special_care_embeds"):
        # It also blackens what it is given: that is not needed.
        _, found = model(clip_input=pixels, images=[torch.zeros(1) for _ in pictures])
        return [float(bool(one)) for one in found]
    shares = model(pixel_values=pixels).logits.softmax(1)[:, _unsafe_labels(model)].sum(1)
    return [float(share) for share in shares.cpu()]


_LOCAL = {"use_safetensors": True, "local_files_only": True}


def _loaded(folder: Path, flag: str, load: Callable[[], Any]) -> Any:
    try:
        with quiet():
            return load().float().eval().requires_grad_(False)
    except Exception as error:
        # Missing parts, truncated files, wrong configs: the libraries raise anything.
        raise ModelError(f"{flag} {folder} cannot be loaded ({reason(error)}); give another folder") from error


def _vision(model: Any, folder: Path, side: int) -> Vision:
    """As the folder's preprocessor_config.json says, where there is one."""
    said = _config(folder, "preprocessor_config.json")
    size = said.get("crop_size") or said.get("size") or side
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge") or side
    mean, deviation = said.get("image_mean") or _MEAN, said.get("image_std") or _DEVIATION
    return Vision(model=model, side=int(size), mean=mean, deviation=deviation)


def _config(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / name).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _unsafe_labels(model: Any) -> list[int]:
    labels = {int(place): str(label).casefold() for place, label in model.config.id2label.items()}
    return [place for place, label in labels.items() if any(word in label for word in _UNSAFE_LABELS)]
