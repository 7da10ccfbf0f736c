"""The training objective: timesteps, noise, conditioning dropout, prediction targets, weights.

All random numbers come from a generator that the caller seeds, so that a training step is a function of its number and
resuming is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """Which items of a batch lose their text or image condition; two bool tensors (N,)."""

    text: Tensor
    image: Tensor


def draw_dropout(count: int, p: float, generator: torch.Generator) -> Dropout:
    """Draw the dropout of arXiv:2211.09800, section 3.2.1: text alone, image alone and both have probability p each."""
    r = torch.rand(count, generator=generator)
    return Dropout(text=r < 2 * p, image=(r >= p) & (r < 3 * p))


def draw_timesteps(count: int, train_steps: int, power: float, generator: torch.Generator) -> Tensor:
    """Draw timesteps (N,) in 0 .. train_steps - 1 as train_steps u^power: powers below 1 favour high noise."""
    u = torch.rand(count, generator=generator)
    return (u**power * train_steps).long().clamp_max(train_steps - 1)


def add_noise(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """x_t = sqrt(a) x_0 + sqrt(1 - a) noise (arXiv:2006.11239, eq. 4), with a = `alphas_cumprod` (N,) of each item."""
    a = alphas_cumprod.view(-1, 1, 1, 1)
    return a.sqrt() * latents + (1 - a).sqrt() * noise


def prediction_target(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor, prediction_type: str) -> Tensor:
    """What the network should predict: "epsilon" (the noise), "v_prediction" (the velocity) or "sample" (x_0)."""
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "sample":
        return latents
    if prediction_type == "v_prediction":
        a = alphas_cumprod.view(-1, 1, 1, 1)
        return a.sqrt() * noise - (1 - a).sqrt() * latents  # arXiv:2202.00512, section 4
    raise ValueError(f"unknown prediction type {prediction_type!r}")


def sample_weights(alphas_cumprod: Tensor, prediction_type: str) -> Tensor:
    """Weights (N,) that make the loss the mean squared error of x_0, whatever the network predicts."""
    if prediction_type == "epsilon":
        return (1 - alphas_cumprod) / alphas_cumprod.clamp_min(1e-8)
    if prediction_type == "v_prediction":
        return 1 - alphas_cumprod
    return torch.ones_like(alphas_cumprod)


def min_snr_weights(alphas_cumprod: Tensor, prediction_type: str, gamma: float) -> Tensor:
    """Weights (N,) of min-SNR (arXiv:2303.09556): min(SNR, gamma) for x_0, converted to the prediction type.

    With zero terminal SNR the last timestep has no weight under "v_prediction". A model that starts sampling there, as
    nano does, should be trained with weights of 1.
    """
    snr = alphas_cumprod / (1 - alphas_cumprod).clamp_min(1e-8)
    capped = snr.clamp_max(gamma)
    if prediction_type == "epsilon":
        return capped / snr.clamp_min(1e-8)
    if prediction_type == "v_prediction":
        return capped / (snr + 1)
    return capped


def weighted_mse(prediction: Tensor, target: Tensor, item_weights: Tensor, channel_weights: Tensor | None) -> Tensor:
    """Mean squared error over (N, C, h, w) as a scalar, with weights (N,) for items and (C,) for channels."""
    squares = (prediction.float() - target.float()).square()
    if channel_weights is not None:
        squares = squares * channel_weights.view(1, -1, 1, 1)
    return (squares.mean(dim=(1, 2, 3)) * item_weights).mean()
