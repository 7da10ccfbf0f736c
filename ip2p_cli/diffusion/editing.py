"""The denoising loop, and encoding and decoding of pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ip2p_cli.diffusion.feature_reuse import ReusingUNet
from ip2p_cli.diffusion.guidance import GuidedDenoiser
from ip2p_cli.diffusion.latents import ImageLatent, SampledLatent, check_finite
from ip2p_cli.diffusion.masking import Hold, hold_after_step
from ip2p_cli.diffusion.samplers import find_sampler, make_scheduler
from ip2p_cli.diffusion.savings import Savings
from ip2p_cli.diffusion.text import TextCondition, as_condition, null_condition, size_condition
from ip2p_cli.diffusion.text import encode_text as encode_text
from ip2p_cli.diffusion.text import null_text as null_text
from ip2p_cli.diffusion.text import truncated_words as truncated_words
from ip2p_cli.models.editor import Editor

Denoiser = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
OnStep = Callable[[int, int], None]
AfterStep = Callable[[torch.Tensor, int], torch.Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class SDEditStart:
    """The start of sampling from a picture (SDEdit, Meng et al. 2022, arXiv:2108.01073).

    Attributes:
        latent: The picture's latents, without noise.
        step: The step to start with, from 0; the latents get the noise of that step.
    """

    latent: SampledLatent
    step: int


# no_grad and not inference_mode: a validation grid made during training must not leave inference tensors behind.


@torch.no_grad()
def encode_image(editor: Editor, pixels: torch.Tensor) -> ImageLatent:
    """Encode pictures one by one, so that a picture's latents do not depend on its batch.

    Args:
        editor: The model.
        pixels: (N, 3, H, W) in [-1, 1]; H and W are multiples of f = `editor.vae_factor`.

    Returns:
        Latents (N, C, H/f, W/f): the mode of the VAE's posterior, not scaled.

    Raises:
        ValueError: H or W is not a multiple of f.
    """
    if pixels.shape[-2] % editor.vae_factor or pixels.shape[-1] % editor.vae_factor:
        raise ValueError(f"height and width must be multiples of {editor.vae_factor}, not {tuple(pixels.shape[-2:])}")
    pictures = _one_by_one(pixels.to(editor.device, editor.vae.dtype))
    modes = [editor.vae.encode(picture).latent_dist.mode().float() for picture in pictures]
    return ImageLatent(torch.cat(modes).contiguous())


@torch.no_grad()
def decode(editor: Editor, latent: SampledLatent | ImageLatent) -> torch.Tensor:
    """Decode latents one by one to pixels (N, 3, H, W) in [0, 1], float32, on `editor.device`."""
    condition = latent.as_condition(editor.scaling_factor) if isinstance(latent, SampledLatent) else latent
    latents = _one_by_one(condition.tensor.to(editor.device, editor.vae.dtype))
    pixels = torch.cat([editor.vae.decode(item).sample.float() for item in latents])
    return (pixels / 2 + 0.5).clamp(0, 1)


def _one_by_one(batch: torch.Tensor) -> list[torch.Tensor]:
    """The items of a batch (N, C, H, W) as contiguous tensors (1, C, H, W).

    Convolutions choose their algorithm by batch size and memory layout, and the algorithms round differently.
    """
    return [batch[index : index + 1].contiguous() for index in range(len(batch))]


def make_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Make a CPU generator for each item, so that a seed means the same on every device and in every batch."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def initial_noise(shape: Sequence[int], generators: Sequence[torch.Generator], offset: float = 0.0) -> torch.Tensor:
    """Draw noise of variance 1.

    Args:
        shape: (C, h, w).
        generators: N generators; item i is drawn from `generators[i]` alone.
        offset: The standard deviation of a number that is added to a whole channel before the noise is scaled to
            variance 1 (offset noise). 0 gives standard normal noise. A model must have been trained with it.

    Returns:
        (N, C, h, w), float32 on the CPU.
    """
    return torch.stack([_noise(tuple(shape), generator, offset) for generator in generators])


def _noise(shape: tuple[int, ...], generator: torch.Generator, offset: float) -> torch.Tensor:
    noise = torch.randn(shape, generator=generator)
    return with_offset(noise, torch.randn(shape[:1], generator=generator), offset) if offset else noise


def with_offset(noise: torch.Tensor, numbers: torch.Tensor, offset: float) -> torch.Tensor:
    """Add `offset` times a number (..., C) to each channel of noise (..., C, h, w), scaled to variance 1."""
    return (noise + offset * numbers[..., None, None]) / math.sqrt(1 + offset**2)


@torch.no_grad()
def denoise(
    editor: Editor,
    image: ImageLatent,
    text: torch.Tensor | TextCondition,
    *,
    steps: int,
    cfg_text: Sequence[float],
    cfg_image: Sequence[float],
    sampler: str,
    generators: Sequence[torch.Generator],
    noise: torch.Tensor | None = None,
    negative: TextCondition | None = None,
    hold: Hold | None = None,
    on_step: OnStep | None = None,
    max_rows: int | None = None,
    savings: Sequence[Savings] | None = None,
    reuse: int = 1,
) -> SampledLatent:
    """Edit N pictures of one size, each with its own text, scales and generator.

    Args:
        editor: The model.
        image: The image conditions (N, C, h, w).
        text: The text conditions from `text.encode_condition`, or hidden states (N, L, D) for Stable Diffusion 1.5.
        steps: Steps of the sampler.
        cfg_text: N text scales, s_T in eq. 3 of arXiv:2211.09800.
        cfg_image: N image scales, s_I in eq. 3.
        sampler: A name in `samplers.SAMPLERS`.
        generators: N generators, see `make_generators`; item i draws all its noise from `generators[i]`.
        noise: The initial noise (N, C, h, w), standard normal; drawn from the generators where it is None.
        negative: The conditions of N negative prompts, which take the place of the null text in both branches without
            the instruction, as in diffusers; None for the null text.
        hold: What stays as it is in the pictures; None where all may change.
        on_step: Called with the number of steps done and of all steps.
        max_rows: The largest number of rows in a UNet call; None for no limit.
        savings: How each of N items saves evaluations; None for not at all.
        reuse: The UNet's deep features are computed at every such step, see `feature_reuse`; 1 for at each.

    Raises:
        UsageError: The sampler is unknown, or the number of steps is impossible.
        DeviceError: The number format overflows.
    """
    count, *shape = image.tensor.shape
    if len(generators) != count:
        raise ValueError(f"{count} images but {len(generators)} generators: one each per item")
    scheduler = make_scheduler(sampler, editor.scheduler_config, steps)
    denoiser = GuidedDenoiser(
        editor.unet if reuse == 1 else ReusingUNet(editor.unet, reuse),
        # CosXL-edit was trained on scaled conditions, which ImageLatent excludes for other models.
        ImageLatent(image.tensor * editor.condition_factor),
        as_condition(text),
        negative if negative is not None else null_condition(editor),
        cfg_text,
        cfg_image,
        time_ids=size_condition(editor, image),
        max_rows=max_rows,
        savings=savings,
        steps=steps,
    )
    start = initial_noise(shape, generators, editor.noise_offset) if noise is None else noise
    step_generators = list(generators) if find_sampler(sampler).stochastic else None
    start = start.to(editor.device, torch.float32)
    after_step = None
    if hold is not None:
        photo = SampledLatent(image.tensor.to(start) * editor.scaling_factor)
        after_step = hold_after_step(scheduler, photo, start, hold)
    latent = run(scheduler, denoiser, start, generators=step_generators, on_step=on_step, after_step=after_step)
    check_finite(latent, editor.dtype, editor.device)
    return SampledLatent(latent)


@torch.no_grad()
def run(
    scheduler: Any,
    denoiser: Denoiser,
    noise: torch.Tensor,
    *,
    generators: list[torch.Generator] | None = None,
    on_step: OnStep | None = None,
    after_step: AfterStep | None = None,
    begin: SDEditStart | None = None,
) -> torch.Tensor:
    """Run the sampling loop.

    Args:
        scheduler: From `make_scheduler`; can be used once.
        denoiser: Called with scaled latents and a timestep; returns the model output.
        noise: Standard normal noise (N, C, h, w).
        generators: A generator for each item, for stochastic samplers only.
        on_step: Called with the number of steps done and of all steps.
        after_step: Called with the latents and the number of steps done; returns the latents to continue with.
        begin: A picture to start from instead of noise; skipped steps count as done.

    Returns:
        Sampled latents (N, C, h, w), float32.
    """
    first = 0 if begin is None else begin.step
    # The state stays in float32: with zero terminal SNR sigma starts at 4096, which leaves half precision no digits.
    latent: torch.Tensor = noise.float() * scheduler.init_noise_sigma
    if begin is not None:
        scheduler.set_begin_index(first)
        times = scheduler.timesteps[first : first + 1].expand(len(noise))
        latent = scheduler.add_noise(begin.latent.tensor.to(noise), noise.float(), times)
    noise_source = {} if generators is None else {"generator": generators}
    total = len(scheduler.timesteps)
    for done, timestep in enumerate(scheduler.timesteps[first:], start=first + 1):
        output = denoiser(scheduler.scale_model_input(latent, timestep), timestep)
        latent = scheduler.step(output, timestep, latent, return_dict=False, **noise_source)[0]
        if after_step is not None:
            latent = after_step(latent, done)
        if on_step is not None:
            on_step(done, total)
    return latent
