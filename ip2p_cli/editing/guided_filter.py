"""Masks brought to a photo's full size along the photo's own edges.

The guided filter with a colour guide (He, Sun and Tang, Guided Image Filtering, 2013): in each window the mask is a
linear function of the photo's colours. It is fitted at a small size and applied at the full one (He and Sun,
arXiv:1505.00996), so that memory stays bounded. Near its border a mask that was found roughly says little: there the
functions are fitted to what is further off.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from PIL import Image

from ip2p_cli.looks.base import Pixels, Plane
from ip2p_cli.looks.tones import f32

MOST = 1024  # longer side, in pixels, at which masks are found and fitted
_RIDGE = 4e-4  # a variance of colours in [0, 1]: differences far below 0.02 are no edges
_STRIP = 1 << 20  # pixels of the full size that are worked on at once
_LITTLE = 0.01  # the weight of uncertain pixels; not 0, since all of a window may be uncertain
_SURE = 0.12  # the filter leaves traces where the mask is 0 or 1: up to here it is exactly that
_Models = np.ndarray[Any, np.dtype[np.float32]]  # (h, w, 4): three slopes and an offset


def refined(mask: Plane, small: Pixels, full: Image.Image, *, radius: int, reach: int) -> Image.Image:
    """Fit a mask to a photo's edges, at the photo's size.

    Args:
        mask: (h, w) in [0, 1].
        small: The photo at the mask's size, (h, w, 3) in [0, 1].
        full: The photo.
        radius: Of the windows, in pixels of the mask; more than `reach`.
        reach: How far off the mask's border may be from the photo's edge that it belongs to; 0 for a mask that is
            right but for its softness.

    Returns:
        The mask, mode L, of the size of `full`.
    """
    models = _fit(mask, small, _certainty(mask, reach), radius)
    width, height = full.size
    result = np.empty((height, width), np.uint8)
    rows = max(1, _STRIP // width)
    for start in range(0, height, rows):
        strip = np.asarray(full.crop((0, start, width, min(start + rows, height))), np.float32) / 255
        wide = _resampled(models, width, height, start, len(strip))
        values = np.einsum("hwc,hwc->hw", wide[..., :3], strip)
        values += wide[..., 3] - _SURE
        values *= 255 / (1 - 2 * _SURE)
        values += 0.5
        result[start : start + rows] = np.clip(values, 0, 255, out=values).astype(np.uint8)
    return Image.fromarray(result)


def small_pixels(photo: Image.Image, longer: int, shorter: int | None = None) -> Pixels:
    """Return a photo as (h, w, 3) in [0, 1], made smaller where its longer or its shorter side is longer than that."""
    scale = min(1.0, longer / max(photo.size), 1.0 if shorter is None else shorter / min(photo.size))
    width, height = (max(1, round(side * scale)) for side in photo.size)
    small = photo if scale == 1 else photo.resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / np.float32(255)


def _certainty(mask: Plane, reach: int) -> Plane:
    """How much each pixel of a mask says: all of them much, but those near the border little."""
    if reach == 0:
        return np.ones_like(mask)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    white = (mask > 0.5).astype(np.uint8)
    is_near = cv2.dilate(white, disc) != cv2.erode(white, disc)
    return f32(np.where(is_near, _LITTLE, 1))


def _fit(mask: Plane, guide: Pixels, certainty: Plane, radius: int) -> _Models:
    """The linear models of the mask, averaged over the windows of each pixel."""
    weight = _mean(certainty, radius)

    def mean(planes: Any) -> Any:
        wide = planes.ndim == 3
        return _mean(planes * (certainty[..., None] if wide else certainty), radius) / (
            weight[..., None] if wide else weight
        )

    centre, level = mean(guide), mean(mask)
    products = guide[..., :, None] * guide[..., None, :]
    covariance = mean(products.reshape(*guide.shape[:2], 9)).reshape(products.shape)
    covariance = covariance - centre[..., :, None] * centre[..., None, :] + _RIDGE * np.eye(3, dtype=np.float32)
    shared = mean(guide * mask[..., None]) - centre * level[..., None]
    slopes = np.linalg.solve(covariance, shared[..., None])[..., 0]
    models = np.concatenate([slopes, (level - (slopes * centre).sum(-1))[..., None]], axis=-1).astype(np.float32)
    # Windows that are certain count for more.
    averaged: _Models = _mean(models * weight[..., None], radius) / _mean(weight, radius)[..., None]
    return averaged


def _mean(planes: Any, radius: int) -> Any:
    """Mean of planes (h, w) or (h, w, n) over square windows."""
    side = 2 * radius + 1
    return cv2.blur(planes, (side, side), borderType=cv2.BORDER_REFLECT)


def _resampled(models: _Models, width: int, height: int, start: int, count: int) -> _Models:
    """Rows `start` to `start + count` of the models, resampled linearly to `width` x `height`."""
    h, w = models.shape[:2]
    x = (np.arange(width, dtype=np.float32) + 0.5) * (w / width) - 0.5
    y = (np.arange(start, start + count, dtype=np.float32) + 0.5) * (h / height) - 0.5
    first = max(0, int(np.floor(y[0])))
    band = models[first : int(np.ceil(y[-1])) + 2]
    grid = np.broadcast_to(x, (count, width)), np.broadcast_to((y - first)[:, None], (count, width))
    wide: _Models = cv2.remap(
        band, np.ascontiguousarray(grid[0]), np.ascontiguousarray(grid[1]), cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
    )
    return wide
