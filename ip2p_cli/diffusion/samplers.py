"""Samplers by name: diffusers schedulers and ip2p's own, set up to work with every model that ip2p loads.

Importing this module imports neither torch nor diffusers, so that the command line can list the names.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ip2p_cli.errors import ModelError, UsageError
from ip2p_cli.models.sdxl import is_edm
from ip2p_cli.suggest import did_you_mean

Spacing = Literal["linspace", "trailing"]

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


# Modules with samplers that diffusers does not have in this form.
OWN: Mapping[str, str] = {
    "KEulerAncestral": "ip2p_cli.diffusion.kdiffusion",
    "LCM": "ip2p_cli.diffusion.consistency",
    "TCD": "ip2p_cli.diffusion.consistency",
}


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A sampler.

    Attributes:
        description: One line for users.
        scheduler: Its class in diffusers, or in a module of `OWN`.
        options: Further arguments of the class.
        spacing: The spacing of timesteps where the model's config has none.
        stochastic: Whether its steps draw noise, from a generator for each item.
        keys: Keys of a model's scheduler config that describe the noise that the model was trained on.
        most_steps: The most steps that it can take, where that is fewer than the model's timesteps.
    """

    description: str
    scheduler: str
    options: Mapping[str, Any] = field(default_factory=dict)
    spacing: Spacing = "linspace"
    stochastic: bool = False
    keys: tuple[str, ...] = _NOISE_KEYS
    most_steps: int | None = None

    def check_steps(self, steps: int) -> None:
        """Raise UsageError for more steps than it can take."""
        if self.most_steps is not None and steps > self.most_steps:
            raise UsageError(
                f"steps {steps} are too many for this sampler, which is for few: at most {self.most_steps}, usually 4"
            )

    def build(self, config: Mapping[str, Any]) -> Any:
        """Make the scheduler for a model with this scheduler config."""
        if self.scheduler in OWN:
            return getattr(importlib.import_module(OWN[self.scheduler]), self.scheduler)(config)
        import diffusers

        return getattr(diffusers, self.scheduler)(**config, **self.options)


SAMPLERS: Mapping[str, Sampler] = {
    "euler_a": Sampler(
        description="Euler ancestral, the paper's: fresh noise at every step; wants many steps (100 in the paper)",
        scheduler="EulerAncestralDiscreteScheduler",
        stochastic=True,
    ),
    "euler_a_original": Sampler(
        description="Euler ancestral exactly as the paper's authors ran it (k-diffusion, 100 steps): for comparisons",
        scheduler="KEulerAncestral",
        stochastic=True,
    ),
    "ddim": Sampler(
        description="DDIM: deterministic, first order, steady at few steps",
        # DPM-Solver++ of order one is DDIM (arXiv:2211.01095). DDIMScheduler itself takes t - 1000 // steps as the next
        # noise level, which is not the next timestep unless steps divides 1000: with an exact model, a spread of 0.5
        # became 0.576 at 400 steps, and noise of 0.03 stayed at the end.
        scheduler="DPMSolverMultistepScheduler",
        options={"solver_order": 1},
        spacing="trailing",
    ),
    "dpmpp_2m": Sampler(
        description="DPM-Solver++ 2M: deterministic, second order, good from about 15 steps",
        scheduler="DPMSolverMultistepScheduler",
        options={"solver_order": 2},
    ),
    "unipc": Sampler(
        description="UniPC: deterministic predictor-corrector of second order, good from about 10 steps",
        scheduler="UniPCMultistepScheduler",
    ),
    "euler": Sampler(
        description="Euler: deterministic, first order, on the same noise levels as euler_a",
        scheduler="EulerDiscreteScheduler",
    ),
    "lcm": Sampler(
        description="LCM: 2 to 8 steps, for models that were distilled to it, such as by an LCM-LoRA: --preset turbo",
        scheduler="LCM",
        stochastic=True,
        most_steps=50,
    ),
    "tcd": Sampler(
        description="TCD: as lcm, with less fresh noise, for models that were distilled to it, such as by a TCD-LoRA",
        scheduler="TCD",
        stochastic=True,
        most_steps=50,
    ),
}


_EDM_EULER = Sampler(description="Euler on EDM's noise levels", scheduler="EDMEulerScheduler", keys=_EDM_KEYS)


def find_sampler(name: str) -> Sampler:
    """The sampler called `name`; raises UsageError where there is none."""
    try:
        return SAMPLERS[name]
    except KeyError:
        message = f"unknown sampler {name!r}.{did_you_mean(name, SAMPLERS)} Samplers: {', '.join(SAMPLERS)}"
        raise UsageError(message) from None


def make_scheduler(name: str, base_config: Mapping[str, Any], steps: int) -> Any:
    """Make a scheduler for `editing.run`, with its timesteps set, on the CPU.

    Args:
        name: The sampler's name. Models with EDM noise levels (CosXL) work with "euler" alone.
        base_config: The model's own scheduler config.
        steps: 1 (2 with EDM noise levels) to num_train_timesteps - 1.

    Raises:
        UsageError: The name or the number of steps is impossible.
        ModelError: The model predicts neither noise nor velocity.
    """
    sampler = find_sampler(name)
    if is_edm(base_config):
        if name != "euler":
            raise UsageError(f"sampler {name} does not work with this model, whose noise levels are EDM's; use euler")
        sampler = _EDM_EULER
    config = {
        key: base_config[key] for key in (_EDM_KEYS if sampler is _EDM_EULER else _NOISE_KEYS) if key in base_config
    }
    _check_prediction(config)
    _check_steps(steps, config, sampler)
    if sampler is not _EDM_EULER:
        config["timestep_spacing"] = _spacing(sampler, base_config, steps)
    scheduler = sampler.build(config)
    scheduler.set_timesteps(steps)
    _drop_surplus_timestep(scheduler, steps)
    scheduler.set_begin_index(0)
    return scheduler


def _check_steps(steps: int, config: Mapping[str, Any], sampler: Sampler) -> None:
    sampler.check_steps(steps)
    most = int(config.get("num_train_timesteps", 1000)) - 1
    # With EDM noise levels a single step would start at sigma_min, where there is no noise to denoise.
    if sampler is _EDM_EULER and not 2 <= steps <= most:
        raise UsageError(f"steps must be between 2 and {most} with this model, not {steps}")
    # At num_train_timesteps rounding repeats a timestep, and the multistep solvers divide by zero.
    if not 1 <= steps <= most:
        raise UsageError(f"steps must be between 1 and {most}, not {steps}")


def _check_prediction(config: Mapping[str, Any]) -> None:
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction"):
        raise ModelError(f"the model predicts {prediction!r}; ip2p samples models that predict epsilon or v_prediction")
    if prediction == "epsilon" and config.get("rescale_betas_zero_snr"):
        # At zero signal the latent is the noise itself, so predicting it tells nothing about the picture.
        raise ModelError("the model's scheduler config joins epsilon with rescale_betas_zero_snr; use v_prediction")


def _spacing(sampler: Sampler, base_config: Mapping[str, Any], steps: int) -> Spacing:
    # With zero terminal SNR sampling must start at the last timestep itself (arXiv:2305.08891, section 3.3).
    trailing = base_config.get("rescale_betas_zero_snr") or base_config.get("timestep_spacing") == "trailing"
    # One step of linspace would be t = 0 alone, where there is nothing to denoise.
    return "trailing" if trailing or steps == 1 else sampler.spacing


def _drop_surplus_timestep(scheduler: Any, steps: int) -> None:
    """Remove t = -1, which diffusers' trailing spacing appends at 61, 103, 121 ... steps by a rounding error."""
    import torch

    if len(scheduler.timesteps) == steps:
        return
    scheduler.timesteps = scheduler.timesteps[:steps]
    scheduler.sigmas = torch.cat([scheduler.sigmas[:steps], scheduler.sigmas[-1:]])
    scheduler.num_inference_steps = steps
