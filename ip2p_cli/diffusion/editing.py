"""The project's one denoise loop, and the ways in and out of it: tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ip2p_cli.diffusion.guidance import GuidedDenoiser
from ip2p_cli.diffusion.latents import ImageLatent, SampledLatent
from ip2p_cli.diffusion.samplers import find_sampler, make_scheduler
from ip2p_cli.errors import DeviceError
from ip2p_cli.models.loader import Editor

Denoiser = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
OnStep = Callable[[int, int], None]

# no_grad and not inference_mode: a validation grid made during training must not leave inference tensors behind.


@torch.no_grad()
def encode_image(editor: Editor, pixels: torch.Tensor) -> ImageLatent:
    """The image condition: pixels (N, 3, H, W) in [-1, 1] -> latents (N, C, H/f, W/f), f = editor.vae_factor.

    The mode of the posterior, not scaled. H and W must be multiples of f (ValueError).
    """
    if pixels.shape[-2] % editor.vae_factor or pixels.shape[-1] % editor.vae_factor:
        raise ValueError(f"height and width must be multiples of {editor.vae_factor}, not {tuple(pixels.shape[-2:])}")
    posterior = editor.vae.encode(pixels.to(editor.device, editor.vae.dtype)).latent_dist
    return ImageLatent(posterior.mode().float())


@torch.no_grad()
def encode_text(editor: Editor, instructions: Sequence[str]) -> torch.Tensor:
    """Hidden states of the text encoder, (N, L, D), in editor.dtype; see `truncated_words` for long ones."""
    tokens = editor.tokenizer(
        list(instructions),
        padding="max_length",
        max_length=editor.text_length,
        truncation=True,
        return_tensors="pt",
    )
    states: torch.Tensor = editor.text_encoder(tokens.input_ids.to(editor.device))[0]
    return states


def null_text(editor: Editor) -> torch.Tensor:
    """The empty instruction, (1, L, D): the "no text" of eq. 3."""
    return encode_text(editor, [""])


def truncated_words(editor: Editor, text: str) -> list[str]:
    """The words at the end of `text` that the text encoder cannot take in whole; [] where it all fits."""
    words = text.split()
    while words and _token_count(editor, " ".join(words)) > editor.text_length:
        words.pop()
    return text.split()[len(words) :]


def _token_count(editor: Editor, text: str) -> int:
    return len(editor.tokenizer(text, truncation=False, verbose=False).input_ids)


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
    text: torch.Tensor,
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
    """Edit N pictures of one size, each with its own text (N, L, D), scales (eq. 3 of the paper) and generator.

    generators: see `make_generators`; item i draws its initial noise (unless `noise`, standard normal
    (N, C, h, w), is given) and its ancestral noise from generators[i], so the result does not depend on the
    batch. on_step: called as (steps done, steps). max_rows: the most rows of one UNet call.
    Raises UsageError for an unknown sampler or impossible step count, DeviceError where a number format overflows.
    """
    count, *shape = image.tensor.shape
    if len(generators) != count:
        raise ValueError(f"{count} images but {len(generators)} generators: one each per item")
    scheduler = make_scheduler(sampler, editor.scheduler_config, steps)
    denoiser = GuidedDenoiser(editor.unet, image, text, null_text(editor), cfg_text, cfg_image, max_rows=max_rows)
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
) -> torch.Tensor:
    """The loop itself: standard normal noise (N, C, h, w) -> latents of the same shape, float32.

    scheduler: from `make_scheduler`, used once. generators: one per item, for a stochastic sampler only.
    """
    # The state stays in float32: with zero terminal SNR sigma starts at 4096, and half precision would cancel away.
    latent: torch.Tensor = noise.float() * scheduler.init_noise_sigma
    drawing = {} if generators is None else {"generator": generators}
    total = len(scheduler.timesteps)
    for done, timestep in enumerate(scheduler.timesteps, start=1):
        output = denoiser(scheduler.scale_model_input(latent, timestep), timestep)
        latent = scheduler.step(output, timestep, latent, return_dict=False, **drawing)[0]
        if on_step is not None:
            on_step(done, total)
    return latent


@torch.no_grad()
def decode(editor: Editor, latent: SampledLatent | ImageLatent) -> torch.Tensor:
    """Pixels (N, 3, H, W) in [0, 1], float32, on editor.device."""
    condition = latent.as_condition(editor.scaling_factor) if isinstance(latent, SampledLatent) else latent
    pixels: torch.Tensor = editor.vae.decode(condition.tensor.to(editor.device, editor.vae.dtype)).sample
    return (pixels.float() / 2 + 0.5).clamp(0, 1)
