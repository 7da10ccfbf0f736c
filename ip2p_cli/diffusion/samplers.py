"""Samplers by name: diffusers schedulers and one of our own, set up so that each works with every model ip2p loads.

Importing this module imports neither torch nor diffusers, so that the command line can list the names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ip2p_cli.errors import ModelError, UsageError
from ip2p_cli.models.sdxl import is_edm
from ip2p_cli.suggest import did_you_mean

Spacing = Literal["linspace", "trailing"]

# Only what describes the noise the model was trained on; the rest of a config is about another sampler.
_NOISE_KEYS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)


_EDM_KEYS = (
    "num_train_timesteps",
    "sigma_min",
    "sigma_max",
    "sigma_data",
    "sigma_schedule",
    "prediction_type",
    "rho",
    "final_sigmas_type",
)


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """One line for people, how to build the scheduler, how it spaces timesteps where the model does not say.

    stochastic: its steps draw noise, from one generator per item.
    """

    description: str
    build: Callable[[dict[str, Any]], Any]
    spacing: Spacing = "linspace"
    stochastic: bool = False


def _euler_a(config: dict[str, Any]) -> Any:
    from diffusers import EulerAncestralDiscreteScheduler

    return EulerAncestralDiscreteScheduler(**config)


def _euler_a_original(config: dict[str, Any]) -> Any:
    from ip2p_cli.diffusion.kdiffusion import KEulerAncestral

    return KEulerAncestral(config)


def _euler(config: dict[str, Any]) -> Any:
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(**config)


def _ddim(config: dict[str, Any]) -> Any:
    from diffusers import DPMSolverMultistepScheduler

    # DPM-Solver++ of order one is DDIM (arXiv:2211.01095). DDIMScheduler itself takes t - 1000 // steps for the
    # next noise level, which is not the next timestep unless steps divides 1000: measured with an exact model,
    # the pictures' spread of 0.5 came out as 0.576 at 400 steps, and noise of 0.03 stayed at the end.
    return DPMSolverMultistepScheduler(**config, solver_order=1)


def _dpmpp_2m(config: dict[str, Any]) -> Any:
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler(**config, solver_order=2)


def _unipc(config: dict[str, Any]) -> Any:
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler(**config)


SAMPLERS: Mapping[str, Sampler] = {
    "euler_a": Sampler(
        description="Euler ancestral, the paper's: fresh noise at every step; wants many steps (100 in the paper)",
        build=_euler_a,
        stochastic=True,
    ),
    "euler_a_original": Sampler(
        description="Euler ancestral exactly as the paper's authors ran it (k-diffusion, 100 steps): for comparisons",
        build=_euler_a_original,
        stochastic=True,
    ),
    "ddim": Sampler(
        description="DDIM: deterministic, first order, steady at few steps",
        build=_ddim,
        spacing="trailing",
    ),
    "dpmpp_2m": Sampler(
        description="DPM-Solver++ 2M: deterministic, second order, good from about 15 steps",
        build=_dpmpp_2m,
    ),
    "unipc": Sampler(
        description="UniPC: deterministic predictor-corrector of second order, good from about 10 steps",
        build=_unipc,
    ),
    "euler": Sampler(
        description="Euler: deterministic, first order, on the same noise levels as euler_a",
        build=_euler,
    ),
}


def find_sampler(name: str) -> Sampler:
    """The sampler called `name`; UsageError with the nearest name and all names where there is none."""
    try:
        return SAMPLERS[name]
    except KeyError:
        message = f"unknown sampler {name!r}.{did_you_mean(name, SAMPLERS)} Samplers: {', '.join(SAMPLERS)}"
        raise UsageError(message) from None


def make_scheduler(name: str, base_config: Mapping[str, Any], steps: int) -> Any:
    """A scheduler with its timesteps set, on the CPU, as `editing.run` takes it.

    base_config: the model's own scheduler config. Raises UsageError for an unknown name or a step count outside
    1 .. num_train_timesteps - 1, ModelError for a model that predicts neither noise nor velocity. A model with
    EDM noise levels (CosXL) works with `euler` alone, and needs 2 steps or more: UsageError otherwise.
    """
    sampler = find_sampler(name)
    if is_edm(base_config):
        return _make_edm(name, base_config, steps)
    config = {key: base_config[key] for key in _NOISE_KEYS if key in base_config}
    _check_prediction(config)
    train_steps = int(config.get("num_train_timesteps", 1000))
    # At num_train_timesteps rounding repeats a timestep, and the multistep solvers divide by zero.
    if not 1 <= steps < train_steps:
        raise UsageError(f"steps must be between 1 and {train_steps - 1}, not {steps}")
    scheduler = sampler.build({**config, "timestep_spacing": _spacing(sampler, base_config, steps)})
    scheduler.set_timesteps(steps)
    _drop_surplus_timestep(scheduler, steps)
    scheduler.set_begin_index(0)
    return scheduler


def _make_edm(name: str, base_config: Mapping[str, Any], steps: int) -> Any:
    from diffusers import EDMEulerScheduler

    if name != "euler":
        raise UsageError(f"sampler {name} does not work with this model, whose noise levels are EDM's; use euler")
    train_steps = int(base_config.get("num_train_timesteps", 1000))
    # One step would start at sigma_min, where there is no noise to turn into a picture.
    if not 2 <= steps < train_steps:
        raise UsageError(f"steps must be between 2 and {train_steps - 1} with this model, not {steps}")
    config = {key: base_config[key] for key in _EDM_KEYS if key in base_config}
    _check_prediction(config)
    scheduler = EDMEulerScheduler(**config)
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    return scheduler


def _check_prediction(config: Mapping[str, Any]) -> None:
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction"):
        raise ModelError(f"the model predicts {prediction!r}; ip2p samples models that predict epsilon or v_prediction")
    if prediction == "epsilon" and config.get("rescale_betas_zero_snr"):
        # At zero signal the noise is all there is to see, so its prediction says nothing about the picture.
        raise ModelError("the model's scheduler config joins epsilon with rescale_betas_zero_snr; use v_prediction")


def _spacing(sampler: Sampler, base_config: Mapping[str, Any], steps: int) -> Spacing:
    # With zero terminal SNR the first step must be the last timestep itself (arXiv:2305.08891).
    wants_trailing = base_config.get("rescale_betas_zero_snr") or base_config.get("timestep_spacing") == "trailing"
    # One step of linspace would be t = 0 alone, where there is nothing to denoise.
    return "trailing" if wants_trailing or steps == 1 else sampler.spacing


def _drop_surplus_timestep(scheduler: Any, steps: int) -> None:
    """Undo a rounding slip of diffusers' trailing spacing: at 61, 103, 121 ... steps it appends t = -1."""
    import torch

    if len(scheduler.timesteps) == steps:
        return
    scheduler.timesteps = scheduler.timesteps[:steps]
    scheduler.sigmas = torch.cat([scheduler.sigmas[:steps], scheduler.sigmas[-1:]])
    scheduler.num_inference_steps = steps
