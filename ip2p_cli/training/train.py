"""Training (paper, section 3.2): `train` yields a `TrainStep` for each optimizer step and writes a model folder.

A step is a function of its number: data, noise, timesteps and dropout come from generators seeded by (seed, step,
rank). So a checkpoint needs only the weights, their average and the optimizer's state, and a resumed run does what the
uninterrupted run would have done.

Under `accelerate launch` every process runs this module on its own data, and only the main process writes.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from diffusers.training_utils import EMAModel
from torch import Tensor

from ip2p_cli.diffusion.editing import encode_image, encode_text, null_text, with_offset
from ip2p_cli.diffusion.loss import (
    add_noise,
    draw_dropout,
    draw_timesteps,
    min_snr_weights,
    prediction_target,
    sample_weights,
    weighted_mse,
)
from ip2p_cli.errors import TrainingError
from ip2p_cli.io.locks import locked_folder
from ip2p_cli.io.train_recipes import TrainRecipe
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.nano.unet import ResidualUNet, cumulative_alphas
from ip2p_cli.models.save import save_editor
from ip2p_cli.training import checkpoints
from ip2p_cli.training.checkpoints import TrainState
from ip2p_cli.training.data import Batches, TensorBatch, TrainData, open_data, places_of
from ip2p_cli.training.grids import draw_grid
from ip2p_cli.training.schedule import learning_rate_factor, stage_at
from ip2p_cli.training.start import check_shapes, model_card, start_editor

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class TrainStep:
    """Progress after one optimizer step, the same in every process. grid: the picture drawn after it, if any."""

    step: int
    total: int
    loss: float
    learning_rate: float
    seconds: float
    grid: Path | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Run(TrainState):
    """What the training loop works with.

    Attributes:
        alphas: The cumulative alphas of the noise schedule, (T,).
        null: The text encoder's states for the empty instruction, (1, L, D).
        channel_weights: The weights of the latent's channels in the loss, (C,); None for equal ones.
    """

    recipe: TrainRecipe
    editor: Editor
    alphas: Tensor
    null: Tensor
    channel_weights: Tensor | None


def train(recipe: TrainRecipe, folder: Path, *, stop: Callable[[], bool], say: Say) -> Iterator[TrainStep]:
    """Run `recipe` in `folder`, from its newest checkpoint if there is one.

    At the end `folder/model` holds the averaged weights in diffusers layout.

    Args:
        recipe: What to train.
        folder: The folder of the run.
        stop: Called before the first step and after each step. Where it returns true (in any process), a checkpoint
            is written and the iteration ends.
        say: Takes lines for the user.

    Raises:
        UsageError: The recipe names no data, or settings that are not possible.
        TrainingError: `folder` holds a run of another recipe, or the numbers overflow.
        OutputError: Another process trains into `folder`, or it cannot be written.
    """
    data = open_data(recipe)
    accelerator = _accelerator(recipe)
    fix = "wait for it to end, or give another --out"
    with locked_folder(folder, fix) if accelerator.is_main_process else nullcontext():
        yield from _train(recipe, folder, data, accelerator, stop, say)


def _train(
    recipe: TrainRecipe, folder: Path, data: TrainData, accelerator: Accelerator, stop: Callable[[], bool], say: Say
) -> Iterator[TrainStep]:
    main = accelerator.is_main_process
    say = say if main else _silent
    with accelerator.main_process_first():  # the other processes read what it has written
        if main:
            checkpoints.check_recipe(folder, recipe, say)
        editor = start_editor(recipe, folder, data.photos, say)
    check_shapes(recipe, editor)
    run = _prepare(recipe, editor, accelerator)
    first = checkpoints.restore(folder, run)
    log = checkpoints.Log(folder / "log.jsonl", first) if main else None
    if first:
        say(f"going on after step {first} of {recipe.total_steps}")
    if stop():
        return
    began = time.monotonic()
    batches = Batches(recipe, data.stream, rank=accelerator.process_index)
    with closing(batches.read(first, _readers(run))) as read:
        for done in range(first + 1, recipe.total_steps + 1):
            rate = _set_learning_rate(run, done - 1)
            loss, stopping = _agree(run, _optimizer_step(run, done - 1, read), stop())
            if log is not None:
                log.add(step=done, loss=loss, learning_rate=rate)
            last, grid = done == recipe.total_steps, None
            if last or stopping or done % recipe.checkpoint_every == 0:
                checkpoints.save(folder, done, run)
            if main and (last or done % recipe.grid_every == 0):
                with _averaged_weights(run):
                    grid = draw_grid(run.editor, recipe, data.held_out or data.photos, folder, done)
            seconds = time.monotonic() - began
            yield TrainStep(
                step=done, total=recipe.total_steps, loss=loss, learning_rate=rate, seconds=seconds, grid=grid
            )
            if stopping and not last:
                return
    if main:
        with _averaged_weights(run):
            card = model_card(recipe, run.editor.spec, data.description)
            save_editor(run.editor, folder / "model", card=card)
    accelerator.wait_for_everyone()


def _silent(_: str) -> None:
    pass


def _accelerator(recipe: TrainRecipe) -> Accelerator:
    precision = {"auto": "no", "fp32": "no"}.get(recipe.precision, recipe.precision)
    if recipe.precision == "auto" and torch.cuda.is_available() and torch.cuda.is_bf16_supported():
        precision = "bf16"
    # The other processes wait while the main one builds a text encoder or fetches the model.
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=3))
    return Accelerator(mixed_precision=precision, kwargs_handlers=[patience])


def _prepare(recipe: TrainRecipe, editor: Editor, accelerator: Accelerator) -> Run:
    for part in (editor.unet, editor.vae, editor.text_encoder):
        part.to(accelerator.device)
    editor.unet.train().requires_grad_(True)
    parameters = list(editor.unet.parameters())
    groups = [  # no weight decay for norms and biases
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=True)
    ema = EMAModel(parameters, decay=recipe.ema_decay, use_ema_warmup=True, power=0.75)
    ema.to(accelerator.device)
    unet, optimizer = accelerator.prepare(editor.unet, optimizer)
    editor = replace(editor, device=accelerator.device)
    return Run(
        recipe=recipe,
        editor=editor,
        accelerator=accelerator,
        unet=unet,
        optimizer=optimizer,
        ema=ema,
        alphas=cumulative_alphas(editor.scheduler_config).to(accelerator.device),
        null=null_text(editor),
        channel_weights=getattr(editor.vae, "loss_weights", None),
    )


def _readers(run: Run) -> int:
    """Return how many processes read ahead: one if a CPU trains, as many as are free if a GPU does."""
    if run.accelerator.device.type == "cpu":
        return 1
    processes: int = run.accelerator.num_processes
    return max(1, min(8, ((os.cpu_count() or 1) - 1) // processes))


def _set_learning_rate(run: Run, step: int) -> float:
    rate = run.recipe.learning_rate * learning_rate_factor(run.recipe, step)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    return rate


def _optimizer_step(run: Run, step: int, data: Iterator[TensorBatch]) -> float:
    """Do one optimizer step over the micro-batches of `step`; returns this process's loss."""
    recipe, total = run.recipe, 0.0
    power = stage_at(recipe, step).timestep_power
    for micro in range(recipe.accumulate):
        # Gradients are exchanged between processes once, with the last micro-batch.
        with nullcontext() if micro == recipe.accumulate - 1 else run.accelerator.no_sync(run.unet):
            loss = _loss(run, next(data), power, _generator(run, step, micro)) / recipe.accumulate
            run.accelerator.backward(loss)
        total += loss.item()
    norm = float(run.accelerator.clip_grad_norm_(run.unet.parameters(), recipe.max_grad_norm))
    # In fp16 gradients may overflow: the scaler then skips the step, and lowers its scale.
    if not math.isfinite(total) or (run.accelerator.scaler is None and not math.isfinite(norm)):
        raise TrainingError(
            f"step {step + 1}: the loss is {total:.4g}, its gradient {norm:.4g}; lower learning_rate in the recipe, "
            "and the same command goes on from the last checkpoint."
        )
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.ema.step(run.accelerator.unwrap_model(run.unet).parameters())
    return total


def _agree(run: Run, loss: float, stopping: bool) -> tuple[float, bool]:
    """Return the mean loss of all processes, and whether any of them is to stop."""
    if run.accelerator.num_processes == 1:
        return loss, stopping
    both = torch.tensor([loss, float(stopping)], device=run.accelerator.device)
    mean_loss, stopping_share = run.accelerator.reduce(both, reduction="mean").tolist()
    return mean_loss, stopping_share > 0


def _generator(run: Run, step: int, micro: int) -> torch.Generator:
    """Make the CPU generator of one micro-batch: every rank, step and micro-batch has its own numbers."""
    position = (step * run.recipe.accumulate + micro) * run.accelerator.num_processes + run.accelerator.process_index
    seed = (run.recipe.seed << 40) + position
    torch.manual_seed(seed)  # for dropout layers, where the UNet has any
    return torch.Generator("cpu").manual_seed(seed)


def _loss(run: Run, batch: TensorBatch, power: float, generator: torch.Generator) -> Tensor:
    """The paper's equation 1 with its dropout of conditions. power: see `StageRecipe.timestep_power`."""
    settings, editor, device = run.recipe.loss, run.editor, run.accelerator.device
    count = len(batch.instructions)
    drop = draw_dropout(count, settings.dropout, generator)
    before, after = batch.before.to(device), batch.after.to(device)
    if settings.null_text == "no edit":
        after = torch.where(drop.text.to(device).view(-1, 1, 1, 1), before, after)
    condition = encode_image(editor, before).tensor
    latents = encode_image(editor, after).tensor * editor.scaling_factor
    condition = condition * (~drop.image).to(device).view(-1, 1, 1, 1)
    text = encode_text(editor, batch.instructions)
    text = torch.where(drop.text.to(device).view(-1, 1, 1), run.null, text)
    noise = _noise(batch, latents.shape, settings.noise_offset, generator).to(device)
    steps = draw_timesteps(count, len(run.alphas), power, generator).to(device)
    alphas = run.alphas[steps]
    prediction_type = str(editor.scheduler_config.get("prediction_type", "epsilon"))
    is_told = isinstance(editor.unet, ResidualUNet) and batch.windows is not None
    cells = {"cells": places_of(batch, latents)} if is_told else {}
    noisy = torch.cat([add_noise(latents, noise, alphas), condition], dim=1)
    with run.accelerator.autocast():
        prediction = run.unet(noisy, steps, encoder_hidden_states=text, **cells).sample
    weights = torch.ones(count, device=device)
    if settings.weighting == "min_snr":
        weights = min_snr_weights(alphas, prediction_type, settings.gamma)
    elif settings.weighting == "sample":
        weights = sample_weights(alphas, prediction_type)
    target = prediction_target(latents, noise, alphas, prediction_type)
    return weighted_mse(prediction, target, weights, run.channel_weights)


def _noise(batch: TensorBatch, shape: torch.Size, offset: float, generator: torch.Generator) -> Tensor:
    """The noise (N, C, h, w) that is added to the latents: that of the pairs, where they have one."""
    noise = torch.randn(shape, generator=generator) if batch.noise is None else batch.noise
    if not offset:
        return noise
    numbers = torch.randn(shape[:2], generator=generator) if batch.numbers is None else batch.numbers
    return with_offset(noise, numbers, offset)


@contextmanager
def _averaged_weights(run: Run) -> Iterator[None]:
    """Give the UNet its averaged weights within the block, and the trained ones back after it."""
    unet = run.accelerator.unwrap_model(run.unet)
    run.ema.store(unet.parameters())
    run.ema.copy_to(unet.parameters())
    unet.eval()
    try:
        yield
    finally:
        run.ema.restore(unet.parameters())
        unet.train()
