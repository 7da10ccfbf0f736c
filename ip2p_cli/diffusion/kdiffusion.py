"""Euler ancestral as the paper's authors ran it: k-diffusion's sampler on the model's own noise levels.

diffusers' Euler ancestral interpolates sigma between two timesteps, k-diffusion its logarithm; the picture that a seed
gives differs. The formulas are those of k-diffusion (Karras et al., arXiv:2206.00364, for the notation).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

_MOST_NOISE = 2.0**-24  # alphas_cumprod of a model with zero terminal SNR, as in diffusers: sigma stays finite (4096)


class KEulerAncestral:
    """A scheduler for `editing.run`, used once: x = x_0 + sigma noise, stepped along dx/dsigma and noised afresh.

    config: a model's noise schedule (diffusers' names). After `set_timesteps`, `timesteps` holds the n times at
    which the model is asked, not always whole ones, and `sigmas` n + 1 noise levels, the last 0; both float32.
    """

    order = 1

    def __init__(self, config: Mapping[str, Any]) -> None:
        from diffusers import EulerAncestralDiscreteScheduler

        self.prediction_type = str(config.get("prediction_type", "epsilon"))
        alphas = EulerAncestralDiscreteScheduler(**config).alphas_cumprod.double().clamp_min(_MOST_NOISE)
        self._log_sigmas = ((1 - alphas) / alphas).sqrt().log()
        self.timesteps = torch.empty(0)
        self.sigmas = torch.empty(0)
        self._index = 0

    def set_timesteps(self, steps: int, device: torch.device | str | None = None) -> None:
        """`get_sigmas(n)`: n times from the last one down to 0, evenly, their sigmas, and a final 0."""
        times = torch.linspace(len(self._log_sigmas) - 1, 0, steps, dtype=torch.float64)
        sigmas = self.t_to_sigma(times)
        self.timesteps = self.sigma_to_t(sigmas).float().to(device)
        self.sigmas = torch.cat([sigmas, sigmas.new_zeros(1)]).float()
        self._index = 0

    def set_begin_index(self, index: int) -> None:
        """The step to begin with, 0 for the whole way."""
        self._index = index

    @property
    def init_noise_sigma(self) -> float:
        """What standard normal noise is multiplied with to begin."""
        return float(self.sigmas[0])

    def add_noise(self, original: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Latents (N, C, h, w) as they are before the step to begin with; timesteps: for the signature's sake."""
        return original + float(self.sigmas[self._index]) * noise

    def t_to_sigma(self, times: torch.Tensor) -> torch.Tensor:
        """Noise levels at times (n,) in 0 .. T - 1: log sigma is linear between whole times."""
        low = times.floor().long()
        between = times - low
        high = times.ceil().long()
        logs: torch.Tensor = (1 - between) * self._log_sigmas[low] + between * self._log_sigmas[high]
        return logs.exp()

    def sigma_to_t(self, sigmas: torch.Tensor) -> torch.Tensor:
        """The inverse of `t_to_sigma`; beyond the model's levels, its first or last time."""
        logs = sigmas.log()
        low = (torch.searchsorted(self._log_sigmas, logs, right=True) - 1).clamp(0, len(self._log_sigmas) - 2)
        between = (logs - self._log_sigmas[low]) / (self._log_sigmas[low + 1] - self._log_sigmas[low])
        times: torch.Tensor = low + between.clamp(0, 1)
        return times

    def scale_model_input(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The sample as the model knows it, of variance one: x / sqrt(sigma^2 + 1)."""
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
        """The next sample (N, C, h, w): down to a lower noise level than the next, then up to it with new noise.

        generator: one per item, on the CPU. timestep, return_dict: for the signature's sake; steps come in order.
        """
        sigma, after = (float(level) for level in self.sigmas[self._index : self._index + 2])
        self._index += 1
        up = min(after, (after**2 * (sigma**2 - after**2) / sigma**2) ** 0.5)
        down = (after**2 - up**2) ** 0.5
        noise_in_sample = (sample - self._denoised(model_output, sample, sigma)) / sigma
        sample = sample + noise_in_sample * (down - sigma)
        if after > 0:
            from diffusers.utils.torch_utils import randn_tensor

            sample = sample + up * randn_tensor(sample.shape, generator, sample.device, sample.dtype)
        return (sample,)

    def _denoised(self, output: torch.Tensor, sample: torch.Tensor, sigma: float) -> torch.Tensor:
        """x_0 as the model sees it, from its prediction of the noise or of the velocity."""
        if self.prediction_type == "epsilon":
            return sample - sigma * output
        denoised: torch.Tensor = sample / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5
        return denoised
