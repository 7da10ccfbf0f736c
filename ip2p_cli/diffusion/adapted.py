"""Editing with an adapter: the same tensors in and out as our own loop, but the pipeline's way in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ip2p_cli.errors import DeviceError
from ip2p_cli.models.adapters import Adapter

OnStep = Callable[[int, int], None]


@torch.no_grad()
def edit_adapted(
    adapter: Adapter,
    pixels: torch.Tensor,
    instruction: str,
    *,
    steps: int,
    cfg_text: float,
    generator: torch.Generator,
    on_step: OnStep | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Edit one picture (3, H, W) in [0, 1], H and W multiples of the model's grid: (edited (3, H, W), latent).

    generator: a CPU generator, the only source of noise. The size is kept: FLUX.1 Kontext's pipeline would change
    both the photo's and its own to one of its preferred sizes. The latent is (1, C, h, w), as sampled.
    Raises DeviceError where a number format overflows.
    """
    height, width = pixels.shape[-2:]
    pipeline = adapter.pipeline
    last: dict[str, torch.Tensor] = {}

    def after_step(_: Any, done: int, __: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        last.update(state)
        if on_step is not None:
            on_step(done + 1, steps)
        return {}

    result = pipeline(
        image=pixels[None],
        prompt=instruction,
        height=height,
        width=width,
        max_area=height * width,
        _auto_resize=False,
        num_inference_steps=steps,
        guidance_scale=cfg_text,
        generator=generator,
        callback_on_step_end=after_step,
        output_type="pt",
    ).images
    if not torch.isfinite(last["latents"]).all():
        raise DeviceError(f"the model overflowed in {adapter.dtype} on {adapter.device}; try again with --dtype fp32")
    latent = pipeline._unpack_latents(last["latents"], height, width, pipeline.vae_scale_factor)
    edited: torch.Tensor = result[0].float().clamp(0, 1)
    if edited.shape != pixels.shape:
        raise ValueError(f"the pipeline changed the size from {tuple(pixels.shape)} to {tuple(edited.shape)}")
    return edited, latent.float()


@torch.no_grad()
def through_vae(adapter: Adapter, pixels: torch.Tensor) -> torch.Tensor:
    """A picture (3, H, W) in [0, 1] as the autoencoder gives it back."""
    vae = adapter.pipeline.vae
    latent = vae.encode((pixels[None] * 2 - 1).to(adapter.device, vae.dtype)).latent_dist.mode()
    decoded: torch.Tensor = vae.decode(latent).sample[0]
    return (decoded.float() / 2 + 0.5).clamp(0, 1)
