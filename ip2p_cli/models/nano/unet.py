"""nano's UNet: it computes how the photo changes, so that what an instruction leaves alone stays as it is."""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor, nn

NOISE_KEYS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


FEATURES = 6  # of each channel of the noise
_THRESHOLDS, _SLOPE = (-2.0, 0.0, 1.0, 1.5, 2.0, 2.5), 2.0


def cumulative_alphas(config: Any) -> Tensor:
    """Return the cumulative alphas (T,) of a scheduler's config, rescaled to zero terminal SNR if it says so."""
    alphas: Tensor = DDIMScheduler(**{key: config[key] for key in NOISE_KEYS if key in config}).alphas_cumprod
    return alphas


def places(rows: int, columns: int) -> Tensor:
    """Return where each cell of a latent lies in the picture, (2, rows, columns): its row and column in (-1, 1)."""
    y, x = ((torch.arange(count) + 0.5) / count * 2 - 1 for count in (rows, columns))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"))


def _resize(layer: nn.Conv2d, inputs: int, outputs: int) -> None:
    """Give a layer other numbers of channels, and new random weights."""
    layer.in_channels, layer.out_channels = inputs, outputs
    layer.weight = nn.Parameter(layer.weight.new_empty(outputs, inputs, *layer.kernel_size))
    layer.bias = nn.Parameter(layer.weight.new_empty(outputs))
    layer.reset_parameters()


class NoiseFeatures(nn.Module):
    """Features of the noise alone: whether a cell has a flake and where in it, which way streaks run, grain.

    There is no normalisation: what a look draws depends on how large the noise's values are. The features begin as each
    channel at six thresholds, in standard deviations, as looks put their marks where the noise exceeds a level.
    """

    def __init__(self, channels: int) -> None:
        """Make the layers for noise of `channels`; there are FEATURES of them for each."""
        super().__init__()
        width = FEATURES * channels
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.numbers = nn.Linear(channels, width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.third = nn.Conv2d(width, width, 3, padding=1)
        self.act = nn.SiLU()
        self.first.bias = nn.Parameter(-_SLOPE * torch.tensor(_THRESHOLDS).repeat(channels))
        with torch.no_grad():
            self.first.weight.mul_(0.2)
            self.numbers.weight.mul_(0.2)
            for channel in range(channels):
                rows = slice(FEATURES * channel, FEATURES * (channel + 1))
                self.first.weight[rows, channel, 1, 1] = _SLOPE

    def forward(self, noisy: Tensor) -> Tensor:
        """Compute the features (N, width, h, w) of noise (N, channels, h, w)."""
        mean = noisy.mean((2, 3), keepdim=True)
        first = self.act(self.first(noisy - mean) + self.numbers(mean.flatten(1))[..., None, None])
        second = self.act(self.second(first))
        return first + second + self.act(self.third(second))  # type: ignore[no-any-return]


class ResidualUNet(UNet2DConditionModel):  # type: ignore[misc]  # diffusers ships no types
    """A UNet2DConditionModel whose layers compute how the photo's latent c, the image condition, changes.

    They compute a gain and a shift for each value and gates for features of the noise, x_0 = c + gain c + shift +
    drawn(gates features): tones and colours are a gain, flakes and grain are features, and where all are 0 the photo
    is not changed. The output is the velocity that belongs to x_0, so that every v-prediction
    sampler can use it: v = (sqrt(a) x_t - x_0) / sqrt(1 - a) (arXiv:2202.00512, section 4), with the cumulative
    alphas a of `noise_schedule`, a scheduler's config, in the config.

    The layers also get the place of each cell in the picture and, where the config has `time_cond_proj_dim`, the mean
    of each of the noise's channels, which decides what a look chooses for the whole picture (`looks.base.Draw`).
    """

    _alphas: Tensor | None = None

    @wraps(UNet2DConditionModel.__init__)  # type: ignore[misc]  # diffusers reads the signature
    def __init__(self, *args: Any, **config: Any) -> None:
        """Make a UNet from a UNet2DConditionModel's config."""
        super().__init__(*args, **config)
        # The config keeps the channels that a caller sees.
        _resize(self.conv_in, self.conv_in.in_channels + 2, self.conv_in.out_channels)
        channels: int = self.conv_out.out_channels
        self.noise_features = NoiseFeatures(channels)
        self.drawn = nn.Conv2d(FEATURES * channels, channels, 1, bias=False)
        _resize(self.conv_out, self.conv_out.in_channels, (2 + FEATURES) * channels)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        return_dict: bool = True,
        cells: Tensor | None = None,
        **inputs: Any,
    ) -> Any:
        """Predict the velocity (N, C, h, w).

        Args:
            sample: (N, 2 C, h, w): x_t, and the image condition.
            timestep: A scalar or (N,).
            encoder_hidden_states: (N, L, D).
            return_dict: Return an object with the attribute `sample`, not a tuple.
            cells: (N, 2, h, w): the places of the latent's cells, for a crop of a picture; see `places`.
            inputs: Further arguments of UNet2DConditionModel.
        """
        if cells is None:
            cells = places(*sample.shape[-2:]).expand(len(sample), -1, -1, -1)
        noisy, photo = sample.float().chunk(2, dim=1)
        if self.config["time_cond_proj_dim"]:
            inputs["timestep_cond"] = noisy.mean((2, 3)).to(sample.dtype)
        layers = super().forward(
            torch.cat([sample, cells.to(sample)], dim=1), timestep, encoder_hidden_states, return_dict=False, **inputs
        )
        channels = photo.shape[1]
        gain, shift, gates = layers[0].split([channels, channels, FEATURES * channels], dim=1)
        drawn = self.drawn(gates * self.noise_features(noisy.to(sample.dtype)))
        change = gain.float() * photo + shift.float() + drawn.float()
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
