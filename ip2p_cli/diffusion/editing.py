"""The project's one denoise loop, and the ways in and out of it: tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ip2p_cli.diffusion.guidance import GuidedDenoiser
from ip2p_cli.diffusion.latents import ImageLatent, SampledLatent
from ip2p_cli.diffusion.samplers import find_sampler, make_scheduler
from ip2p_cli.diffusion.text import TextCondition, as_condition, null_condition, size_condition
from ip2p_cli.diffusion.text import encode_text as encode_text
from ip2p_cli.diffusion.text import null_text as null_text
from ip2p_cli.diffusion.text import truncated_words as truncated_words
from ip2p_cli.errors import DeviceError
from ip2p_cli.models.editor import Editor

Denoiser = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
OnStep = Callable[[int, int], None]
AfterStep = Callable[[torch.Tensor, int], torch.Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class SDEditStart:
    """SDEdit's start (Meng et al. 2022, arXiv:2108.01073): a picture's latents, noised as at `step` (from 0)."""

    latent: SampledLatent
    step: int


# no_grad and not inference_mode: a validation grid made during training must not leave inference tensors behind.


@torch.no_grad()
def encode_image(editor: Editor, pixels: torch.Tensor) -> ImageLatent:
    """The image condition: pixels (N, 3, H, W) in [-1, 1] -> latents (N, C, H/f, W/f), f = editor.vae_factor.

    The mode of the posterior, not scaled. Pictures are encoded one by one, so that a picture's latents do not depend
    on its batch. H and W must be multiples of f (ValueError).
    """
    if pixels.shape[-2] % editor.vae_factor or pixels.shape[-1] % editor.vae_factor:
        raise ValueError(f"height and width must be multiples of {editor.vae_factor}, not {tuple(pixels.shape[-2:])}")
    given = pixels.to(editor.device, editor.vae.dtype)
    modes = [editor.vae.encode(picture).latent_dist.mode().float() for picture in _one_by_one(given)]
    return ImageLatent(torch.cat(modes).contiguous())


def make_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One CPU generator per item, so that a seed means the same on every device and in every batch."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def initial_noise(shape: Sequence[int], generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Standard normal noise (N, *shape), float32 on the CPU; item i from generators[i] alone."""
    return torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators])


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
    on_step: OnStep | None = None,
    max_rows: int | None = None,
) -> SampledLatent:
    """Edit N pictures of one size, each with its own text, scales (eq. 3 of the paper) and generator.

    text: from `text.encode_condition`; the states alone (N, L, D) will do for models of Stable Diffusion 1.5.
    generators: see `make_generators`; item i draws its initial noise (unless `noise`, standard normal
    (N, C, h, w), is given) and its ancestral noise from generators[i], so the result does not depend on the
    batch. on_step: called as (steps done, steps). max_rows: the most rows of one UNet call.
    Raises UsageError for an unknown sampler or impossible step count, DeviceError where a number format overflows.
    """
    count, *shape = image.tensor.shape
    if len(generators) != count:
        raise ValueError(f"{count} images but {len(generators)} generators: one each per item")
    scheduler = make_scheduler(sampler, editor.scheduler_config, steps)
    denoiser = GuidedDenoiser(
        editor.unet,
        # What the type forbids, CosXL-edit was trained on: there the factor is not 1.
        ImageLatent(image.tensor * editor.condition_factor),
        as_condition(text),
        null_condition(editor),
        cfg_text,
        cfg_image,
        time_ids=size_condition(editor, image),
        max_rows=max_rows,
    )
    start = initial_noise(shape, generators) if noise is None else noise
    drawing = list(generators) if find_sampler(sampler).stochastic else None
    latent = run(scheduler, denoiser, start.to(editor.device, torch.float32), generators=drawing, on_step=on_step)
    if not torch.isfinite(latent).all():
        raise DeviceError(f"the model overflowed in {editor.dtype} on {editor.device}; try again with --dtype fp32")
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
    """The loop itself: standard normal noise (N, C, h, w) -> latents of the same shape, float32.

    scheduler: from `make_scheduler`, used once. generators: one per item, for a stochastic sampler only. after_step:
    given the latents and the number of steps done, the latents to go on with. begin: where to begin instead of in noise
    alone. Step counts are those of the whole way.
    """
    first = 0 if begin is None else begin.step
    # The state stays in float32: with zero terminal SNR sigma starts at 4096, and half precision would cancel away.
    latent: torch.Tensor = noise.float() * scheduler.init_noise_sigma
    if begin is not None:
        scheduler.set_begin_index(first)
        times = scheduler.timesteps[first : first + 1].expand(len(noise))
        latent = scheduler.add_noise(begin.latent.tensor.to(noise), noise.float(), times)
    drawing = {} if generators is None else {"generator": generators}
    total = len(scheduler.timesteps)
    for done, timestep in enumerate(scheduler.timesteps[first:], start=first + 1):
        output = denoiser(scheduler.scale_model_input(latent, timestep), timestep)
        latent = scheduler.step(output, timestep, latent, return_dict=False, **drawing)[0]
        if after_step is not None:
            latent = after_step(latent, done)
        if on_step is not None:
            on_step(done, total)
    return latent


@torch.no_grad()
def decode(editor: Editor, latent: SampledLatent | ImageLatent) -> torch.Tensor:
    """Pixels (N, 3, H, W) in [0, 1], float32, on editor.device; one picture at a time, as in `encode_image`."""
    condition = latent.as_condition(editor.scaling_factor) if isinstance(latent, SampledLatent) else latent
    given = condition.tensor.to(editor.device, editor.vae.dtype)
    pixels = torch.cat([editor.vae.decode(item).sample.float() for item in _one_by_one(given)])
    return (pixels / 2 + 0.5).clamp(0, 1)


def _one_by_one(batch: torch.Tensor) -> list[torch.Tensor]:
    """The items of a batch (N, C, H, W) as contiguous tensors (1, C, H, W).

    Convolutions choose their algorithm by batch size and memory layout, and the algorithms round differently.
    """
    return [batch[index : index + 1].contiguous() for index in range(len(batch))]
