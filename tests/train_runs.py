"""What the training tests start from: small photos, a tiny model folder, a recipe of a few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ip2p_cli.io.train_recipes import TrainRecipe
from ip2p_cli.models.save import save_editor
from ip2p_cli.types import EditSettings
from tests.tiny import NANO_SCHEDULER, tiny_editor, tiny_unet

SAMPLES = Path(__file__).parents[1] / "samples"
DEFAULTS = EditSettings(steps=2, cfg_text=2.0, cfg_image=1.2, sampler="euler", resolution=512)


def make_photos(folder: Path, count: int = 4, side: int = 80) -> Path:
    """The first sample photos, small."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(SAMPLES.glob("*.jpg"))[:count]:
        with Image.open(path) as photo:
            photo.thumbnail((2 * side, side))
            photo.save(folder / path.name)
    return folder


def make_start(folder: Path, channels: int = 8) -> Path:
    """A tiny model folder; with 4 channels it is a text-to-image model."""
    editor = tiny_editor(NANO_SCHEDULER)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        unet = tiny_unet(channels).eval().requires_grad_(False)
    spec = replace(editor.spec, licence="a licence", defaults=DEFAULTS)
    return save_editor(replace(editor, unet=unet, spec=spec), folder, card="")


def make_recipe(start: Path | str, photos: Path, /, **changes: Any) -> TrainRecipe:
    """Four steps of two micro-batches each, in two stages, with every kind of dropout likely."""
    plan: dict[str, Any] = {
        "name": "test",
        "start": str(start),
        "data": f"looks:{photos}",
        "stages": [
            {"steps": 2, "batch": 2, "cuts": 2, "shapes": [[32, 32]], "side": 64, "timestep_power": 0.5},
            {"steps": 2, "batch": 2, "shapes": [[64, 64], [64, 72]], "side": 64},
        ],
        "hold_out_every": 4,
        "seed": 3,
        "warmup": 2,
        "accumulate": 2,
        "ema_decay": 0.6,
        "loss": {"dropout": 0.2},
        "checkpoint_every": 2,
        "grid_every": 100,
        "grid_instructions": ["make it winter"],
    }
    return TrainRecipe.model_validate(plan | changes)


def silent(_: str) -> None:
    """A `say` that says nothing."""


def weights(run: Path) -> dict[str, torch.Tensor]:
    """The finished UNet of a run."""
    from safetensors.torch import load_file

    return load_file(run / "model" / "unet" / "diffusion_pytorch_model.safetensors")
