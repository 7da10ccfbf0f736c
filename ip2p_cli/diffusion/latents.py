"""The two kinds of latents, as two types, so that scaled and unscaled ones are never mixed."""

from __future__ import annotations

from dataclasses import dataclass

import torch


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
