"""The samplers for distilled models against diffusers' schedulers, on the same noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ip2p_cli.diffusion.editing import SDEditStart, make_generators, run
from ip2p_cli.diffusion.latents import SampledLatent
from ip2p_cli.diffusion.samplers import find_sampler, make_scheduler
from ip2p_cli.errors import UsageError
from ip2p_cli.models.registry import MODELS
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditSettings
from tests.tiny import NANO_SCHEDULER, SD15_SCHEDULER

pytestmark = pytest.mark.numeric

CLASSES = {"lcm": "LCMScheduler", "tcd": "TCDScheduler"}
CONFIGS = {
    "sd15": SD15_SCHEDULER,
    "velocity": {**SD15_SCHEDULER, "prediction_type": "v_prediction"},
    "nano": NANO_SCHEDULER,
}
both_samplers = pytest.mark.parametrize("name", CLASSES)
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def reference(name: str, config: dict[str, Any], steps: int) -> Any:
    import diffusers

    keys = ("beta_schedule", "beta_start", "beta_end", "prediction_type", "rescale_betas_zero_snr")
    scheduler = getattr(diffusers, CLASSES[name])(**{key: config[key] for key in keys if key in config})
    scheduler.set_timesteps(steps)
    return scheduler


def model(latent: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """Depends on all it gets, and keeps the size of the numbers."""
    return torch.tanh(latent.roll(1, dims=-1) * (1 + float(timestep) / 1000)) + 0.3 * latent


@both_samplers
@every_config
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 8, 50])
def test_samples_are_those_of_diffusers(name: str, config: dict[str, Any], steps: int) -> None:
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    found, wanted = (
        run(scheduler, model, noise, generators=make_generators([5, 6]))
        for scheduler in (make_scheduler(name, config, steps), reference(name, config, steps))
    )
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)


@both_samplers
def test_timesteps_are_those_of_diffusers(name: str) -> None:
    for steps in range(1, 51):
        wanted = reference(name, SD15_SCHEDULER, steps).timesteps.tolist()
        assert make_scheduler(name, SD15_SCHEDULER, steps).timesteps.tolist() == wanted
        assert len(wanted) == steps


@both_samplers
@every_config
def test_noise_of_a_step_is_that_of_diffusers(name: str, config: dict[str, Any]) -> None:
    """For masks, and to begin with a picture."""
    picture, noise = torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    begin = SDEditStart(latent=SampledLatent(picture), step=1)
    found, wanted = (
        run(scheduler, model, noise, generators=make_generators([5, 6]), begin=begin)
        for scheduler in (make_scheduler(name, config, 4), reference(name, config, 4))
    )
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)


@both_samplers
def test_the_noise_is_the_items_own(name: str) -> None:
    """A batch gives what single runs give; the noise is drawn from each item's generator."""
    assert find_sampler(name).stochastic
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))

    def sampled(rows: slice, seeds: list[int]) -> torch.Tensor:
        return run(make_scheduler(name, SD15_SCHEDULER, 4), model, noise[rows], generators=make_generators(seeds))

    together = sampled(slice(0, 2), [5, 6])
    torch.testing.assert_close(together[1:], sampled(slice(1, 2), [6]), atol=1e-6, rtol=0)
    assert (together[1:] - sampled(slice(1, 2), [7])).abs().max() > 1e-2


@both_samplers
def test_too_many_steps_are_refused_before_a_model_is_loaded(name: str) -> None:
    with pytest.raises(UsageError, match="at most 50"):
        make_scheduler(name, SD15_SCHEDULER, 51)
    with pytest.raises(UsageError, match="at most 50"):
        resolve(EditSettings(sampler=name), MODELS["instruct-pix2pix"])  # its own 100 steps
