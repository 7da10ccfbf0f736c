"""The size at which a model sees a photo: scaled with its proportions kept, then padded or cropped to the model's grid.

Where a resize mode crops, `Fit.seen` is the part of the photo that the model sees; `diffusion.detail` continues the
edit's colour models over the margin around it, so that the result has the photo's size and no seam.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import numpy as np
from PIL import Image

from ip2p_cli.errors import UsageError
from ip2p_cli.suggest import did_you_mean
from ip2p_cli.types import ResizeMode, ResolvedEditSettings

MIN_RESOLUTION = 64
MAX_RESOLUTION = 4096
# Longer side / resolution. A longer panorama is made smaller, or refused, so that memory stays bounded.
MAX_STRETCH = 4


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a photo becomes a model's picture: its part `seen` is scaled to `resized`, then padded evenly to `padded`.

    Attributes:
        resized: (width, height) in the model's pixels.
        padded: (width, height) in the model's pixels; after a crop the same as `resized`.
        seen: Left, top, right, bottom in the photo's pixels, not always whole ones; None for the whole photo.
    """

    resized: tuple[int, int]
    padded: tuple[int, int]
    seen: tuple[float, float, float, float] | None = None

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The seen part in the padded picture: left, top, right, bottom."""
        (width, height), (padded_width, padded_height) = self.resized, self.padded
        left, top = (padded_width - width) // 2, (padded_height - height) // 2
        return left, top, left + width, top + height


def check_resolution(value: object) -> int:
    """Return `value` if it can be a resolution.

    Raises:
        UsageError: It cannot; the message has the range.
    """
    # A bool is an int in Python, but `resolution: true` in a recipe is a mistake.
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"resolution {value!r} is not a whole number of pixels: use for example 512")
    if not MIN_RESOLUTION <= value <= MAX_RESOLUTION:
        raise UsageError(
            f"resolution {value} is out of range: use {MIN_RESOLUTION} to {MAX_RESOLUTION} pixels, for example 512"
        )
    return value


def check_resize_mode(value: object) -> ResizeMode:
    """Return `value` if it is a resize mode.

    Raises:
        UsageError: It is not; the message lists the modes.
    """
    modes: tuple[ResizeMode, ...] = get_args(ResizeMode)
    for mode in modes:
        if mode == value:
            return mode
    raise UsageError(f"unknown resize mode {value!r}.{did_you_mean(str(value), modes)} Use one of {', '.join(modes)}")


def model_size(width: int, height: int, *, resolution: int, multiple: int, mode: ResizeMode = "pad") -> Fit:
    """Fit a photo to a model.

    Args:
        width: The photo's width.
        height: The photo's height.
        resolution: The shorter side that the model sees, in pixels; in mode "original" about the longer side.
        multiple: The model takes sides that are multiples of this many pixels.
        mode: "pad" scales the shorter side to `resolution`, but the longer side to at most `MAX_STRETCH` times that,
            and pads to `multiple`. "crop" scales alike and cuts off what is more than a multiple, half on either
            side. "original" sizes and crops as the paper's authors do.

    Raises:
        UsageError: A mode that crops would leave nothing, or a picture longer than `MAX_STRETCH` times `resolution`.
    """
    if width < 1 or height < 1 or multiple < 1:
        raise ValueError(f"no size: {width} x {height}, multiple {multiple}")
    resolution = check_resolution(resolution)
    if mode == "original":
        size = _authors_size(width, height, resolution, multiple)
    else:
        resized = _bounded_size(width, height, resolution)
        if mode == "pad":
            padded_width, padded_height = (-(-side // multiple) * multiple for side in resized)
            return Fit(resized=resized, padded=(padded_width, padded_height))
        size = (resized[0] // multiple * multiple, resized[1] // multiple * multiple)
    if not 0 < min(size) <= max(size) <= MAX_STRETCH * resolution:
        raise UsageError(
            f"a photo of {width} x {height} cannot be cropped to {size[0]} x {size[1]}, as --resize-mode {mode} would "
            f"at --resolution {resolution} (sides are multiples of {multiple}): use --resize-mode pad"
        )
    return Fit(resized=size, padded=size, seen=_centre(width, height, size))


def fit_for(size: tuple[int, int], settings: ResolvedEditSettings, multiple: int) -> Fit:
    """Fit a photo of `size` (width, height) to a model with the settings' resolution and resize mode."""
    return model_size(*size, resolution=settings.resolution, multiple=multiple, mode=settings.resize_mode)


def _bounded_size(width: int, height: int, resolution: int) -> tuple[int, int]:
    """Scale the photo's shorter side to `resolution`, or its longer side to the bound."""
    shorter, longer = min(width, height), max(width, height)
    if longer <= MAX_STRETCH * shorter:
        new_shorter, new_longer = resolution, _scaled(longer, resolution, shorter)
    else:
        new_longer = MAX_STRETCH * resolution
        new_shorter = max(1, _scaled(shorter, new_longer, longer))
    return (new_shorter, new_longer) if width <= height else (new_longer, new_shorter)


def _authors_size(width: int, height: int, resolution: int, multiple: int) -> tuple[int, int]:
    """Compute the size as the authors' edit_cli.py does, there for 512 and 64.

    It uses floats as theirs does, so that a photo gets the same size. Where theirs rounds a side to 0 (64 / 49 * 49 <
    64), the side is one multiple.
    """
    factor = resolution / max(width, height)
    factor = math.ceil(min(width, height) * factor / multiple) * multiple / min(width, height)
    new_width, new_height = (max(1, int(side * factor // multiple)) * multiple for side in (width, height))
    return new_width, new_height


def _centre(width: int, height: int, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Return the largest centred part of a photo with the shape of `size`; None for the whole photo."""
    across, down = size[0] * height, size[1] * width
    if across == down:
        return None
    if across < down:  # the photo is the wider one
        margin = (width - across / size[1]) / 2
        return margin, 0.0, width - margin, float(height)
    margin = (height - down / size[0]) / 2
    return 0.0, margin, float(width), height - margin


def to_model(image: Image.Image, fit: Fit) -> Image.Image:
    """Crop, scale and pad a picture (RGB or one 8-bit channel) to `fit.padded`."""
    if image.size != fit.resized or fit.seen is not None:
        image = image.resize(fit.resized, Image.Resampling.LANCZOS, box=fit.seen)
    if fit.padded == fit.resized:
        return image
    left, top, right, bottom = fit.box
    pixels = _pad(np.asarray(image), 0, top, fit.padded[1] - bottom)
    return Image.fromarray(_pad(pixels, 1, left, fit.padded[0] - right))


def from_model(image: Image.Image, fit: Fit) -> Image.Image:
    """Remove the padding of `to_model` from a model's picture; the result has the size `fit.resized`."""
    if image.size != fit.padded:
        raise ValueError(f"the picture is {image.size}, the fit is for {fit.padded}")
    return image.crop(fit.box)


def _scaled(side: int, numerator: int, denominator: int) -> int:
    """Compute side * numerator / denominator in whole numbers, so that no float changes a pixel; half rounds up."""
    return (2 * side * numerator + denominator) // (2 * denominator)


def _pad(pixels: np.ndarray, axis: int, before: int, after: int) -> np.ndarray:
    """Continue a picture along one axis: mirrored, which keeps texture, or with its edge where it is too narrow."""
    if before == after == 0:
        return pixels
    widths = [(0, 0)] * pixels.ndim
    widths[axis] = (before, after)
    mirrored = max(before, after) < pixels.shape[axis]
    return np.pad(pixels, widths, mode="reflect" if mirrored else "edge")
