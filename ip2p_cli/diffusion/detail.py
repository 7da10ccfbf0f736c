"""Back to full size: carry an edit made at the model's size onto the photo at its own size.

The edit is explained, coarse to fine, by local affine colour models of the small photo (the guided
filter with a colour guide: He, Sun and Tang, Guided Image Filtering, 2013), and the models are applied
to the full-size photo (the fast guided filter: He and Sun, arXiv:1505.00996). What no model explains,
new content, strokes, a blur, is taken from the edit itself, upsampled. The result is

    full = gain A up . full photo + (edit without its noise - gain A . small photo) up

with A the slopes of the models and gain how much of the photo's fine detail the edit has kept. Where the model
saw only the middle of the photo, A and the second term go on beyond its border, mirrored at it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

Kernel = Literal["linear", "lanczos"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class DetailSettings:
    """How the models are fitted. The defaults were measured (benchmarks/full_size.py).

    windows: sides of the fitting windows, coarse to fine, as fractions of the small photo's shorter side.
    ridge: pull of each model towards the next coarser one, a variance of colours in [0, 1]. caution: how
    many times what it would explain of white noise a finer model must explain (a model's noise is not
    white). smoothing: how many times the noise's variance what no model explains must have. gain_window:
    where the kept detail is measured, a fraction of the shorter side. gain_none, gain_full: the share of the
    finest detail in the edit up to which none, and from which all, of the full-size detail is used.
    strip_pixels: full-size pixels worked on at once.
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
_FINE_CELLS = 6  # windows are at least this many cells in radius when they are fitted on a coarser grid
_NOISE_FLOOR = 1e-7  # variance: below what 8 bits show
_TINY = 1e-9
# The most numbers in a matrix of weights and in upsampled slopes and offsets: more is worked on in blocks of a line.
_MAX_WEIGHTS = 1 << 25
_MAX_PLANES = 1 << 27
_BLOCK = 1 << 13


def return_to_full_size(
    source_full: torch.Tensor,
    source_small: torch.Tensor,
    edited_small: torch.Tensor,
    *,
    seen: Box | None = None,
    settings: DetailSettings = DEFAULT,
) -> torch.Tensor:
    """The edit at the size of the photo.

    source_full: (3, H, W), uint8 or float in [0, 1]. source_small, edited_small: (3, h, w), float in [0, 1]:
    the photo at the model's size, and what the model made of it. source_small is best given as the model's
    autoencoder returns it (decoded from its own encoding): then what the autoencoder loses counts as detail
    of the photo, and comes back too. Any H, W, h, w. seen: the part of source_full that the small pictures show,
    as left, top, right, bottom in its pixels, not always whole ones; None is all of it (`io.sizes.Fit.seen`).
    Returns (3, H, W) of the type and on the device of source_full.
    """
    if source_small.shape != edited_small.shape:
        raise ValueError(f"small photo {tuple(source_small.shape)} and its edit {tuple(edited_small.shape)} differ")
    slopes, offsets = fit(source_small.float(), edited_small.float(), settings)
    return _apply(source_full, slopes, offsets, seen, settings.strip_pixels)


def fit(small: torch.Tensor, edited: torch.Tensor, settings: DetailSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """Slopes (3 out, 3 in, h, w) and offsets (3, h, w) for the full-size photo."""
    shorter = min(small.shape[-2:])
    radii = sorted({max(_SMALLEST_RADIUS, round(shorter * side / 2)) for side in settings.windows}, reverse=True)
    windows = [_Window(small, radius, settings.ridge) for radius in radii]
    finest = windows[-1]

    _, rest = _explain([windows[0], finest], small, edited, 0.0)
    noise = _noise(edited, rest, finest)
    slopes, rest = _explain(windows, small, edited, settings.caution * noise)
    noise *= settings.smoothing

    # Wiener: what no model explains is kept as far as it is more than noise.
    keep = (1 - noise / _power(rest, finest.radius).clamp_min(_TINY)).clamp(0, 1)
    clean = edited - (1 - keep) * rest

    slopes = slopes * _gain(small, edited, slopes, rest, noise, settings)
    return slopes, clean - _dot(slopes, small)


def _explain(
    windows: list[_Window], small: torch.Tensor, edited: torch.Tensor, noise: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of the models' slopes (3, 3, h, w), and what they leave of the edit (3, h, w).

    Each window fits what the wider ones left, so the ridge pulls it towards them, and it is used as far as
    it explains more than it would of noise alone.
    """
    slopes = small.new_zeros(3, *small.shape)
    rest = edited
    for window in windows:
        step, level = window.fit(rest)
        left = rest - _dot(step, small) - level
        if window is not windows[0]:
            explained = _power(rest, window.radius) - _power(left, window.radius)
            keep = (1 - noise * window.freedom / explained.clamp_min(_TINY)).clamp(0, 1)
            keep = _mean(keep, window.radius)
            step, left = step * keep, rest + keep * (left - rest)
        slopes, rest = slopes + step, left
    return slopes, rest


def _noise(edited: torch.Tensor, rest: torch.Tensor, finest: _Window) -> float:
    """Variance of the edit's noise: what is there even where there is least to see."""
    unexplained = _power(rest, finest.radius) / (1 - finest.freedom)
    # A smooth edit that does not fit is no noise; 1.5: the high pass and the autoencoder take some of it.
    rough = 1.5 * _power(_fine(edited), finest.radius)
    spread = torch.minimum(unexplained, rough)
    inside = ((edited > 0.02) & (edited < 0.98)).all(0, keepdim=True)  # clipping hides noise
    if float(inside.float().mean()) > 0.5:  # else what is inside may be strokes and edges only
        spread = spread[inside]
    # The 5 % quantile of a windowed variance of pure noise is about 1 / 1.4 of its mean.
    return max(1.4 * float(spread.flatten().quantile(0.05)), _NOISE_FLOOR)


def _gain(
    small: torch.Tensor,
    edited: torch.Tensor,
    slopes: torch.Tensor,
    rest: torch.Tensor,
    noise: float,
    settings: DetailSettings,
) -> torch.Tensor:
    """How much of the full-size detail to use, (1, h, w) in [0, 1]: all after a change of colours, none after a blur.

    It is judged by the finest detail at the model's size: the share of it that is in the edit, and how much
    is in the edit that the photo cannot account for (strokes, new things).
    """
    shorter = min(small.shape[-2:])
    predicted, found = _dot(slopes, _fine(small)), _fine(edited)
    cross = (predicted * found).mean(0, keepdim=True)
    power = (predicted**2).mean(0, keepdim=True)
    share = (cross.mean() + _TINY) / (power.mean() + _TINY)
    radius = 1
    prior = 3e-6  # where the photo is smooth, ask a wider neighbourhood
    for side in (4 * settings.gain_window, settings.gain_window):
        radius = max(1, round(shorter * side / 2))
        share = (_mean(cross, radius) + prior * share) / (_mean(power, radius) + prior)
    kept = ((share - settings.gain_none) / (settings.gain_full - settings.gain_none)).clamp(0, 1)
    strange = (_power(rest, radius) - noise).clamp_min(0) / (_power(found, radius) + _NOISE_FLOOR)
    return _mean(kept * (1 - strange).clamp_min(0), radius)


class _Window:
    """Ridge regressions on the three colours of a guide (3, h, w) in windows of 2 radius + 1 pixels a side."""

    def __init__(self, guide: torch.Tensor, radius: int, ridge: float) -> None:
        self.guide, self.radius = guide, radius
        height, width = guide.shape[-2:]
        samples = min(2 * radius + 1, height) * min(2 * radius + 1, width)
        self.freedom = min(4 / samples, 0.5)  # the share of white noise that a fit takes up
        self.stride = max(1, radius // _FINE_CELLS)  # wide windows give smooth models: a coarse grid will do
        self.centre = self._moment(guide)
        products = (guide.unsqueeze(0) * guide.unsqueeze(1)).flatten(0, 1)
        covariance = _square(self._moment(products)) - self.centre.unsqueeze(0) * self.centre.unsqueeze(1)
        identity = torch.eye(3, device=guide.device, dtype=guide.dtype)[..., None, None]
        self.inverse = _inverse(covariance + ridge * identity)

    def fit(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Slopes (3, 3, h, w) and offsets (3, h, w), averaged over the windows that cover a pixel (eqs. 14-16)."""
        level = self._moment(target)
        products = (target.unsqueeze(1) * self.guide.unsqueeze(0)).flatten(0, 1)
        shared = _square(self._moment(products)) - level.unsqueeze(1) * self.centre.unsqueeze(0)
        slopes = (shared.unsqueeze(2) * self.inverse.unsqueeze(0)).sum(1)
        planes = torch.cat([slopes.flatten(0, 1), level - _dot(slopes, self.centre)])
        planes = _mean(planes, self.radius // self.stride)
        if self.stride > 1:
            size = self.guide.shape[-2:]
            planes = F.interpolate(planes.unsqueeze(0), size=size, mode="bilinear", align_corners=False).squeeze(0)
        return _square(planes[:9]), planes[9:]

    def _moment(self, image: torch.Tensor) -> torch.Tensor:
        if self.stride > 1:
            image = F.avg_pool2d(image.unsqueeze(0), self.stride, ceil_mode=True, count_include_pad=False).squeeze(0)
        return _mean(image, self.radius // self.stride)


def _inverse(matrix: torch.Tensor) -> torch.Tensor:
    """Inverses of symmetric (3, 3, h, w) matrices by cofactors: no batched solver, so that any device will do."""
    a, b, c = matrix.unbind(0)
    cofactors = torch.stack([torch.linalg.cross(*rows, dim=0) for rows in ((b, c), (c, a), (a, b))])
    determinant: torch.Tensor = (a * cofactors[0]).sum(0)
    return cofactors / determinant


def _square(planes: torch.Tensor) -> torch.Tensor:
    return planes.reshape(3, 3, *planes.shape[-2:])


def _dot(slopes: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    return (slopes * image.unsqueeze(0)).sum(1)


def _power(image: torch.Tensor, radius: int) -> torch.Tensor:
    return _mean((image**2).mean(0, keepdim=True), radius)


def _fine(image: torch.Tensor) -> torch.Tensor:
    return image - _mean(image, 1)


def _mean(image: torch.Tensor, radius: int) -> torch.Tensor:
    """Mean over a square window that is cut off at the borders; image (C, h, w)."""
    return _line_mean(_line_mean(image, radius, -2), radius, -1)


def _line_mean(image: torch.Tensor, radius: int, dim: int) -> torch.Tensor:
    length = image.shape[dim]
    at = torch.arange(length, device=image.device)
    first, last = (at - radius).clamp_min(0), (at + radius + 1).clamp_max(length)
    middle = image.mean((-2, -1), keepdim=True)  # centred sums stay small: float32 is enough (MPS has no float64)
    sums = F.pad((image - middle).cumsum(dim), (0, 0, 1, 0) if dim == -2 else (1, 0))
    counts = (last - first).to(image.dtype)
    counts = counts.unsqueeze(-1) if dim == -2 else counts
    return (sums.index_select(dim, last) - sums.index_select(dim, first)) / counts + middle


def _apply(
    full: torch.Tensor, slopes: torch.Tensor, offsets: torch.Tensor, seen: Box | None, strip_pixels: int
) -> torch.Tensor:
    """Compute slopes . full + offsets, both upsampled to the size of full (3, H, W), block by block.

    All but long strips and very large photos are one block.
    """
    height, width = full.shape[-2:]
    h, w = offsets.shape[-2:]
    left, top, right, bottom = seen or (0, 0, width, height)
    out = torch.empty_like(full)
    # Slopes are smooth; offsets hold the edit itself where no model explains it, and want the better kernel.
    kinds: tuple[tuple[torch.Tensor, Kernel], ...] = (
        (slopes.flatten(0, 1).to(full.device), "linear"),
        (offsets.to(full.device), "lanczos"),
    )
    for columns in _blocks(width, is_one=width * w <= _MAX_WEIGHTS and 12 * width * h <= _MAX_PLANES):
        wide = [
            (_wider(plane, *_weights(kernel, w, columns, (left, right), full.device)), kernel)
            for plane, kernel in kinds
        ]
        for rows in _blocks(height, is_one=height * h <= _MAX_WEIGHTS):
            tall = [(plane, *_weights(kernel, h, rows, (top, bottom), full.device)) for plane, kernel in wide]
            step = max(1, strip_pixels // len(columns))
            for start in range(0, len(rows), step):
                slope, result = (
                    _taller(plane[:, band], weights[start : start + step]) for plane, band, weights in tall
                )
                strip = slice(rows.start + start, min(rows.start + start + step, rows.stop))
                part = (slice(None), strip, slice(columns.start, columns.stop))
                out[part] = _coloured(full[part], _square(slope), result)
    return out


def _blocks(length: int, *, is_one: bool) -> list[range]:
    """Cut a line into the blocks that are worked on at once: one, or many small ones."""
    most = length if is_one else _BLOCK
    return [range(start, min(start + most, length)) for start in range(0, length, most)]


def _coloured(photo: torch.Tensor, slope: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    """Add slope . photo to the offsets `result`, in place, in the type of the photo."""
    bytes_ = photo.dtype == torch.uint8
    values = photo.float() / (255 if bytes_ else 1)
    for colour in range(3):
        result.addcmul_(slope[:, colour], values[colour])
    result.clamp_(0, 1)
    return result.mul_(255).round_() if bytes_ else result


def _wider(planes: torch.Tensor, band: slice, weights: torch.Tensor) -> torch.Tensor:
    """Columns of planes (C, h, w) resampled by weights (columns, band)."""
    return planes[..., band] @ weights.T


def _taller(planes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Rows of planes (C, h, W) resampled by weights (rows, h), which are nonzero for a few neighbours only."""
    used = weights.abs().sum(0).nonzero()
    band = slice(int(used[0]), int(used[-1]) + 1)
    return weights[:, band] @ planes[:, band]


def _weights(
    kernel: Kernel, old: int, new: range, span: tuple[float, float], device: torch.device
) -> tuple[slice, torch.Tensor]:
    """Matrix that resamples a line of old pixels, which lie over `span` of the new line, to the new pixels `new`.

    What lies before and after the span is the old line mirrored. Returns the old pixels that are used, and their
    weights (new, used).
    """
    step = old / (span[1] - span[0])
    positions = torch.arange(new.start, new.stop, device=device, dtype=torch.float32)
    centres = (positions + (0.5 - span[0])) * step - 0.5
    first, last = float(centres[0]), float(centres[-1])
    # How many mirrored pixels are needed: centres within half a pixel of the line's ends need none.
    beyond = max(0, math.ceil(max(-first, last - old + 1) - 0.5))
    reach = math.ceil(3 * max(1.0, step)) + 1
    begin, end = max(-beyond, math.floor(first) - reach), min(old + beyond, math.ceil(last) + reach + 1)
    at = torch.arange(begin, end, device=device)
    distance = at - centres.unsqueeze(1)
    x = distance / max(1.0, step)  # a wider kernel to make it smaller
    if kernel == "linear":
        weights = (1 - x.abs()).clamp_min(0)
    else:
        weights = torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))
    weights = weights / weights.sum(1, keepdim=True)
    if beyond == 0:
        return slice(begin, end), weights
    places = _mirrored(at, old)
    begin, end = int(places.min()), int(places.max()) + 1
    return slice(begin, end), weights.new_zeros(len(new), end - begin).index_add_(1, places - begin, weights)


def _mirrored(at: torch.Tensor, length: int) -> torch.Tensor:
    """Whole positions before and after a line, as those of its pixels when it is mirrored at its outermost ones."""
    period = max(1, 2 * (length - 1))
    at = at.abs() % period
    return torch.minimum(at, period - at) if length > 1 else torch.zeros_like(at)
