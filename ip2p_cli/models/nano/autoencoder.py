"""A patch autoencoder in closed form: the latent channels are principal components of small RGB patches.

The encoder is a strided convolution, the decoder its transpose; there is no gradient descent. Components are divided by
the square root of their standard deviations. Full whitening would turn the finest components into noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import cast

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor


class PatchAutoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers ships no types
    """A linear autoencoder of non-overlapping patches, with the interface of diffusers' `AutoencoderKL`.

    Pixels are (N, 3, H, W) in [-1, 1]; H and W are multiples of `patch_size`. Latents are (N, latent_channels,
    H / patch_size, W / patch_size), with a variance of about 1 over all channels.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, patch_size: int = 4, latent_channels: int = 16, scaling_factor: float = 1.0) -> None:
        """Make an autoencoder without weights, see `fit`; `scaling_factor` is 1 as latents have a variance of 1."""
        super().__init__()
        size = 3 * patch_size * patch_size
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("basis", torch.zeros(latent_channels, size))
        self.register_buffer("scale", torch.ones(latent_channels))

    @property
    def loss_weights(self) -> Tensor:
        """Weights (latent_channels,) of mean 1: the square root of a channel's share of the error in pixels."""
        weights = cast(Tensor, self.scale).clone()
        return weights / weights.mean()

    def _kernel(self, rows: Tensor) -> Tensor:
        p = self.config.patch_size
        return rows.reshape(-1, 3, p, p)

    def encode(self, pixels: Tensor) -> SimpleNamespace:
        """Encode `pixels`; the result's `latent_dist` has `mode()` and `sample()`, which are equal."""
        kernel = self._kernel(self.basis / self.scale[:, None])
        offset = -(self.basis / self.scale[:, None]) @ self.mean
        latents = F.conv2d(pixels, kernel, offset, stride=self.config.patch_size)
        exact = SimpleNamespace(mode=lambda: latents, sample=lambda generator=None: latents)
        return SimpleNamespace(latent_dist=exact)

    def decode(self, latents: Tensor) -> SimpleNamespace:
        """Decode `latents`; the result's `sample` has pixels (N, 3, H, W), not clipped."""
        p = self.config.patch_size
        kernel = self._kernel(self.basis * self.scale[:, None])
        pixels = F.conv_transpose2d(latents, kernel, stride=p)
        mean = self.mean.reshape(1, 3, p, p).repeat(1, 1, latents.shape[2], latents.shape[3])
        return SimpleNamespace(sample=pixels + mean)

    def fit(self, pictures: Iterable[Tensor]) -> PatchAutoencoder:
        """Set the weights to the eigenvectors of the patch covariance of `pictures`, each (3, H, W) in [-1, 1].

        Sums are in float64, so that the order of the pictures does not matter. Returns the autoencoder itself.
        """
        p, size = self.config.patch_size, cast(Tensor, self.mean).numel()
        total, outer, count = torch.zeros(size).double(), torch.zeros(size, size).double(), 0
        for picture in pictures:
            patches = F.unfold(picture[None], p, stride=p)[0].T.double()
            total += patches.sum(0)
            outer += patches.T @ patches
            count += len(patches)
        mean = total / count
        values, vectors = torch.linalg.eigh(outer / count - mean.outer(mean))
        keep = self.config.latent_channels
        std = values.flip(0)[:keep].clamp_min(1e-8).sqrt()
        # The sign of an eigenvector is arbitrary. Fix it, so that the same photos give the same weights.
        basis = vectors.flip(1)[:, :keep].T
        basis = basis * basis.sum(1).sign().where(basis.sum(1).abs() > 1e-6, torch.ones(keep).double())[:, None]
        # One common factor brings the mean variance of the channels to 1.
        scale = std.sqrt() * std.mean().sqrt()
        self.mean.copy_(mean)
        self.basis.copy_(basis)
        self.scale.copy_(scale)
        return self
