"""The training objective: timesteps, noise, conditioning dropout, prediction targets, weights.

Everything random is drawn from one generator that the caller seeds, so that a step of training is a
function of its number and resuming is exact.
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
    """The paper's dropout from one uniform draw r an item: text null for r < 2p, image null for p <= r < 3p.

    So each alone has probability p, and both together p as well.
    """
    r = torch.rand(count, generator=generator)
    return Dropout(text=r < 2 * p, image=(r >= p) & (r < 3 * p))


def draw_timesteps(count: int, train_steps: int, power: float, generator: torch.Generator) -> Tensor:
    """(N,) long in 0 .. train_steps - 1, as (train_steps) u^power: below 1 favours high noise; 1 is even."""
    u = torch.rand(count, generator=generator)
    return (u**power * train_steps).long().clamp_max(train_steps - 1)


def add_noise(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """x_t = sqrt(a) x_0 + sqrt(1 - a) noise, with `alphas_cumprod` (N,) already taken at each item's t."""
    a = alphas_cumprod.view(-1, 1, 1, 1)
    return a.sqrt() * latents + (1 - a).sqrt() * noise


def prediction_target(latents: Tensor, noise: Tensor, alphas_cumprod: Tensor, prediction_type: str) -> Tensor:
    """What the network is to predict: "epsilon", "v_prediction" (sqrt(a) noise - sqrt(1 - a) x_0) or "sample"."""
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "sample":
        return latents
    if prediction_type == "v_prediction":
        a = alphas_cumprod.view(-1, 1, 1, 1)
        return a.sqrt() * noise - (1 - a).sqrt() * latents
    raise ValueError(f"unknown prediction type {prediction_type!r}")


def min_snr_weights(alphas_cumprod: Tensor, prediction_type: str, gamma: float) -> Tensor:
    """(N,) weights min(SNR, gamma) in x_0 terms (Hang et al. 2023, arXiv:2303.09556), for each prediction type.

    With zero terminal SNR the last timestep would weigh nothing under "v_prediction": a model that starts
    its sampling there (nano does) should train with weights of 1 instead.
    """
    snr = alphas_cumprod / (1 - alphas_cumprod).clamp_min(1e-8)
    capped = snr.clamp_max(gamma)
    if prediction_type == "epsilon":
        return capped / snr.clamp_min(1e-8)
    if prediction_type == "v_prediction":
        return capped / (snr + 1)
    return capped


def weighted_mse(prediction: Tensor, target: Tensor, item_weights: Tensor, channel_weights: Tensor | None) -> Tensor:
    """Mean squared error over (N, C, h, w), with weights (N,) an item and optionally (C,) a channel; a scalar."""
    squares = (prediction.float() - target.float()).square()
    if channel_weights is not None:
        squares = squares * channel_weights.view(1, -1, 1, 1)
    return (squares.mean(dim=(1, 2, 3)) * item_weights).mean()
