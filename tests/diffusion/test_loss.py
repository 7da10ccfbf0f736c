"""The objective against the paper's words, diffusers' schedulers and min-SNR's formulas."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from ip2p_cli.diffusion.loss import (
    add_noise,
    draw_dropout,
    draw_timesteps,
    min_snr_weights,
    prediction_target,
    weighted_mse,
)
from tests.tiny import BETAS


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_dropout_is_a_function_of_one_draw() -> None:
    drop = draw_dropout(10_000, 0.05, seeded())
    r = torch.rand(10_000, generator=seeded())
    assert torch.equal(drop.text, r < 0.10)
    assert torch.equal(drop.image, (r >= 0.05) & (r < 0.15))


def test_dropout_shares() -> None:
    drop = draw_dropout(400_000, 0.05, seeded())
    for which in (drop.text & ~drop.image, drop.image & ~drop.text, drop.text & drop.image):
        assert which.float().mean().item() == pytest.approx(0.05, abs=0.002)


def test_no_dropout() -> None:
    drop = draw_dropout(1000, 0.0, seeded())
    assert not drop.text.any()
    assert not drop.image.any()


@pytest.mark.parametrize(("power", "mean"), [(1.0, 500), (0.5, 1000 * 2 / 3), (2.0, 1000 / 3)])
def test_timesteps(power: float, mean: float) -> None:
    steps = draw_timesteps(100_000, 1000, power, seeded())
    assert steps.dtype == torch.long
    assert (steps.min(), steps.max()) == (0 if power >= 1 else steps.min(), 999)
    assert steps.min() >= 0
    assert steps.float().mean().item() == pytest.approx(mean, abs=5)


@pytest.mark.parametrize("zero_snr", [False, True])
def test_noise_and_targets_against_diffusers(zero_snr: bool) -> None:
    scheduler = DDIMScheduler(**BETAS, rescale_betas_zero_snr=zero_snr)
    latents, noise = torch.randn(2, 5, 4, 8, 8, generator=seeded())
    steps = torch.tensor([0, 1, 500, 998, 999])
    alphas = scheduler.alphas_cumprod[steps]
    torch.testing.assert_close(add_noise(latents, noise, alphas), scheduler.add_noise(latents, noise, steps))
    torch.testing.assert_close(
        prediction_target(latents, noise, alphas, "v_prediction"), scheduler.get_velocity(latents, noise, steps)
    )
    assert prediction_target(latents, noise, alphas, "epsilon") is noise
    assert prediction_target(latents, noise, alphas, "sample") is latents
    with pytest.raises(ValueError, match="unknown prediction type 'x'"):
        prediction_target(latents, noise, alphas, "x")


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_min_snr_is_one_weighting_of_the_same_error(kind: str) -> None:
    """Whatever is predicted, a wrong x_0 costs min(SNR, gamma) times its square (arXiv:2303.09556, section 3.4)."""
    alphas = DDIMScheduler(**BETAS).alphas_cumprod.double()[torch.tensor([0, 10, 200, 600, 999])]
    snr = alphas / (1 - alphas)
    x0, noise, wrong = torch.randn(3, 5, 2, 4, 4, generator=seeded(), dtype=torch.float64)
    a = alphas.view(-1, 1, 1, 1)
    noisy = add_noise(x0, noise, alphas)
    # What a network that believes in x0 + wrong would predict from the same noisy latent.
    believed_noise = (noisy - a.sqrt() * (x0 + wrong)) / (1 - a).sqrt()
    prediction = prediction_target(x0 + wrong, believed_noise, alphas, kind)
    error = (prediction - prediction_target(x0, noise, alphas, kind)).square().mean(dim=(1, 2, 3))
    cost = error * min_snr_weights(alphas, kind, 5.0)
    torch.testing.assert_close(cost, snr.clamp_max(5.0) * wrong.square().mean(dim=(1, 2, 3)), rtol=1e-5, atol=1e-12)


def test_min_snr_by_hand() -> None:
    alphas = torch.tensor([0.5, 0.9])  # SNR 1 and 9
    torch.testing.assert_close(min_snr_weights(alphas, "epsilon", 5.0), torch.tensor([1.0, 5 / 9]))
    torch.testing.assert_close(min_snr_weights(alphas, "v_prediction", 5.0), torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(min_snr_weights(alphas, "sample", 5.0), torch.tensor([1.0, 5.0]))


def test_min_snr_at_zero_snr_is_finite() -> None:
    alphas = torch.tensor([0.0, 1.0])
    for kind in ("epsilon", "v_prediction", "sample"):
        assert torch.isfinite(min_snr_weights(alphas, kind, 5.0)).all()
    assert min_snr_weights(alphas, "v_prediction", 5.0)[0] == 0


def test_weighted_mse() -> None:
    prediction, target = torch.ones(2, 3, 4, 4, dtype=torch.bfloat16), torch.zeros(2, 3, 4, 4)
    even = torch.ones(2)
    assert weighted_mse(prediction, target, even, None).item() == 1
    assert weighted_mse(prediction, target, torch.tensor([1.0, 0.5]), None).item() == 0.75
    assert weighted_mse(prediction, target, even, torch.tensor([3.0, 0.0, 0.0])).item() == 1
    prediction[:, 0] = 2
    assert weighted_mse(prediction, target, even, torch.tensor([1.5, 1.5, 0.0])).item() == 2.5
