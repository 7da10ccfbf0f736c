"""Transfer of an edit from the model's size to the photo's own size.

Local affine colour models of the small photo are fitted to the edit, coarse to fine (the guided filter with a colour
guide: He, Sun and Tang, Guided Image Filtering, 2013), and applied to the full-size photo (the fast guided filter: He
and Sun, arXiv:1505.00996). What the models do not explain (new content, strokes, a blur) is the edit itself, upsampled:

    result = up(gain A) . full photo + up(edit without noise - gain A . small photo)

where A are the slopes of the models, and gain is the share of the photo's fine detail that the edit has kept. Where the
model saw only the middle of the photo, both terms are continued beyond its border by mirroring.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ip2p_cli.diffusion.upsampling import Box, ReadPart, apply_models, coloured_parts, square


@dataclass(frozen=True, kw_only=True)
class DetailSettings:
    """How the models are fitted. The defaults were measured (benchmarks/full_size.py).

    Attributes:
        windows: Sides of the fitting windows, coarse to fine, as fractions of the small photo's shorter side.
        ridge: Regularization of each model towards the next coarser one: a variance of colours in [0, 1].
        caution: A finer model is used where it explains more than this times what it would explain of white noise.
        smoothing: The unexplained part is kept where its variance exceeds this times the noise's.
        gain_window: Side of the window in which kept detail is measured, as a fraction of the shorter side.
        gain_none: Share of the photo's finest detail in the edit up to which no full-size detail is used.
        gain_full: Share from which all full-size detail is used.
        strip_pixels: Full-size pixels to work on at once.
    """

    windows: tuple[float, ...] = (2.0, 0.4, 0.13, 0.05, 0.02)
    ridge: float = 1e-3
    caution: float = 8.0
    smoothing: float = 2.3
    gain_window: float = 0.08
    gain_none: float = 0.3
    gain_full: float = 0.6
    strip_pixels: int = 1 << 19


DEFAULT = DetailSettings()

_SMALLEST_RADIUS = 2  # 25 samples for the 4 numbers of a model
_FINE_CELLS = 6  # least radius, in cells, of windows that are fitted on a coarser grid
_NOISE_FLOOR = 1e-7  # a variance too small to show in 8 bits
_TINY = 1e-9


def return_to_full_size(
    source_full: torch.Tensor,
    source_small: torch.Tensor,
    edited_small: torch.Tensor,
    *,
    seen: Box | None = None,
    settings: DetailSettings = DEFAULT,
) -> torch.Tensor:
    """Transfer an edit to the size of the photo. All sizes are allowed.

    Args:
        source_full: The photo (3, H, W), uint8 or float in [0, 1].
        source_small: The photo at the model's size (3, h, w), float in [0, 1]. Preferably encoded and decoded by the
            model's VAE: then the detail that the VAE loses is restored too.
        edited_small: The edit (3, h, w), float in [0, 1].
        seen: The part of `source_full` that the small pictures show: left, top, right, bottom in pixels, not always
            whole numbers; None for all of it.
        settings: How the models are fitted.

    Returns:
        The result (3, H, W), with the dtype and on the device of `source_full`.
    """
    if source_small.shape != edited_small.shape:
        raise ValueError(f"small photo {tuple(source_small.shape)} and its edit {tuple(edited_small.shape)} differ")
    slopes, offsets = fit(source_small.float(), edited_small.float(), settings)
    return apply_models(source_full, slopes, offsets, seen, settings.strip_pixels)


def full_size_parts(
    read: ReadPart,
    size: tuple[int, int],
    source_small: torch.Tensor,
    edited_small: torch.Tensor,
    *,
    seen: Box | None = None,
    settings: DetailSettings = DEFAULT,
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Do what `return_to_full_size` does, part by part.

    Args:
        read: Gives the part (3, H, W) of the photo in some rows and columns.
        size: The photo's (height, width).
        source_small: As there.
        edited_small: As there.
        seen: As there.
        settings: As there.

    Yields:
        Rows, columns, and the result there, (3, H, W).
    """
    slopes, offsets = fit(source_small.float(), edited_small.float(), settings)
    yield from coloured_parts(read, size, slopes, offsets, seen, settings.strip_pixels)


def fit(small: torch.Tensor, edited: torch.Tensor, settings: DetailSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit slopes (3 out, 3 in, h, w) and offsets (3, h, w) for the full-size photo."""
    shorter = min(small.shape[-2:])
    radii = sorted({max(_SMALLEST_RADIUS, round(shorter * side / 2)) for side in settings.windows}, reverse=True)
    windows = [_Window(small, radius, settings.ridge) for radius in radii]
    finest = windows[-1]

    _, rest = _explain([windows[0], finest], small, edited, 0.0)
    noise = _noise(edited, rest, finest)
    slopes, rest = _explain(windows, small, edited, settings.caution * noise)
    noise *= settings.smoothing

    # Wiener filter: the unexplained part is kept as far as it exceeds the noise.
    keep = (1 - noise / _power(rest, finest.radius).clamp_min(_TINY)).clamp(0, 1)
    clean = edited - (1 - keep) * rest

    slopes = slopes * _gain(small, edited, slopes, rest, noise, settings)
    return slopes, clean - _dot(slopes, small)


def _explain(
    windows: list[_Window], small: torch.Tensor, edited: torch.Tensor, noise: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit the windows one after the other: the sum of their slopes (3, 3, h, w) and the unexplained rest (3, h, w).

    Each window is fitted to the rest of the wider ones, so the ridge pulls it towards them. It is used as far as it
    explains more than it would explain of noise.
    """
    slopes = small.new_zeros(3, *small.shape)
    rest = edited
    for window in windows:
        step, level = window.fit(rest)
        remaining = rest - _dot(step, small) - level
        if window is not windows[0]:
            explained = _power(rest, window.radius) - _power(remaining, window.radius)
            keep = (1 - noise * window.freedom / explained.clamp_min(_TINY)).clamp(0, 1)
            keep = _mean(keep, window.radius)
            step, remaining = step * keep, rest + keep * (remaining - rest)
        slopes, rest = slopes + step, remaining
    return slopes, rest


def _noise(edited: torch.Tensor, rest: torch.Tensor, finest: _Window) -> float:
    """Variance of the edit's noise, estimated where the edit is smoothest."""
    unexplained = _power(rest, finest.radius) / (1 - finest.freedom)
    # A smooth part that no model explains is no noise. 1.5: the high pass and the VAE remove some of the noise.
    rough = 1.5 * _power(_fine(edited), finest.radius)
    variance = torch.minimum(unexplained, rough)
    unclipped = ((edited > 0.02) & (edited < 0.98)).all(0, keepdim=True)  # clipping hides noise
    if float(unclipped.float().mean()) > 0.5:  # otherwise only strokes and edges may be unclipped
        variance = variance[unclipped]
    # The 5 % quantile of a windowed variance of pure noise is about 1 / 1.4 of its mean.
    return max(1.4 * float(variance.flatten().quantile(0.05)), _NOISE_FLOOR)


def _gain(
    small: torch.Tensor,
    edited: torch.Tensor,
    slopes: torch.Tensor,
    rest: torch.Tensor,
    noise: float,
    settings: DetailSettings,
) -> torch.Tensor:
    """The share of full-size detail to use, (1, h, w) in [0, 1]: all after a change of colours, none after a blur.

    It follows from the finest detail at the model's size: how much of it is in the edit, and how much detail of the
    edit is not from the photo (strokes, new objects).
    """
    shorter = min(small.shape[-2:])
    predicted, actual = _dot(slopes, _fine(small)), _fine(edited)
    cross = (predicted * actual).mean(0, keepdim=True)
    power = (predicted**2).mean(0, keepdim=True)
    share = (cross.mean() + _TINY) / (power.mean() + _TINY)
    radius = 1
    prior = 3e-6  # where the photo is smooth, the wider neighbourhood counts
    for side in (4 * settings.gain_window, settings.gain_window):
        radius = max(1, round(shorter * side / 2))
        share = (_mean(cross, radius) + prior * share) / (_mean(power, radius) + prior)
    kept = ((share - settings.gain_none) / (settings.gain_full - settings.gain_none)).clamp(0, 1)
    new = (_power(rest, radius) - noise).clamp_min(0) / (_power(actual, radius) + _NOISE_FLOOR)
    return _mean(kept * (1 - new).clamp_min(0), radius)


class _Window:
    """Ridge regressions on the three colours of a guide (3, h, w) in windows of 2 radius + 1 pixels a side."""

    def __init__(self, guide: torch.Tensor, radius: int, ridge: float) -> None:
        self.guide, self.radius = guide, radius
        height, width = guide.shape[-2:]
        samples = min(2 * radius + 1, height) * min(2 * radius + 1, width)
        self.freedom = min(4 / samples, 0.5)  # the share of white noise that a fit explains
        self.stride = max(1, radius // _FINE_CELLS)  # models of wide windows are smooth: a coarse grid is enough
        self.centre = self._moment(guide)
        products = (guide.unsqueeze(0) * guide.unsqueeze(1)).flatten(0, 1)
        covariance = square(self._moment(products)) - self.centre.unsqueeze(0) * self.centre.unsqueeze(1)
        identity = torch.eye(3, device=guide.device, dtype=guide.dtype)[..., None, None]
        self.inverse = _inverse(covariance + ridge * identity)

    def fit(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Slopes (3, 3, h, w) and offsets (3, h, w), averaged over the windows of a pixel (2013, eqs. 14-16)."""
        level = self._moment(target)
        products = (target.unsqueeze(1) * self.guide.unsqueeze(0)).flatten(0, 1)
        shared = square(self._moment(products)) - level.unsqueeze(1) * self.centre.unsqueeze(0)
        slopes = (shared.unsqueeze(2) * self.inverse.unsqueeze(0)).sum(1)
        planes = torch.cat([slopes.flatten(0, 1), level - _dot(slopes, self.centre)])
        planes = _mean(planes, self.radius // self.stride)
        if self.stride > 1:
            size = self.guide.shape[-2:]
            planes = F.interpolate(planes.unsqueeze(0), size=size, mode="bilinear", align_corners=False).squeeze(0)
        return square(planes[:9]), planes[9:]

    def _moment(self, image: torch.Tensor) -> torch.Tensor:
        if self.stride > 1:
            image = F.avg_pool2d(image.unsqueeze(0), self.stride, ceil_mode=True, count_include_pad=False).squeeze(0)
        return _mean(image, self.radius // self.stride)


def _inverse(matrix: torch.Tensor) -> torch.Tensor:
    """Invert symmetric (3, 3, h, w) matrices by cofactors; not every device has a batched solver."""
    a, b, c = matrix.unbind(0)
    cofactors = torch.stack([torch.linalg.cross(*rows, dim=0) for rows in ((b, c), (c, a), (a, b))])
    determinant: torch.Tensor = (a * cofactors[0]).sum(0)
    return cofactors / determinant


def _dot(slopes: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    return (slopes * image.unsqueeze(0)).sum(1)


def _power(image: torch.Tensor, radius: int) -> torch.Tensor:
    return _mean((image**2).mean(0, keepdim=True), radius)


def _fine(image: torch.Tensor) -> torch.Tensor:
    return image - _mean(image, 1)


def _mean(image: torch.Tensor, radius: int) -> torch.Tensor:
    """Mean of an image (C, h, w) over square windows, which are cut off at the borders."""
    return _line_mean(_line_mean(image, radius, -2), radius, -1)


def _line_mean(image: torch.Tensor, radius: int, dim: int) -> torch.Tensor:
    length = image.shape[dim]
    position = torch.arange(length, device=image.device)
    first, last = (position - radius).clamp_min(0), (position + radius + 1).clamp_max(length)
    middle = image.mean((-2, -1), keepdim=True)  # centred sums stay small: float32 is enough (MPS has no float64)
    sums = F.pad((image - middle).cumsum(dim), (0, 0, 1, 0) if dim == -2 else (1, 0))
    counts = (last - first).to(image.dtype)
    counts = counts.unsqueeze(-1) if dim == -2 else counts
    return (sums.index_select(dim, last) - sums.index_select(dim, first)) / counts + middle
