"""Applying small colour models to a full-size photo: resampled line by line, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

import torch

Kernel = Literal["linear", "lanczos"]
Box = tuple[float, float, float, float]
ReadPart = Callable[[slice, slice], torch.Tensor]

# The most numbers in a matrix of weights and in upsampled slopes and offsets: more is worked on in blocks of a line.
_MAX_WEIGHTS = 1 << 25
_MAX_PLANES = 1 << 27
_BLOCK = 1 << 13


def square(planes: torch.Tensor) -> torch.Tensor:
    """Return planes (9, h, w) as matrices (3, 3, h, w)."""
    return planes.reshape(3, 3, *planes.shape[-2:])


def apply_models(
    full: torch.Tensor, slopes: torch.Tensor, offsets: torch.Tensor, seen: Box | None, strip_pixels: int
) -> torch.Tensor:
    """Compute slopes . full + offsets, both upsampled to the size of full (3, H, W)."""
    out = torch.empty_like(full)
    size, slopes, offsets = (full.shape[-2], full.shape[-1]), slopes.to(full.device), offsets.to(full.device)
    parts = coloured_parts(lambda rows, columns: full[:, rows, columns], size, slopes, offsets, seen, strip_pixels)
    for rows, columns, part in parts:
        out[:, rows, columns] = part
    return out


def coloured_parts(
    read: ReadPart, size: tuple[int, int], slopes: torch.Tensor, offsets: torch.Tensor, seen: Box | None, most: int
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Yield slopes . full + offsets, both upsampled, part by part, so that a large photo is never held as a whole.

    All but long strips and very large photos are strips of their whole width.

    Args:
        read: Gives the part (3, H, W) of the photo in some rows and columns.
        size: The photo's (height, width).
        slopes: (3, 3, h, w).
        offsets: (3, h, w).
        seen: As for `detail.return_to_full_size`.
        most: Pixels of a part.

    Yields:
        The rows, the columns, and what they are now, in the type of the photo.
    """
    height, width = size
    h, w = offsets.shape[-2:]
    left, top, right, bottom = seen or (0, 0, width, height)
    device = offsets.device
    # Slopes are smooth; offsets hold the edit itself where no model explains it, and want the better kernel.
    kinds: tuple[tuple[torch.Tensor, Kernel], ...] = ((slopes.flatten(0, 1), "linear"), (offsets, "lanczos"))
    for columns in _blocks(width, is_one=width * w <= _MAX_WEIGHTS and 12 * width * h <= _MAX_PLANES):
        wide = [
            (_wider(plane, *_weights(kernel, w, columns, (left, right), device)), kernel) for plane, kernel in kinds
        ]
        for rows in _blocks(height, is_one=height * h <= _MAX_WEIGHTS):
            tall = [(plane, *_weights(kernel, h, rows, (top, bottom), device)) for plane, kernel in wide]
            step = max(1, most // len(columns))
            for start in range(0, len(rows), step):
                slope, result = (
                    _taller(plane[:, band], weights[start : start + step]) for plane, band, weights in tall
                )
                strip = slice(rows.start + start, min(rows.start + start + step, rows.stop))
                across = slice(columns.start, columns.stop)
                yield strip, across, _coloured(read(strip, across), square(slope), result)


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
    return result.mul_(255).round_().byte() if bytes_ else result


def _wider(planes: torch.Tensor, band: slice, weights: torch.Tensor) -> torch.Tensor:
    """Columns of planes (C, h, w) resampled by weights (columns, band)."""
    return planes[..., band] @ weights.T


def _taller(planes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Resample rows of planes (C, h, W) by weights (rows, h), which are nonzero for a few neighbours only."""
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


def _mirrored(position: torch.Tensor, length: int) -> torch.Tensor:
    """Map positions beyond a line to its pixels, mirrored at the outermost pixels."""
    if length == 1:
        return torch.zeros_like(position)
    period = 2 * (length - 1)
    position = position.abs() % period
    return torch.minimum(position, period - position)
