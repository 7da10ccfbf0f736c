"""The model a training run starts from: a fresh one, an editing model, or a widened text-to-image model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ip2p_cli.datagen.dataset.stream import Photo
from ip2p_cli.errors import UsageError
from ip2p_cli.io.train_recipes import ScratchModelRecipe, TrainRecipe
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import find_model
from ip2p_cli.models.save import save_editor
from ip2p_cli.types import EditSettings, ModelSpec

# What a fresh model is trained for: it follows the instruction without guidance.
_FRESH_DEFAULTS = EditSettings(steps=8, cfg_text=1.0, cfg_image=1.0, sampler="ddim")


def start_editor(recipe: TrainRecipe, folder: Path, photos: Sequence[Photo], say: Callable[[str], None]) -> Editor:
    """The model of `recipe.start` in fp32 on the CPU, its UNet ready to take an image condition.

    A fresh model is built once and kept in `folder/start`. `spec` says what the finished model will be.
    """
    if isinstance(recipe.start, ScratchModelRecipe):
        kept = folder / "start"
        if not (kept / "model_index.json").exists():
            from ip2p_cli.training.scratch_model import build_fresh

            save_editor(build_fresh(recipe.start, recipe.name, photos, recipe.seed, say), kept, card="")
        start = ModelSpec(
            name=recipe.name, source=str(kept.absolute()), description="", licence="", defaults=_FRESH_DEFAULTS
        )
    else:
        start = find_model(recipe.start)
    editor = load_editor(start, device="cpu", dtype="fp32", use="train")
    widen(editor.unet, 2 * editor.latent_channels)
    return replace(editor, spec=_finished_spec(recipe, editor))


def widen(unet: Any, channels: int) -> None:
    """Give `unet.conv_in` `channels` input channels: zero weights for the new ones, all others and the bias kept.

    The UNet then answers as before, whatever the new channels hold. One that has them already stays as it is.
    """
    old: nn.Conv2d = unet.conv_in
    if old.in_channels == channels:
        return
    weight = old.weight.new_zeros(old.out_channels, channels, *old.kernel_size)
    weight[:, : old.in_channels] = old.weight.detach()
    with torch.no_grad():
        old.weight = nn.Parameter(weight)
    old.in_channels = channels
    unet.register_to_config(in_channels=channels)


def _finished_spec(recipe: TrainRecipe, editor: Editor) -> ModelSpec:
    """The starting model's defaults, at the resolution of the last stage."""
    start = editor.spec
    fresh = isinstance(recipe.start, ScratchModelRecipe)
    return ModelSpec(
        name=recipe.name,
        source=start.source,
        description="trained from nothing by ip2p train" if fresh else f"{start.name}, fine-tuned by ip2p train",
        licence="not stated" if fresh else start.licence,
        multiple=editor.vae_factor * 2 ** (len(editor.unet.config.down_block_types) - 1),
        defaults=replace(start.defaults, resolution=recipe.stages[-1].side, seed=None),
    )


def check_shapes(recipe: TrainRecipe, editor: Editor) -> None:
    """Raise UsageError where a stage's pictures do not fit the model's latents."""
    factor = editor.vae_factor
    for number, stage in enumerate(recipe.stages):
        for height, width in stage.shapes:
            if height % factor or width % factor:
                raise UsageError(
                    f"stages.{number}.shapes: {height} x {width} px do not fit this model; "
                    f"give multiples of {factor}, better of {editor.spec.multiple}."
                )


def model_card(recipe: TrainRecipe, spec: ModelSpec, data: str) -> str:
    """The README.md of the finished model, in Markdown."""
    start = "from nothing" if isinstance(recipe.start, ScratchModelRecipe) else f"from {recipe.start}"
    plan = json.dumps(recipe.model_dump(mode="json", exclude={"data": True, "start": {"teacher"}}), indent=2)
    said = spec.defaults
    return (
        f"# {recipe.name}\n\nAn InstructPix2Pix model trained {start} by `ip2p train` on {data}, "
        f"{recipe.total_steps} steps; averaged weights.\n\n"
        f"Defaults: {said.steps} steps of {said.sampler} at {said.resolution} px, cfg_text {said.cfg_text}, "
        f"cfg_image {said.cfg_image}. Licence: {spec.licence}.\n\n```json\n{plan}\n```\n"
    )
