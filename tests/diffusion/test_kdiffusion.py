"""The authors' sampler against a loop written here from the formulas, in double precision."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from ip2p_cli.diffusion.editing import make_generators, run
from ip2p_cli.diffusion.kdiffusion import KEulerAncestral
from ip2p_cli.diffusion.samplers import make_scheduler
from tests.tiny import NANO_SCHEDULER, SD15_SCHEDULER

pytestmark = pytest.mark.numeric

SD15_V = {**SD15_SCHEDULER, "prediction_type": "v_prediction"}
SPREAD, MEAN = 0.6, 0.25


def log_sigmas() -> np.ndarray:
    """Of Stable Diffusion 1.5, at t = 0 .. 999."""
    signal = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    return np.log(np.sqrt((1 - signal) / signal))


def best_guess(x: np.ndarray, sigma: float) -> np.ndarray:
    """The mean of the pictures ~ N(MEAN, SPREAD^2) that x = x_0 + sigma noise may have come from."""
    return MEAN + SPREAD**2 / (SPREAD**2 + sigma**2) * (x - MEAN)


def reference(steps: int, seeds: list[int], side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(result, times, sigmas): k-diffusion's get_sigmas, then its sample_euler_ancestral."""
    logs = log_sigmas()
    times = np.linspace(999, 0, steps)
    sigmas = np.append(np.exp(np.interp(times, np.arange(1000), logs)), 0.0)
    asked = np.array([np.interp(math.log(s), logs, np.arange(1000)) for s in sigmas[:-1]])
    generators = make_generators(seeds)

    def noise() -> np.ndarray:
        return torch.stack([torch.randn(4, side, side, generator=g) for g in generators]).double().numpy()

    x = noise() * sigmas[0]
    for now, then in pairwise(sigmas):
        up = min(then, math.sqrt(then**2 * (now**2 - then**2) / now**2))
        down = math.sqrt(then**2 - up**2)
        slope = (x - best_guess(x, now)) / now
        x = x + slope * (down - now)
        if then > 0:
            x = x + noise() * up
    return x, asked, sigmas


def model(config: dict[str, Any]) -> Any:
    """The same best guess as a network gives it: from x / sqrt(sigma^2 + 1) and a time, as noise or velocity."""
    logs = log_sigmas()

    def predict(latent: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        sigma = math.exp(np.interp(float(timestep), np.arange(1000), logs))
        x = latent.double().numpy() * math.sqrt(sigma**2 + 1)
        x0 = best_guess(x, sigma)
        noise = (x - x0) / sigma
        velocity = (noise - sigma * x0) / math.sqrt(sigma**2 + 1)
        return torch.from_numpy(noise if config["prediction_type"] == "epsilon" else velocity).float()

    return predict


def ours(name: str, config: dict[str, Any], steps: int, seeds: list[int], side: int) -> torch.Tensor:
    generators = make_generators(seeds)
    noise = torch.stack([torch.randn(4, side, side, generator=g) for g in generators])
    return run(make_scheduler(name, config, steps), model(config), noise, generators=generators)


@pytest.mark.parametrize("config", [SD15_SCHEDULER, SD15_V], ids=["epsilon", "v_prediction"])
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_the_same_as_the_formulas(config: dict[str, Any], steps: int) -> None:
    expected, times, sigmas = reference(steps, [3, 4], 8)
    scheduler = make_scheduler("euler_a_original", config, steps)
    np.testing.assert_allclose(scheduler.timesteps.numpy(), times, atol=1e-3)
    np.testing.assert_allclose(scheduler.sigmas.numpy(), sigmas, rtol=5e-5)  # float32 betas
    found = ours("euler_a_original", config, steps, [3, 4], 8)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)


def test_between_two_times_the_logarithm_is_linear() -> None:
    scheduler = KEulerAncestral({key: SD15_SCHEDULER[key] for key in ("beta_start", "beta_end", "beta_schedule")})
    logs = log_sigmas()
    times = torch.tensor([0.0, 0.5, 499.25, 998.9, 999.0], dtype=torch.float64)
    sigmas = scheduler.t_to_sigma(times)
    assert sigmas[1].item() == pytest.approx(math.exp((logs[0] + logs[1]) / 2), rel=1e-5)
    torch.testing.assert_close(scheduler.sigma_to_t(sigmas), times, atol=1e-6, rtol=0)
    beyond = torch.tensor([1e-4, 1e3], dtype=torch.float64)
    assert scheduler.sigma_to_t(beyond).tolist() == [0, 999]


def test_near_diffusers_euler_ancestral() -> None:
    """They share the noise; sigma differs a little at times that are not whole."""
    a, b = (ours(name, SD15_SCHEDULER, 100, [5], 16) for name in ("euler_a_original", "euler_a"))
    difference = (a - b).abs()
    assert 0 < difference.max() < 5e-3
    # Where all times are whole there is nothing to interpolate.
    a, b = (ours(name, SD15_SCHEDULER, 4, [5], 16) for name in ("euler_a_original", "euler_a"))
    torch.testing.assert_close(a, b, atol=2e-4, rtol=0)


def test_a_model_without_signal_at_its_last_time() -> None:
    scheduler = make_scheduler("euler_a_original", NANO_SCHEDULER, 100)
    assert scheduler.sigmas[0].item() == pytest.approx(4096, rel=1e-3)
    assert torch.isfinite(scheduler.sigmas).all()


def test_an_item_draws_from_its_own_generator() -> None:
    both = ours("euler_a_original", SD15_SCHEDULER, 5, [1, 2], 8)
    for row, seed in enumerate((1, 2)):
        torch.testing.assert_close(both[row : row + 1], ours("euler_a_original", SD15_SCHEDULER, 5, [seed], 8))
