"""The model that a training run starts from: built from scratch, an editing model, or a text-to-image model."""

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
from ip2p_cli.looks.base import CELL, CHANNELS
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import find_model
from ip2p_cli.models.save import save_editor
from ip2p_cli.types import EditSettings, ModelSpec

# A model from scratch is trained to follow the instruction without guidance.
_SCRATCH_DEFAULTS = EditSettings(steps=8, cfg_text=1.0, cfg_image=1.0, sampler="ddim")


def start_editor(recipe: TrainRecipe, folder: Path, photos: Sequence[Photo], say: Callable[[str], None]) -> Editor:
    """Load the model of `recipe.start` in fp32 on the CPU, with a UNet that takes an image condition.

    A model from scratch is built once, its autoencoder fitted to `photos`, and kept in `folder/start`. The `spec` of
    the result describes the finished model.

    Raises:
        ModelError: The model cannot be loaded.
        UsageError: The model from scratch cannot be built as the recipe says.
    """
    if isinstance(recipe.start, ScratchModelRecipe):
        kept = folder / "start"
        if not (kept / "model_index.json").exists():
            from ip2p_cli.training.scratch_model import build_scratch_model

            save_editor(build_scratch_model(recipe.start, recipe.name, photos, recipe.seed, say), kept, card="")
        start = ModelSpec(
            name=recipe.name, source=str(kept.absolute()), description="", licence="", defaults=_SCRATCH_DEFAULTS
        )
    else:
        start = find_model(recipe.start)
    editor = load_editor(start, device="cpu", dtype="fp32", use="train")
    widen(editor.unet, 2 * editor.latent_channels)
    if recipe.loss.noise_offset:
        editor.unet.register_to_config(noise_offset=recipe.loss.noise_offset)  # sampling begins with the same noise
    return replace(editor, spec=_finished_spec(recipe, editor))


def widen(unet: Any, channels: int) -> None:
    """Widen `unet.conv_in` to `channels` input channels, the new ones with weights of zero (paper, section 3.2).

    The UNet predicts as before, whatever the new channels hold. A UNet of this width stays as it is.
    """
    old: nn.Conv2d = unet.conv_in
    if unet.config.in_channels == channels:
        return
    weight = old.weight.new_zeros(old.out_channels, channels, *old.kernel_size)
    weight[:, : old.in_channels] = old.weight.detach()
    with torch.no_grad():
        old.weight = nn.Parameter(weight)
    old.in_channels = channels
    unet.register_to_config(in_channels=channels)


def _finished_spec(recipe: TrainRecipe, editor: Editor) -> ModelSpec:
    """Describe the finished model: the starting model's defaults, at the resolution of the last stage."""
    start = editor.spec
    origin = "trained from scratch" if recipe.is_from_scratch else f"{start.name}, fine-tuned"
    return ModelSpec(
        name=recipe.name,
        source=start.source,
        description=f"{origin} by ip2p train",
        licence="not stated" if recipe.is_from_scratch else start.licence,
        multiple=editor.vae_factor * 2 ** (len(editor.unet.config.down_block_types) - 1),
        defaults=replace(start.defaults, resolution=recipe.stages[-1].side, seed=None),
    )


def check_shapes(recipe: TrainRecipe, editor: Editor) -> None:
    """Check that the pictures of every stage fit the model's latents.

    Raises:
        UsageError: A side is not a multiple of the autoencoder's factor, or the noise of looks does not fit.
    """
    factor = editor.vae_factor
    sides = {stage.side for stage in recipe.stages}
    if recipe.loss.drawn_noise and (editor.latent_channels != CHANNELS or {factor * 256 // CELL} != sides):
        raise UsageError(
            f"loss.drawn_noise: a look is drawn from {CHANNELS} channels of {CELL} px in photos of 256 px; this model "
            f"has {editor.latent_channels} channels of {factor} px, and stages.side is {sorted(sides)}."
        )
    for number, stage in enumerate(recipe.stages, start=1):
        for height, width in stage.shapes:
            if height % factor or width % factor:
                raise UsageError(
                    f"stages.{number}.shapes: {height} x {width} px do not fit this model; "
                    f"give multiples of {factor}, better of {editor.spec.multiple}."
                )


def model_card(recipe: TrainRecipe, spec: ModelSpec, data: str) -> str:
    """Write the README.md of the finished model, in Markdown. data: a description of what it was trained on."""
    start = "from scratch" if recipe.is_from_scratch else f"from {recipe.start}"
    plan = json.dumps(recipe.model_dump(mode="json", exclude={"data": True, "start": {"teacher"}}), indent=2)
    defaults = spec.defaults
    return (
        f"# {recipe.name}\n\nAn InstructPix2Pix model trained {start} by `ip2p train` on {data}, "
        f"{recipe.total_steps} steps; averaged weights.\n\n"
        f"Defaults: {defaults.steps} steps of {defaults.sampler} at {defaults.resolution} px, "
        f"cfg_text {defaults.cfg_text}, cfg_image {defaults.cfg_image}. "
        f"Licence: {spec.licence}.\n\n```json\n{plan}\n```\n"
    )
