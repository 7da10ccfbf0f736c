"""Every sampler, on both kinds of models, against denoisers whose answer is known exactly."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ip2p_cli.diffusion.editing import make_generators, run
from ip2p_cli.diffusion.samplers import SAMPLERS, find_sampler, make_scheduler
from ip2p_cli.errors import ModelError, UsageError
from tests.tiny import NANO_SCHEDULER, SD15_SCHEDULER

CONFIGS = {"sd15": SD15_SCHEDULER, "nano": NANO_SCHEDULER}
both_models = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
# Those for distilled models are compared with diffusers in test_consistency.py: an exact model of a spread of pictures
# is not what they were made for.
every_sampler = pytest.mark.parametrize("name", [name for name, one in SAMPLERS.items() if one.most_steps is None])

Oracle = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def true_levels(config: dict[str, Any], timestep: torch.Tensor, log: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """(alpha, sigma) of the training noise at a timestep, worked out here and not by a sampler's class.

    Between whole timesteps sigma / alpha is linear, as in diffusers' Euler schedulers, or with `log` its logarithm is.
    """
    root = torch.linspace(config["beta_start"] ** 0.5, config["beta_end"] ** 0.5, 1000, dtype=torch.float64)
    signal = torch.cumprod(1 - root**2, 0).sqrt()
    if config.get("rescale_betas_zero_snr"):
        signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    ratio = (1 - signal**2).sqrt() / signal
    low, high = int(timestep), math.ceil(float(timestep))
    if low == high:
        return signal[low], (1 - signal[low] ** 2).sqrt()
    part = float(timestep) - low
    between = ratio[low] ** (1 - part) * ratio[high] ** part if log else ratio[low].lerp(ratio[high], part)
    alpha = 1 / (1 + between**2).sqrt()
    return alpha, between * alpha


def oracle(config: dict[str, Any], mean: torch.Tensor, spread: float = 0.0, log: bool = False) -> Oracle:
    """The perfect model of pictures ~ N(mean, spread**2): its x0 is the posterior mean."""

    def denoise(latent: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        alpha, sigma = true_levels(config, timestep, log)
        x = latent.double()
        x0 = mean + alpha * spread**2 / (alpha**2 * spread**2 + sigma**2) * (x - alpha * mean)
        noise = (x - alpha * x0) / sigma
        answer = noise if config["prediction_type"] == "epsilon" else alpha * noise - sigma * x0
        return answer.float()

    return denoise


def sample(name: str, config: dict[str, Any], steps: int, denoiser: Oracle, seeds: list[int], side: int) -> Any:
    generators = make_generators(seeds)
    noise = torch.stack([torch.randn(4, side, side, generator=g) for g in generators])
    drawing = generators if find_sampler(name).stochastic else None
    return run(make_scheduler(name, config, steps), denoiser, noise, generators=drawing)


@every_sampler
@both_models
@pytest.mark.parametrize("steps", [1, 2, 6, 7, 8, 9, 12, 61, 100])
def test_exact_denoiser_lands_on_its_picture(name: str, config: dict[str, Any], steps: int) -> None:
    picture = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    found = sample(name, config, steps, oracle(config, picture, log=name == "euler_a_original"), [0, 1], 8)
    torch.testing.assert_close(found, picture, atol=2e-3, rtol=0)


# A sampler whose noise levels are not those the model is told about misses the spread, however exact the model:
# diffusers' DDIMScheduler ends at 0.576 instead of 0.5 with 400 steps, which do not divide 1000.
@every_sampler
@both_models
@pytest.mark.parametrize(("steps", "tolerance"), [(50, 0.035), (400, 0.008)])
def test_converges_to_the_spread_of_the_pictures(
    name: str, config: dict[str, Any], steps: int, tolerance: float
) -> None:
    exact = oracle(config, torch.tensor(0.3), spread=0.5, log=name == "euler_a_original")
    found = sample(name, config, steps, exact, [0, 1], 64)
    assert found.mean().item() == pytest.approx(0.3, abs=0.015)
    allowed = 1.8 * tolerance if find_sampler(name).stochastic else tolerance
    assert found.std().item() == pytest.approx(0.5, abs=allowed)


@every_sampler
@both_models
@pytest.mark.parametrize("steps", [1, 2, 8, 50, 61, 103, 121, 333, 999])
def test_timesteps(name: str, config: dict[str, Any], steps: int) -> None:
    scheduler = make_scheduler(name, config, steps)
    times = scheduler.timesteps.double()
    assert len(times) == steps
    assert times[0] == 999
    assert times[-1] >= 0
    assert (times.diff() < 0).all()
    assert len(scheduler.sigmas) == steps + 1
    assert scheduler.sigmas[-1] == 0


@pytest.mark.parametrize("steps", [5, 8, 10])
@both_models
def test_ddim_is_diffusers_ddim_where_the_steps_divide(config: dict[str, Any], steps: int) -> None:
    from diffusers import DDIMScheduler

    denoiser = oracle(config, torch.tensor(0.3), spread=0.5)
    reference = DDIMScheduler.from_config(
        {**config, "set_alpha_to_one": True, "timestep_spacing": "trailing", "_class_name": "DDIMScheduler"}
    )
    reference.set_timesteps(steps)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = run(reference, denoiser, noise)
    torch.testing.assert_close(run(make_scheduler("ddim", config, steps), denoiser, noise), expected, atol=1e-3, rtol=0)


def test_noise_levels_of_euler_a_are_the_papers() -> None:
    scheduler = make_scheduler("euler_a", SD15_SCHEDULER, 5)
    assert scheduler.timesteps.tolist() == [999.0, 749.25, 499.5, 249.75, 0.0]
    assert scheduler.sigmas[0].item() == pytest.approx(14.6146, abs=1e-3)
    assert scheduler.sigmas[-2].item() == pytest.approx(0.0292, abs=1e-4)


def test_unknown_sampler_names_the_nearest_and_all() -> None:
    with pytest.raises(UsageError, match="Did you mean euler_a") as caught:
        make_scheduler("eulera", SD15_SCHEDULER, 8)
    assert all(name in str(caught.value) for name in SAMPLERS)


@pytest.mark.parametrize("steps", [0, -1, 1000])
def test_impossible_step_counts(steps: int) -> None:
    with pytest.raises(UsageError, match="between 1 and 999"):
        make_scheduler("unipc", SD15_SCHEDULER, steps)


def test_models_that_cannot_be_sampled() -> None:
    with pytest.raises(ModelError, match="flow_prediction"):
        make_scheduler("euler", {**SD15_SCHEDULER, "prediction_type": "flow_prediction"}, 8)
    with pytest.raises(ModelError, match="v_prediction"):
        make_scheduler("euler", {**NANO_SCHEDULER, "prediction_type": "epsilon"}, 8)


def test_names_can_be_listed_without_torch() -> None:
    code = "import sys, ip2p_cli.diffusion.samplers; sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
