"""Scaled and unscaled latents, as two types, so that they are never mixed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ip2p_cli.errors import DeviceError


@dataclass(frozen=True, eq=False)
class ImageLatent:
    """The image condition: the mode of the VAE's posterior, NOT multiplied by `scaling_factor`.

    Attributes:
        tensor: (N, C, h, w) float32.
    """

    tensor: torch.Tensor


@dataclass(frozen=True, eq=False)
class SampledLatent:
    """The sampler's latents: those of the VAE multiplied by its `scaling_factor`.

    Attributes:
        tensor: (N, C, h, w) float32.
    """

    tensor: torch.Tensor

    def as_condition(self, scaling_factor: float) -> ImageLatent:
        """The same picture as image condition of a next edit, without decoding it."""
        return ImageLatent(self.tensor / scaling_factor)


def low_frequencies(latent: torch.Tensor, side: int = 9) -> torch.Tensor:
    """Blur latents (N, C, h, w) by a mean over squares of `side` (odd; smaller where the latent is smaller)."""
    side = min(side, *(length - 1 + length % 2 for length in latent.shape[-2:]))
    return F.avg_pool2d(latent, side, stride=1, padding=side // 2, count_include_pad=False)


def check_finite(latent: torch.Tensor, dtype: torch.dtype, device: torch.device) -> None:
    """Raise DeviceError where a model with this `dtype` on this `device` has overflowed."""
    if not torch.isfinite(latent).all():
        raise DeviceError(f"the model overflowed in {dtype} on {device}; try again with --dtype fp32")
