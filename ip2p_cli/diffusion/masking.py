"""Holding a part of the latents to a photo while the rest is sampled: after a step, z = M z + (1 - M) noised(photo)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from ip2p_cli.diffusion.latents import SampledLatent

_LAST = 10  # the last tenth of the steps


@dataclass(frozen=True, kw_only=True, eq=False)
class Hold:
    """What is held in a batch.

    Attributes:
        free: Cells of the latents that may change, (N, 1, h, w), bool.
        only_last: For each item, whether the others are held in the last tenth of the steps only.
    """

    free: torch.Tensor
    only_last: Sequence[bool]

    def keep(self, photo: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
        """Put the photo's latents (N, C, h, w) back where nothing may change."""
        return torch.where(self.free.to(latent.device), latent, photo.to(latent))


def free_cells(pixels: torch.Tensor, factor: int) -> torch.Tensor:
    """Return the cells (1, h, w) of the latents in which any of `factor` x `factor` pixels (H, W) may change."""
    return F.max_pool2d(pixels[None].float(), factor) > 0


def mixed(latent: torch.Tensor, photo: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mix latents (1, C, h, w) with those of the photo as a soft mask (H, W) in [0, 1] says."""
    share = F.adaptive_avg_pool2d(mask[None, None].to(latent), (latent.shape[-2], latent.shape[-1]))
    return share * latent + (1 - share) * photo.to(latent)


def hold_after_step(
    scheduler: Any, photo: SampledLatent, noise: torch.Tensor, hold: Hold
) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """Return an `after_step` for `editing.run`.

    Args:
        scheduler: The one that samples.
        photo: The photo's latents (N, C, h, w).
        noise: The noise that sampling starts from (N, C, h, w), standard normal.
        hold: What is held.

    Returns:
        A function that puts the photo, with the noise of the next timestep, where nothing may change; after the last
        step without noise.
    """
    steps = len(scheduler.timesteps)
    only_last = torch.tensor(list(hold.only_last), device=noise.device)[:, None, None, None]
    free = hold.free.to(noise.device)

    def after_step(latent: torch.Tensor, done: int) -> torch.Tensor:
        is_last = done * _LAST > steps * (_LAST - 1)
        if not is_last and all(hold.only_last):
            return latent
        held = photo.tensor.to(latent)
        if done < steps:
            # After a step diffusers' schedulers take the noise level that this step led to.
            held = scheduler.add_noise(held, noise.to(latent), scheduler.timesteps[done : done + 1].expand(len(held)))
        return torch.where(free if is_last else free | only_last, latent, held)

    return after_step
