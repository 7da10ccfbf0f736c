"""nano's UNet: it computes how the photo changes, so that what an instruction leaves alone stays as it is."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor

NOISE_KEYS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


def cumulative_alphas(config: Any) -> Tensor:
    """Return the cumulative alphas (T,) of a scheduler's config, rescaled to zero terminal SNR if it says so."""
    alphas: Tensor = DDIMScheduler(**{key: config[key] for key in NOISE_KEYS if key in config}).alphas_cumprod
    return alphas


class ResidualUNet(UNet2DConditionModel):  # type: ignore[misc]  # diffusers ships no types
    """A UNet2DConditionModel whose layers compute x_0 - c, the change of the photo's latent c, the image condition.

    The output is the velocity that belongs to x_0 = c + change, so that every v-prediction sampler can use it:
    v = (sqrt(a) x_t - x_0) / sqrt(1 - a) (arXiv:2202.00512, section 4), with the cumulative alphas a of
    `noise_schedule`, a scheduler's config, in the config. Where the layers compute 0, the photo is not changed.
    """

    _alphas: Tensor | None = None

    def forward(
        self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, return_dict: bool = True, **inputs: Any
    ) -> Any:
        """Predict the velocity (N, C, h, w).

        Args:
            sample: (N, 2 C, h, w): x_t, and the image condition.
            timestep: A scalar or (N,).
            encoder_hidden_states: (N, L, D).
            return_dict: Return an object with the attribute `sample`, not a tuple.
            inputs: Further arguments of UNet2DConditionModel.
        """
        change = super().forward(sample, timestep, encoder_hidden_states, return_dict=False, **inputs)[0].float()
        noisy, photo = sample.float().chunk(2, dim=1)
        a = self._alpha_at(torch.as_tensor(timestep, device=sample.device)).view(-1, 1, 1, 1)
        # At the first timesteps there is hardly any noise to tell the velocity by.
        velocity = (a.sqrt() * noisy - photo - change) / (1 - a).sqrt().clamp_min(1e-2)
        output = velocity.to(sample.dtype)
        return UNet2DConditionOutput(sample=output) if return_dict else (output,)

    def _alpha_at(self, timestep: Tensor) -> Tensor:
        """The cumulative alphas at timesteps, interpolated between whole ones."""
        if self._alphas is None or self._alphas.device != timestep.device:
            self._alphas = cumulative_alphas(self.config["noise_schedule"]).to(timestep.device)
        t = timestep.float().clamp(0, len(self._alphas) - 1)
        low = t.floor().long()
        high = (low + 1).clamp_max(len(self._alphas) - 1)
        return torch.lerp(self._alphas[low], self._alphas[high], t - low)
