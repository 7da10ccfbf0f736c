"""Euler ancestral sampling as the paper's authors ran it: k-diffusion's sampler on the model's own noise levels.

diffusers' Euler ancestral interpolates sigma between two timesteps, k-diffusion its logarithm, so a seed gives another
picture. Formulas are k-diffusion's; notation is that of Karras et al. (arXiv:2206.00364).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

# alphas_cumprod of a model with zero terminal SNR, as in diffusers: sigma stays finite (4096).
_LEAST_ALPHA = 2.0**-24


def ancestral_step(sigma_from: float, sigma_to: float) -> tuple[float, float]:
    """Split a step between noise levels into (sigma_down, sigma_up), as k-diffusion does with eta = 1.

    The step leads down to sigma_down; then noise of sigma_up is added.
    """
    sigma_up = min(sigma_to, (sigma_to**2 * (sigma_from**2 - sigma_to**2) / sigma_from**2) ** 0.5)
    sigma_down = (sigma_to**2 - sigma_up**2) ** 0.5
    return sigma_down, sigma_up


def denoised_sample(output: torch.Tensor, sample: torch.Tensor, sigma: float, prediction_type: str) -> torch.Tensor:
    """D(x; sigma), the predicted picture without noise, from a prediction of the noise ("epsilon") or the velocity."""
    if prediction_type == "epsilon":
        return sample - sigma * output
    denoised: torch.Tensor = sample / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5
    return denoised


class KEulerAncestral:
    """A scheduler for `editing.run` with x = x_0 + sigma noise; can be used once.

    After `set_timesteps`, `timesteps` holds the n times of the model calls, not always whole numbers, and `sigmas`
    n + 1 noise levels, the last of them 0; both float32.
    """

    order = 1

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Read the noise levels from a model's scheduler config, in diffusers' names."""
        from diffusers import EulerAncestralDiscreteScheduler

        self.prediction_type = str(config.get("prediction_type", "epsilon"))
        alphas = EulerAncestralDiscreteScheduler(**config).alphas_cumprod.double().clamp_min(_LEAST_ALPHA)
        self._log_sigmas = ((1 - alphas) / alphas).sqrt().log()
        self.timesteps = torch.empty(0)
        self.sigmas = torch.empty(0)
        self._index = 0

    def set_timesteps(self, steps: int, device: torch.device | str | None = None) -> None:
        """Space n times evenly from the last to 0, followed by a noise level of 0 (k-diffusion's `get_sigmas`)."""
        times = torch.linspace(len(self._log_sigmas) - 1, 0, steps, dtype=torch.float64)
        sigmas = self.t_to_sigma(times)
        self.timesteps = self.sigma_to_t(sigmas).float().to(device)
        self.sigmas = torch.cat([sigmas, sigmas.new_zeros(1)]).float()
        self._index = 0

    def set_begin_index(self, index: int) -> None:
        """Start with the step `index`, from 0."""
        self._index = index

    @property
    def init_noise_sigma(self) -> float:
        """Factor of standard normal noise at the start."""
        return float(self.sigmas[0])

    def add_noise(self, original: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Latents (N, C, h, w) with the noise of the step to start with; `timesteps` is ignored."""
        return original + float(self.sigmas[self._index]) * noise

    def t_to_sigma(self, times: torch.Tensor) -> torch.Tensor:
        """Noise levels at times (n,) in 0 .. T - 1; log sigma is linear between whole times."""
        low = times.floor().long()
        between = times - low
        high = times.ceil().long()
        logs: torch.Tensor = (1 - between) * self._log_sigmas[low] + between * self._log_sigmas[high]
        return logs.exp()

    def sigma_to_t(self, sigmas: torch.Tensor) -> torch.Tensor:
        """The inverse of `t_to_sigma`; beyond the model's noise levels, its first or last time."""
        logs = sigmas.log()
        low = (torch.searchsorted(self._log_sigmas, logs, right=True) - 1).clamp(0, len(self._log_sigmas) - 2)
        between = (logs - self._log_sigmas[low]) / (self._log_sigmas[low + 1] - self._log_sigmas[low])
        times: torch.Tensor = low + between.clamp(0, 1)
        return times

    def scale_model_input(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The sample with variance one, which the model expects: x / sqrt(sigma^2 + 1)."""
        scaled: torch.Tensor = sample / (float(self.sigmas[self._index]) ** 2 + 1) ** 0.5
        return scaled

    def step(
        self,
        model_output: torch.Tensor,
        timestep: torch.Tensor,
        sample: torch.Tensor,
        generator: list[torch.Generator] | None = None,
        return_dict: bool = False,
    ) -> tuple[torch.Tensor]:
        """The next sample (N, C, h, w): an Euler step to sigma_down, then new noise of sigma_up.

        Args:
            model_output: The model's prediction.
            timestep: Ignored; steps come in order.
            sample: The sample now.
            generator: A CPU generator for each item.
            return_dict: Ignored.
        """
        sigma, next_sigma = (float(level) for level in self.sigmas[self._index : self._index + 2])
        self._index += 1
        sigma_down, sigma_up = ancestral_step(sigma, next_sigma)
        # dx/dsigma = (x - D(x; sigma)) / sigma: eq. 3 of arXiv:2206.00364 with sigma(t) = t.
        derivative = (sample - denoised_sample(model_output, sample, sigma, self.prediction_type)) / sigma
        sample = sample + derivative * (sigma_down - sigma)
        if next_sigma > 0:
            from diffusers.utils.torch_utils import randn_tensor

            sample = sample + sigma_up * randn_tensor(sample.shape, generator, sample.device, sample.dtype)
        return (sample,)
