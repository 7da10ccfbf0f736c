"""Masks as pictures: read, combined, grown, softened, brought to the model's size. White may change.

All functions are pure. A mask is a picture of mode L; once it belongs to a photo it has the photo's size, upright.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageChops, ImageFilter

from ip2p_cli.errors import InputError
from ip2p_cli.io.images import Picture
from ip2p_cli.io.mask_settings import box_in_pixels, length_in_pixels
from ip2p_cli.io.sizes import Fit, to_model
from ip2p_cli.types import MaskSettings

MAX_SHAPE_ERROR = 0.01  # a mask's width / height may differ from the photo's by this share
_STRIP = 1 << 24  # pixels that are reduced at once
Plane = np.ndarray[Any, np.dtype[np.uint8]]


def mask_from_picture(picture: Picture) -> Image.Image:
    """Return a picture as a mask: as white as it is, and black where it is transparent."""
    grey = picture.rgb.convert("L")
    if picture.alpha is None:
        return grey
    # Pictures are laid on white: that white is taken off again.
    return ImageChops.subtract(grey, ImageChops.invert(picture.alpha))


def make_mask(
    settings: MaskSettings,
    mask: Image.Image | None,
    size: tuple[int, int],
    name: str = "mask",
    found: Sequence[Image.Image] = (),
) -> Image.Image:
    """Combine what the settings say into one mask.

    Args:
        settings: Rectangles, inversion, growth and softness.
        mask: The mask's picture, of about the photo's shape; None without one.
        size: The photo's upright (width, height).
        name: What messages call the mask.
        found: Masks that were found in the photo, of `size`.

    Returns:
        The mask, mode L, of `size`.

    Raises:
        InputError: The mask has another shape, or nothing in it may change.
        UsageError: A rectangle lies outside the photo.
    """
    areas = [] if mask is None else [_at_size(mask, size, name)]
    areas += [*found]
    areas += [boxes_mask([box_in_pixels(box, size) for box in settings.box], size)] if settings.box else []
    if areas and settings.invert_mask:
        areas[0] = ImageChops.invert(areas[0])
    area = reduce(ImageChops.darker, areas, Image.new("L", size, 255))
    _check_white(area, f"{name}: nothing in it is white, so nothing may change: give another one, or --invert-mask")
    area = grown(area, length_in_pixels(settings.grow, size))
    area = feathered(area, length_in_pixels(settings.feather, size))
    _check_white(area, f"{name}: nothing is left of it after --grow {settings.grow}: shrink it less")
    return area


def boxes_mask(boxes: Sequence[tuple[int, int, int, int]], size: tuple[int, int]) -> Image.Image:
    """Return a mask that is white in any of some rectangles (left, top, right, bottom)."""
    mask = Image.new("L", size, 0)
    for box in boxes:
        mask.paste(255, box)
    return mask


def grown(mask: Image.Image, pixels: int) -> Image.Image:
    """Grow what is white by a regular octagon of this radius; shrink it by a negative one.

    What is beyond the borders counts neither as white nor as black.
    """
    if pixels < 0:
        return ImageChops.invert(grown(ImageChops.invert(mask), -pixels))
    if pixels == 0:
        return mask
    if pixels >= sum(mask.size):
        return Image.new("L", mask.size, mask.getextrema()[1])
    # An octagon is a square and a diamond, one after the other; a diamond is two diagonals.
    diagonal = int(0.2929 * pixels)
    straight, margin = pixels - 2 * diagonal, 2 * diagonal  # a way along diagonals may leave the picture so far
    values: Plane = np.pad(np.asarray(mask), margin)
    for step, reach in (((0, 1), straight), ((1, 0), straight), ((1, 1), diagonal), ((1, -1), diagonal)):
        values = _spread(values, step, reach)
    # Image.crop warns of 89 megapixels.
    return Image.fromarray(values[margin : margin + mask.height, margin : margin + mask.width])


def feathered(mask: Image.Image, pixels: int) -> Image.Image:
    """Soften the border of a mask over this many pixels to either side; what is further off stays exact."""
    # Three means in a row are nearly a Gaussian, and reach no further than the sum of their radii.
    for number in range(3):
        radius = (pixels + number) // 3
        mask = mask.filter(ImageFilter.BoxBlur(radius)) if radius > 0 else mask
    return mask


def may_change(mask: Image.Image, fit: Fit) -> torch.Tensor:
    """Return where the padded model-size picture may change, (H, W) bool: where any white touches its pixel."""
    left, top, right, bottom = fit.seen or (0.0, 0.0, *map(float, mask.size))
    values: Plane = np.asarray(mask)
    wide = np.empty((values.shape[0], fit.resized[0]), np.uint8)
    rows = max(1, _STRIP // values.shape[1])
    for start in range(0, len(values), rows):
        strip = slice(start, start + rows)
        wide[strip] = _most(values[strip].T, (left, right), fit.resized[0]).T
    small = Image.fromarray(np.ascontiguousarray(_most(wide, (top, bottom), fit.resized[1])))
    return torch.from_numpy(np.array(to_model(small, Fit(resized=fit.resized, padded=fit.padded)))) > 0


def at_model_size(mask: Image.Image, fit: Fit) -> Image.Image:
    """Return a mask for the unpadded model-size picture."""
    if fit.seen is None and mask.size == fit.resized:
        return mask
    return mask.resize(fit.resized, Image.Resampling.BILINEAR, box=fit.seen)


def softness(mask: Image.Image, fit: Fit) -> torch.Tensor:
    """Return how far the padded model-size picture may change, (H, W) in [0, 1]."""
    small = to_model(at_model_size(mask, fit), Fit(resized=fit.resized, padded=fit.padded))
    return torch.from_numpy(np.array(small)).float() / 255


def composite(edit: Image.Image, below: Image.Image, mask: Image.Image) -> Image.Image:
    """Lay an edit on a picture: where the mask is 0 the picture stays bit for bit, where it is 255 the edit does."""
    return Image.composite(edit, below, mask)


def _at_size(mask: Image.Image, size: tuple[int, int], name: str) -> Image.Image:
    if mask.size == size:
        return mask
    shape, wanted = mask.width / mask.height, size[0] / size[1]
    # A small mask cannot have the shape more exactly than its own pixels allow.
    allowed = max(MAX_SHAPE_ERROR, 0.5 / min(mask.size))
    if abs(shape / wanted - 1) > allowed:
        raise InputError(
            f"{name}: a mask of {mask.width} x {mask.height} does not fit the photo of {size[0]} x {size[1]}: "
            "make it of the same shape, upright"
        )
    return mask.resize(size, Image.Resampling.BILINEAR)


def _check_white(mask: Image.Image, message: str) -> None:
    if mask.getbbox() is None:
        raise InputError(message)


def _spread(values: Plane, step: tuple[int, int], reach: int) -> Plane:
    """The largest value within `reach` steps to either side, found by doubling."""
    for way in ((step[0], step[1]), (-step[0], -step[1])):
        done = 0
        while done < reach:
            jump = min(done + 1, reach - done)
            values = _larger_of_shifted(values, way[0] * jump, way[1] * jump)
            done += jump
    return values


def _larger_of_shifted(values: Plane, down: int, across: int) -> Plane:
    height, width = values.shape
    if abs(down) >= height or abs(across) >= width:
        return values
    result = values.copy()
    to = (slice(max(down, 0), height + min(down, 0)), slice(max(across, 0), width + min(across, 0)))
    of = (slice(max(-down, 0), height + min(-down, 0)), slice(max(-across, 0), width + min(-across, 0)))
    np.maximum(values[to], values[of], out=result[to])
    return result


def _most(values: Plane, ends: tuple[float, float], count: int) -> Plane:
    """The largest value of the rows (n, …) that each of `count` equal parts of the line between `ends` touches."""
    edges = np.linspace(ends[0], ends[1], count + 1)
    first = np.clip(np.floor(edges[:-1] + 1e-6).astype(int), 0, len(values) - 1)
    last = np.clip(np.ceil(edges[1:] - 1e-6).astype(int), first + 1, len(values))
    padded = np.concatenate([values, np.zeros_like(values[:1])])
    found: Plane = np.maximum.reduceat(padded, np.stack([first, last], axis=1).ravel(), axis=0)[::2]
    return found
