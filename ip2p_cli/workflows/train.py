"""Training (paper, section 3.2): `train` yields a `TrainStep` for each optimizer step and leaves a model folder.

A step is a function of its number: data, noise, timesteps and dropout come from generators seeded by
(seed, step, rank). A checkpoint therefore holds weights, their average and the optimizer's state, and a
resumed run repeats what the uninterrupted one would have done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor

from ..datagen.looks.stream import list_photos, split_photos
from ..diffusion.editing import encode_image, encode_text, null_text
from ..diffusion.loss import (
    add_noise,
    draw_dropout,
    draw_timesteps,
    min_snr_weights,
    prediction_target,
    weighted_mse,
)
from ..errors import TrainingError
from ..io.train_recipes import FreshRecipe, TrainRecipe
from ..models.loader import Editor
from ..models.save import save_editor
from . import checkpoints
from .grids import draw_grid
from .schedule import learning_rate_factor, stage_at
from .train_data import LooksBatches, TensorBatch
from .train_start import start_editor

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class TrainStep:
    """Progress after one optimizer step; `grid` where a picture was drawn."""

    step: int
    total: int
    loss: float
    learning_rate: float
    seconds: float
    grid: Path | None = None


@dataclass(kw_only=True)
class _Run:
    """What the loop holds on to."""

    recipe: TrainRecipe
    folder: Path
    editor: Editor
    accelerator: Accelerator
    unet: Any
    optimizer: Any
    ema: EMAModel
    alphas: Tensor
    null: Tensor
    channel_weights: Tensor | None


def train(recipe: TrainRecipe, folder: Path, *, stop: Callable[[], bool], say: Say) -> Iterator[TrainStep]:
    """Run `recipe` in `folder`, from its newest checkpoint if there is one; yields after every step.

    Where `stop()` turns true the step in hand is finished, a checkpoint written, and the iteration ends.
    At the end `folder/model` holds the averaged weights in diffusers layout, with a model card.
    Raises TrainingError where the recipe does not fit the run that `folder` holds, or the loss is not finite.
    """
    kind, _, photos_folder = (recipe.data or "").partition(":")
    if kind != "looks" or not photos_folder:
        raise TrainingError("no training data: give --data looks:FOLDER, a folder of photos.")
    photos, held_out = split_photos(list_photos(Path(photos_folder)), recipe.hold_out_every)
    checkpoints.check_recipe(folder, recipe)
    editor = start_editor(recipe, folder, photos, say)
    run = _prepare(recipe, folder, editor)
    first = checkpoints.restore(run.folder, run.unet, run.ema, run.optimizer)
    log = checkpoints.Log(folder / "log.jsonl", first)
    if first:
        say(f"going on after step {first} of {recipe.total_steps}")
    batches = LooksBatches(recipe, photos, rank=run.accelerator.process_index)
    began = time.monotonic()
    data = iter(batches.reader(first))
    for step in range(first, recipe.total_steps):
        rate = recipe.learning_rate * learning_rate_factor(recipe, step)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        loss = _optimizer_step(run, step, data)
        done = step + 1
        log.add(step=done, loss=loss, learning_rate=rate)
        last, stopping = done == recipe.total_steps, stop()
        if last or stopping or done % recipe.checkpoint_every == 0:
            checkpoints.save(run.folder, done, run.accelerator, run.unet, run.ema, run.optimizer)
        grid = None
        if (last or done % recipe.grid_every == 0) and run.accelerator.is_main_process:
            grid = _averaged(run, lambda: draw_grid(run.editor, recipe, held_out or photos, folder, done))
        yield TrainStep(
            step=done,
            total=recipe.total_steps,
            loss=loss,
            learning_rate=rate,
            seconds=time.monotonic() - began,
            grid=grid,
        )
        if stopping and not last:
            return
    if run.accelerator.is_main_process:
        _averaged(run, lambda: save_editor(run.editor, folder / "model", card=_card(recipe, len(photos))))


def _prepare(recipe: TrainRecipe, folder: Path, editor: Editor) -> _Run:
    precision = {"auto": "no", "fp32": "no"}.get(recipe.precision, recipe.precision)
    if recipe.precision == "auto" and torch.cuda.is_available() and torch.cuda.is_bf16_supported():
        precision = "bf16"
    accelerator = Accelerator(mixed_precision=precision)
    for part in (editor.unet, editor.vae, editor.text_encoder):
        part.to(accelerator.device)
    editor.unet.train().requires_grad_(True)
    decay, keep = [], []
    for parameter in editor.unet.parameters():
        (decay if parameter.ndim > 1 else keep).append(parameter)
    groups = [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": keep, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=True)
    ema = EMAModel(editor.unet.parameters(), decay=recipe.ema_decay, use_ema_warmup=True, power=0.75)
    ema.to(accelerator.device)
    unet, optimizer = accelerator.prepare(editor.unet, optimizer)
    on_device = Editor(**{**vars(editor), "device": accelerator.device})
    return _Run(
        recipe=recipe,
        folder=folder,
        editor=on_device,
        accelerator=accelerator,
        unet=unet,
        optimizer=optimizer,
        ema=ema,
        alphas=_alphas(editor).to(accelerator.device),
        null=null_text(on_device),
        channel_weights=getattr(editor.vae, "loss_weights", None),
    )


def _alphas(editor: Editor) -> Tensor:
    """(T,) cumulative alphas of the model's own noise schedule, rescaled to zero terminal SNR where it says so."""
    from diffusers import DDIMScheduler

    alphas: Tensor = DDIMScheduler.from_config(dict(editor.scheduler_config)).alphas_cumprod
    return alphas


def _optimizer_step(run: _Run, step: int, data: Iterator[TensorBatch]) -> float:
    """Forward and backward over the accumulated micro-batches of `step`, one update; returns the mean loss."""
    recipe, total = run.recipe, 0.0
    for micro in range(recipe.accumulate):
        power = stage_at(recipe, step).timestep_power
        loss = _loss(run, next(data), power, _generator(run, step, micro)) / recipe.accumulate
        run.accelerator.backward(loss)
        total += loss.item()
    if not torch.isfinite(torch.tensor(total)):
        raise TrainingError(f"step {step + 1}: the loss is {total}; lower the learning rate and resume.")
    run.accelerator.clip_grad_norm_(run.unet.parameters(), recipe.max_grad_norm)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.ema.step(run.accelerator.unwrap_model(run.unet).parameters())
    return total


def _generator(run: _Run, step: int, micro: int) -> torch.Generator:
    """The CPU generator of one micro-batch: every rank, step and micro-batch draws its own numbers."""
    place = (step * run.recipe.accumulate + micro) * run.accelerator.num_processes + run.accelerator.process_index
    return torch.Generator("cpu").manual_seed((run.recipe.seed << 40) + place)


def _loss(run: _Run, batch: TensorBatch, power: float, generator: torch.Generator) -> Tensor:
    recipe, settings, editor = run.recipe, run.recipe.loss, run.editor
    device, count = run.accelerator.device, len(batch.instructions)
    drop = draw_dropout(count, settings.dropout, generator)
    before, after = batch.before.to(device), batch.after.to(device)
    if settings.null_text == "no edit":
        after = torch.where(drop.text.to(device).view(-1, 1, 1, 1), before, after)
    condition = encode_image(editor, before).tensor
    latents = encode_image(editor, after).tensor * editor.scaling_factor
    condition = condition * (~drop.image).to(device).view(-1, 1, 1, 1)
    text = encode_text(editor, batch.instructions)
    text = torch.where(drop.text.to(device).view(-1, 1, 1), run.null, text)
    noise = torch.randn(latents.shape, generator=generator).to(device)
    steps = draw_timesteps(count, len(run.alphas), power, generator).to(device)
    alphas = run.alphas[steps]
    kind = str(editor.scheduler_config.get("prediction_type", "epsilon"))
    noisy = torch.cat([add_noise(latents, noise, alphas), condition], dim=1)
    with run.accelerator.autocast():
        prediction = run.unet(noisy, steps, encoder_hidden_states=text).sample
    weights = torch.ones(count, device=device)
    if settings.weighting == "min_snr":
        weights = min_snr_weights(alphas, kind, settings.gamma)
    return weighted_mse(prediction, prediction_target(latents, noise, alphas, kind), weights, run.channel_weights)


def _averaged(run: _Run, act: Callable[[], Any]) -> Any:
    """`act()` with the averaged weights in place, the trained ones put back afterwards."""
    unet = run.accelerator.unwrap_model(run.unet)
    run.ema.store(unet.parameters())
    run.ema.copy_to(unet.parameters())
    unet.eval()
    try:
        return act()
    finally:
        run.ema.restore(unet.parameters())
        unet.train()


def _card(recipe: TrainRecipe, photos: int) -> str:
    start = "from nothing" if isinstance(recipe.start, FreshRecipe) else f"from {recipe.start}"
    plan = json.dumps(recipe.model_dump(mode="json", exclude={"data"}), indent=2)
    return (
        f"# {recipe.name}\n\nAn InstructPix2Pix model trained {start} by `ip2p train` on {photos} photos with painted "
        f"looks, {recipe.total_steps} steps; averaged weights.\n\n```json\n{plan}\n```\n"
    )
