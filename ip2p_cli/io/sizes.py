"""The size at which a model sees a photo: scaled, never stretched, and padded to the model's grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ip2p_cli.errors import UsageError

MIN_RESOLUTION = 64
MAX_RESOLUTION = 4096
# Longer side / resolution. A panorama beyond it is made smaller, so that memory stays bounded.
MAX_STRETCH = 4


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a photo becomes a model's picture: scaled to `resized`, then padded evenly to `padded` (width, height)."""

    resized: tuple[int, int]
    padded: tuple[int, int]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Where the photo lies in the padded picture: left, top, right, bottom."""
        (width, height), (padded_width, padded_height) = self.resized, self.padded
        left, top = (padded_width - width) // 2, (padded_height - height) // 2
        return left, top, left + width, top + height


def check_resolution(value: object) -> int:
    """Give `value` back if it can be a resolution; otherwise say what can."""
    # bool is an int to Python, but `resolution: true` in a recipe is a mistake.
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"resolution {value!r} is not a whole number of pixels: use for example 512")
    if not MIN_RESOLUTION <= value <= MAX_RESOLUTION:
        raise UsageError(
            f"resolution {value} is out of range: use {MIN_RESOLUTION} to {MAX_RESOLUTION} pixels, for example 512"
        )
    return value


def model_size(width: int, height: int, *, resolution: int, multiple: int) -> Fit:
    """Fit a photo of `width` x `height` to a model.

    The shorter side becomes `resolution`; where that would make the longer side more than `MAX_STRETCH` times as
    long, the longer side becomes that and the shorter one follows. What is missing to `multiple` is padding.
    """
    if width < 1 or height < 1 or multiple < 1:
        raise ValueError(f"no size: {width} x {height}, multiple {multiple}")
    resolution = check_resolution(resolution)
    shorter, longer = min(width, height), max(width, height)
    if longer <= MAX_STRETCH * shorter:
        new_shorter, new_longer = resolution, _scaled(longer, resolution, shorter)
    else:
        new_longer = MAX_STRETCH * resolution
        new_shorter = max(1, _scaled(shorter, new_longer, longer))
    resized = (new_shorter, new_longer) if width <= height else (new_longer, new_shorter)
    padded_width, padded_height = (-(-side // multiple) * multiple for side in resized)
    return Fit(resized=resized, padded=(padded_width, padded_height))


def to_model(image: Image.Image, fit: Fit) -> Image.Image:
    """Scale and pad a picture (RGB or one 8-bit channel) to `fit.padded`."""
    if image.size != fit.resized:
        image = image.resize(fit.resized, Image.Resampling.LANCZOS)
    if fit.padded == fit.resized:
        return image
    left, top, right, bottom = fit.box
    pixels = _pad(np.asarray(image), 0, top, fit.padded[1] - bottom)
    return Image.fromarray(_pad(pixels, 1, left, fit.padded[0] - right))


def from_model(image: Image.Image, fit: Fit) -> Image.Image:
    """Undo the padding of `to_model`: the part of a model's picture that shows the photo, `fit.resized` in size."""
    if image.size != fit.padded:
        raise ValueError(f"the picture is {image.size}, the fit is for {fit.padded}")
    return image.crop(fit.box)


def _scaled(side: int, numerator: int, denominator: int) -> int:
    """Round side * numerator / denominator half up, in whole numbers: no float can tip a pixel."""
    return (2 * side * numerator + denominator) // (2 * denominator)


def _pad(pixels: np.ndarray, axis: int, before: int, after: int) -> np.ndarray:
    """Continue the picture along one axis: mirrored, which keeps texture, or its edge where it is too narrow."""
    if before == after == 0:
        return pixels
    widths = [(0, 0)] * pixels.ndim
    widths[axis] = (before, after)
    mirrored = max(before, after) < pixels.shape[axis]
    return np.pad(pixels, widths, mode="reflect" if mirrored else "edge")
