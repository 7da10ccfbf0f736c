"""Back to full size: carry an edit made at the model's size onto the photo at its own size.

The edit is explained, coarse to fine, by local affine colour models of the small photo (the guided
filter with a colour guide, He, Sun and Tang 2013), and the models are applied to the full-size photo
(the fast guided filter, He and Sun 2015, arXiv:1505.00996). What no model explains, new content,
strokes, a blur, is taken from the edit itself, upsampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True, kw_only=True)
class DetailSettings:
    """How the local models are fitted; windows are fractions of the small photo's shorter side.

    windows: side of the fitting windows, coarse to fine. ridge: pull of each window's model towards the
    next coarser one, in units of colour variance. caution: how many times its expected gain from noise
    alone a finer model must explain. noise_floor: what the model's own edits always carry.
    """

    windows: tuple[float, ...] = (2.0, 0.4, 0.13, 0.05, 0.02)
    ridge: float = 1e-3
    caution: float = 4.0
    noise_floor: float = 0.001
    noise_quantile: float = 0.05
    noise_scale: float = 1.4
    grain_scale: float = 1.5
    gain_window: float = 0.08
    strict: float = 0.0
    gain_ridge: float = 1e-5
    gain_none: float = 0.3
    gain_full: float = 0.6
    strip_pixels: int = 1 << 19


DEFAULT = DetailSettings()


def return_to_full_size(
    source_full: torch.Tensor,
    source_small: torch.Tensor,
    edited_small: torch.Tensor,
    *,
    settings: DetailSettings = DEFAULT,
) -> torch.Tensor:
    """The edit at the size of the photo.

    source_full: (3, H, W), uint8 or float in [0, 1]. source_small, edited_small: (3, h, w), float in
    [0, 1]; the photo at the model's size, and what the model made of it. Returns (3, H, W) of the type
    of source_full.
    """
    small, edited = source_small.float(), edited_small.float()
    slopes, offsets = fit(small, edited, settings)
    return _apply(source_full, slopes, offsets, settings.strip_pixels)


def fit(small: torch.Tensor, edited: torch.Tensor, settings: DetailSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """Slopes (3, 3, h, w), out by in, and offsets (3, h, w): edited ~ slopes . small + offsets."""
    shorter = min(small.shape[-2:])
    radii = sorted({max(2, round(shorter * window / 2)) for window in settings.windows}, reverse=True)
    covariances = [_Window(small, radius, settings.ridge) for radius in radii]

    noise = 0.0
    for shrink in (False, True):
        slopes = small.new_zeros(3, *small.shape)
        rest = edited
        for window in covariances:
            step, level = window.fit(rest)
            left = rest - (_dot(step, small) + level)
            before, after = window.mean((rest**2).mean(0, keepdim=True)), window.mean((left**2).mean(0, keepdim=True))
            if shrink and window is not covariances[0]:
                keep = 1 - settings.caution * noise * window.freedom / (before - after).clamp_min(1e-9)
                keep = window.mean(keep.clamp(0, 1))
                step, left = step * keep, rest + keep * (left - rest)
            slopes, rest = slopes + step, left
        if not shrink:
            fine = covariances[-1]
            spread = fine.mean((rest**2).mean(0, keepdim=True)) / (1 - fine.freedom)
            grain = fine.mean(((edited - _mean(edited, 1)) ** 2).mean(0, keepdim=True)) * settings.grain_scale
            spread = torch.minimum(spread, grain)
            inside = ((edited > 0.02) & (edited < 0.98)).all(0, keepdim=True)
            spread = spread[inside] if bool(inside.any()) else spread
            noise = max(float(spread.flatten().quantile(settings.noise_quantile)) * settings.noise_scale, settings.noise_floor**2)

    # Wiener: what is left is kept as far as it is more than noise.
    power = covariances[-1].mean((rest**2).mean(0, keepdim=True))
    keep = (1 - settings.caution * noise / power.clamp_min(1e-9)).clamp(0, 1)
    base = edited - (1 - keep) * rest
    gain = _gain(small, edited, slopes, settings)
    if settings.strict:
        radius = max(1, round(shorter * settings.gain_window / 2))
        odd = (_mean((rest**2).mean(0, keepdim=True), radius) - settings.caution * noise).clamp_min(0)
        found = _mean((_band(edited)**2).mean(0, keepdim=True), radius)
        gain = gain * (1 - settings.strict * odd / (found + 1e-6)).clamp(0, 1)
    slopes = slopes * gain
    return slopes, base - _dot(slopes, small)


def _gain(small: torch.Tensor, edited: torch.Tensor, slopes: torch.Tensor, settings: DetailSettings) -> torch.Tensor:
    """How much of the detail that the models predict is in the edit, (1, h, w) in [0, gain_max]: none after a blur."""
    predicted = _dot(slopes, _band(small))
    found = _band(edited)
    cross = (predicted * found).sum(0, keepdim=True)
    power = (predicted**2).sum(0, keepdim=True)
    shorter = min(small.shape[-2:])
    gain = cross.sum() / power.sum().clamp_min(1e-9)
    for window in (4 * settings.gain_window, settings.gain_window):
        radius = max(1, round(shorter * window / 2))
        gain = (_mean(cross, radius) + settings.gain_ridge * gain) / (_mean(power, radius) + settings.gain_ridge)
    gain = ((gain - settings.gain_none) / (settings.gain_full - settings.gain_none)).clamp(0, 1)
    return _mean(gain, radius)


def _band(image: torch.Tensor) -> torch.Tensor:
    return image - _mean(image, 1)


class _Window:
    """Ridge regressions on the colours of `guide` in windows of (2 radius + 1) pixels a side."""

    def __init__(self, guide: torch.Tensor, radius: int, ridge: float) -> None:
        self.guide, self.radius = guide, radius
        height, width = guide.shape[-2:]
        samples = min(2 * radius + 1, height) * min(2 * radius + 1, width)
        self.freedom = min(4 / samples, 0.5)  # share of white noise that a fit takes up
        self.centre = self.mean(guide)
        products = guide.unsqueeze(0) * guide.unsqueeze(1)
        covariance = self.mean(products.flatten(0, 1)).unflatten(0, (3, 3))
        covariance = covariance - self.centre.unsqueeze(0) * self.centre.unsqueeze(1)
        identity = torch.eye(3, device=guide.device, dtype=guide.dtype)[..., None, None]
        self.inverse = _inverse(covariance + ridge * identity)

    def mean(self, image: torch.Tensor) -> torch.Tensor:
        return _mean(image, self.radius)

    def fit(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Slopes (3, 3, h, w) and offsets (3, h, w), averaged over the windows that cover a pixel."""
        level = self.mean(target)
        products = target.unsqueeze(1) * self.guide.unsqueeze(0)
        shared = self.mean(products.flatten(0, 1)).unflatten(0, (3, 3))
        shared = shared - level.unsqueeze(1) * self.centre.unsqueeze(0)
        slopes = (shared.unsqueeze(2) * self.inverse.unsqueeze(0)).sum(1)
        offsets = level - _dot(slopes, self.centre)
        return self.mean(slopes.flatten(0, 1)).unflatten(0, (3, 3)), self.mean(offsets)


def _inverse(matrix: torch.Tensor) -> torch.Tensor:
    """Inverses of symmetric (3, 3, h, w) matrices by cofactors: no batched solver, so any device will do."""
    a, b, c = matrix
    cofactors = torch.stack([torch.linalg.cross(*pair, dim=0) for pair in ((b, c), (c, a), (a, b))])
    return cofactors / (a * cofactors[0]).sum(0)


def _dot(slopes: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    return (slopes * image.unsqueeze(0)).sum(1)


def _mean(image: torch.Tensor, radius: int) -> torch.Tensor:
    """Mean over a square window, cut off at the borders; image (C, h, w)."""
    return _line_mean(_line_mean(image, radius, -2), radius, -1)


def _line_mean(image: torch.Tensor, radius: int, dim: int) -> torch.Tensor:
    length = image.shape[dim]
    at = torch.arange(length, device=image.device)
    first, last = (at - radius).clamp_min(0), (at + radius + 1).clamp_max(length)
    middle = image.mean()  # centred sums stay small, so float32 will do, also where there is no float64
    edge = list(image.shape)
    edge[dim] = 1
    sums = torch.cat([image.new_zeros(edge), (image - middle).cumsum(dim)], dim)
    counts = (last - first).to(image.dtype)
    if dim == -2:
        counts = counts.unsqueeze(-1)
    return (sums.index_select(dim, last) - sums.index_select(dim, first)) / counts + middle


def _weights(kernel: str, src: int, dst: int, device: torch.device) -> torch.Tensor:
    """Matrix (dst, src) that resamples a line of src pixels to dst pixels, edges aligned."""
    scale = max(1.0, src / dst)  # a wider kernel when it gets smaller
    centres = (torch.arange(dst, device=device, dtype=torch.float32) + 0.5) * (src / dst) - 0.5
    x = (torch.arange(src, device=device, dtype=torch.float32)[None] - centres[:, None]) / scale
    weights = torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), 0.0) if kernel == "lanczos" else (1 - x.abs()).clamp_min(0)
    return weights / weights.sum(1, keepdim=True)


def _apply(full: torch.Tensor, slopes: torch.Tensor, offsets: torch.Tensor, strip_pixels: int) -> torch.Tensor:
    height, width = full.shape[-2:]
    h, w = offsets.shape[-2:]
    dev = full.device
    planes = [(slopes.flatten(0, 1), "linear"), (offsets, "lanczos")]
    wide = [p.to(dev) @ _weights(k, w, width, dev).T for p, k in planes]
    tall = [_weights(k, h, height, dev) for _, k in planes]
    rows = max(1, strip_pixels // width)
    out = torch.empty_like(full)
    for top in range(0, height, rows):
        part = slice(top, min(top + rows, height))
        maps = []
        for plane, weights in zip(wide, tall, strict=True):
            used = weights[part].abs().sum(0).nonzero()
            first, last = int(used[0]), int(used[-1]) + 1
            maps.append(weights[part, first:last] @ plane[:, first:last])
        strip = full[:, part].float()
        if full.dtype == torch.uint8:
            strip = strip / 255
        a, result = maps[0].unflatten(0, (3, 3)), maps[1]
        for channel in range(3):
            result += a[:, channel] * strip[channel]
        result.clamp_(0, 1)
        out[:, part] = (result * 255).round_().to(torch.uint8) if full.dtype == torch.uint8 else result.to(full.dtype)
    return out
