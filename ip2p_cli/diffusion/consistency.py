"""Samplers for models that were distilled to predict the picture in few steps: LCM and TCD.

They work with the weights that were distilled for them, such as a LoRA (arXiv:2311.05556), and give blurred pictures
with others. Formulas and timesteps are those of diffusers' LCMScheduler and TCDScheduler with their default options.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

# Distillation used this many timesteps, evenly spaced; sampling takes some of them.
DISTILLED_STEPS = 50
_TIME_SCALE, _DATA_SPREAD = 10.0, 0.5  # of LCM's boundary condition


class _Consistency(ABC):
    """A scheduler for `editing.run` with x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise; can be used once."""

    order = 1
    init_noise_sigma = 1.0

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Read the noise levels from a model's scheduler config, in diffusers' names."""
        from diffusers import DDIMScheduler

        self.prediction_type = str(config.get("prediction_type", "epsilon"))
        self._alphas = [float(alpha) for alpha in DDIMScheduler(**config).alphas_cumprod]
        self.timesteps = torch.empty(0, dtype=torch.long)
        self._index = 0

    def set_timesteps(self, steps: int, device: torch.device | str | None = None) -> None:
        """Choose timesteps from those of the distillation, evenly spaced from the last on."""
        count = min(DISTILLED_STEPS, len(self._alphas))
        distilled = np.arange(count, 0, -1) * (len(self._alphas) // count) - 1
        places = np.floor(np.linspace(0, count, num=steps, endpoint=False)).astype(np.int64)
        self.timesteps = torch.from_numpy(distilled[places]).to(device)
        self._index = 0

    def set_begin_index(self, index: int) -> None:
        """Start with the step `index`, from 0."""
        self._index = index

    def scale_model_input(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The sample as it is: it has variance one."""
        return sample

    def add_noise(self, original: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Latents (N, C, h, w) with the noise of N timesteps."""
        alphas = torch.tensor([self._alphas[int(time)] for time in timesteps]).to(original)[:, None, None, None]
        return alphas.sqrt() * original + (1 - alphas).sqrt() * noise

    def step(
        self,
        model_output: torch.Tensor,
        timestep: torch.Tensor,
        sample: torch.Tensor,
        generator: list[torch.Generator] | None = None,
        return_dict: bool = False,
    ) -> tuple[torch.Tensor]:
        """The next sample (N, C, h, w).

        Args:
            model_output: The model's prediction.
            timestep: Ignored; steps come in order.
            sample: The sample now.
            generator: A CPU generator for each item.
            return_dict: Ignored.
        """
        from diffusers.utils.torch_utils import randn_tensor

        times = self.timesteps.tolist()
        time = times[self._index]
        after = times[self._index + 1] if self._index + 1 < len(times) else None
        self._index += 1
        alpha = self._alphas[time]
        signal, spread = alpha**0.5, (1 - alpha) ** 0.5
        if self.prediction_type == "epsilon":
            picture, noise = (sample - spread * model_output) / signal, model_output
        else:
            picture, noise = signal * sample - spread * model_output, signal * model_output + spread * sample
        held, level = self._towards(picture, noise, sample, time, after)
        if after is None:
            return (held,)
        share = self._alphas[after] / level
        fresh = randn_tensor(sample.shape, generator, sample.device, sample.dtype)
        return (share**0.5 * held + (1 - share) ** 0.5 * fresh,)

    @abstractmethod
    def _towards(
        self, picture: torch.Tensor, noise: torch.Tensor, sample: torch.Tensor, time: int, after: int | None
    ) -> tuple[torch.Tensor, float]:
        """The latents before fresh noise is added, and their cumulative alpha.

        Args:
            picture: The predicted x_0.
            noise: The predicted noise.
            sample: The sample at `time`.
            time: The timestep now.
            after: The next timestep; None after the last step.
        """


class LCM(_Consistency):
    """Multistep consistency sampling (arXiv:2310.04378, algorithm 3): the predicted picture, and fresh noise."""

    def _towards(
        self, picture: torch.Tensor, noise: torch.Tensor, sample: torch.Tensor, time: int, after: int | None
    ) -> tuple[torch.Tensor, float]:
        scaled = time * _TIME_SCALE
        total = scaled**2 + _DATA_SPREAD**2
        return scaled / total**0.5 * picture + _DATA_SPREAD**2 / total * sample, 1.0


class TCD(_Consistency):
    """Strategic stochastic sampling (arXiv:2402.19159, algorithm 4): a step to less noise, and some of it back."""

    gamma = 0.3  # share of the way that is fresh noise: 0 is deterministic

    def _towards(
        self, picture: torch.Tensor, noise: torch.Tensor, sample: torch.Tensor, time: int, after: int | None
    ) -> tuple[torch.Tensor, float]:
        # diffusers computes the product in float32, as here: a rounding decides which timestep it is.
        least = int(torch.floor((1 - self.gamma) * torch.tensor(after or 0)))
        level = self._alphas[least]
        return level**0.5 * picture + (1 - level) ** 0.5 * noise, level
