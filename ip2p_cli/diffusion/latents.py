"""The two kinds of latents, as two types, so that scaled and unscaled ones are never mixed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True, eq=False)
class ImageLatent:
    """What the UNet is conditioned on: the mode of the VAE's posterior, NOT multiplied by `scaling_factor`.

    tensor: (N, C, h, w) float32.
    """

    tensor: torch.Tensor


@dataclass(frozen=True, eq=False)
class SampledLatent:
    """What the sampler works on: latents multiplied by the VAE's `scaling_factor`.

    tensor: (N, C, h, w) float32.
    """

    tensor: torch.Tensor

    def as_condition(self, scaling_factor: float) -> ImageLatent:
        """The same picture as the condition of a next edit, without a trip through pixels."""
        return ImageLatent(self.tensor / scaling_factor)


def low_frequencies(latent: torch.Tensor, side: int = 9) -> torch.Tensor:
    """The mean over `side` x `side` (odd; less where the latent is smaller) places around each, (N, C, h, w)."""
    side = min(side, *(n - 1 + n % 2 for n in latent.shape[-2:]))
    return F.avg_pool2d(latent, side, stride=1, padding=side // 2, count_include_pad=False)
