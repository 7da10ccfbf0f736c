"""The automatic mask: where the model itself would edit a photo, brought to the photo's size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ip2p_cli.diffusion.relevance import where_relevant
from ip2p_cli.editing.guided_filter import MOST, refined, small_pixels
from ip2p_cli.editing.model_size import cut
from ip2p_cli.io.sizes import Fit
from ip2p_cli.looks.base import Plane
from ip2p_cli.looks.tones import f32

AUTO_VERSION = 1  # of how it is made: results that were made with another one count as made otherwise


@dataclass(frozen=True, kw_only=True)
class AutoMask:
    """Where a model would edit a photo.

    Attributes:
        mask: White where it would, mode L, at the photo's size; None for a global edit.
        heat: How much it would, likewise.
    """

    mask: Image.Image | None
    heat: Image.Image


def auto_mask(difference: Tensor, photo: Image.Image, fit: Fit) -> AutoMask:
    """Make the automatic mask.

    Args:
        difference: From `diffusion.relevance.relevance`, (h, w) in latents.
        photo: The photo.
        fit: How the photo became the model's picture.
    """
    guide = small_pixels(photo, MOST)
    size = guide.shape[1], guide.shape[0]
    values = _over(difference / difference.max().clamp_min(1e-9), photo.size, size, fit)
    heat = Image.fromarray((values * 255).astype(np.uint8)).resize(photo.size, Image.Resampling.BILINEAR)
    where = where_relevant(difference)
    if where is None:
        return AutoMask(mask=None, heat=heat)
    rough = _over(where.float(), photo.size, size, fit)
    cell = max(1, round(max(rough.shape) / max(difference.shape)))  # the border is as uncertain as a cell is large
    return AutoMask(mask=refined(rough, guide, photo, radius=2 * cell, reach=cell), heat=heat)


def _over(values: Tensor, photo: tuple[int, int], size: tuple[int, int], fit: Fit) -> Plane:
    """Values in latents as a plane over the photo made small; beyond what the model saw they go on as at its border.

    photo, size: (width, height) of the photo, and of the plane.
    """
    padded = F.interpolate(values[None, None], fit.padded[::-1], mode="bilinear")[0]
    seen = np.ascontiguousarray(cut(padded, fit)[0].numpy())
    if fit.seen is None:
        return f32(cv2.resize(seen, size, interpolation=cv2.INTER_LINEAR))
    width, height = size
    across, down = width / photo[0], height / photo[1]
    left, top, right, bottom = (
        round(at * scale) for at, scale in zip(fit.seen, (across, down, across, down), strict=True)
    )
    part = cv2.resize(seen, (max(1, right - left), max(1, bottom - top)), interpolation=cv2.INTER_LINEAR)
    below, after = max(0, height - top - part.shape[0]), max(0, width - left - part.shape[1])
    wide = cv2.copyMakeBorder(part, top, below, left, after, cv2.BORDER_REPLICATE)
    return f32(wide[:height, :width])
