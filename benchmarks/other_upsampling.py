"""Other ways to bring an edit to a photo's full size, for `benchmarks.full_size --others` to compare with.

Both use colour models that are affine in the photo alone, (3, H, W) in [0, 1]: what no model explains is lost, and the
models never give way to the edit itself.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ip2p_cli.diffusion.detail import DEFAULT, _Window
from ip2p_cli.diffusion.upsampling import apply_models

_CELL = 8  # pixels of the small photo to a cell of the grid
_LEVELS = 8  # of lightness
_RIDGE = 1e-3
_BLUR = 2  # cells


def guided_filter(full: torch.Tensor, small: torch.Tensor, edited: torch.Tensor, side: float = 0.05) -> torch.Tensor:
    """The fast guided filter with one window, a share `side` of the shorter side (arXiv:1505.00996)."""
    window = _Window(small, max(2, round(min(small.shape[-2:]) * side / 2)), DEFAULT.ridge)
    slopes, offsets = window.fit(edited)
    return apply_models(full, slopes, offsets, None, DEFAULT.strip_pixels).clamp(0, 1)


def bilateral_grid(full: torch.Tensor, small: torch.Tensor, edited: torch.Tensor) -> torch.Tensor:
    """Affine models in cells of place and lightness (Chen et al., Bilateral Guided Upsampling, 2016)."""
    models = _fitted(small, edited)
    height, width = full.shape[-2:]
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    places = torch.stack([x, y, _lightness(full) * 2 - 1], dim=-1)[None, None]
    sliced = F.grid_sample(models[None], places, mode="bilinear", padding_mode="border", align_corners=True)[0, :, 0]
    slopes = sliced.reshape(3, 4, height, width)
    return ((slopes[:, :3] * full).sum(1) + slopes[:, 3]).clamp(0, 1)


def _fitted(small: torch.Tensor, edited: torch.Tensor) -> torch.Tensor:
    """Models (12, levels, rows, columns) of the grid, by ridge regression towards no change."""
    height, width = small.shape[-2:]
    rows, columns = -(-height // _CELL) + 1, -(-width // _CELL) + 1
    ones = torch.ones(1, height, width)
    guide = torch.cat([small, ones])  # affine
    products = (guide[:, None] * guide[None]).reshape(16, -1)
    shared = ((edited - small)[:, None] * guide[None]).reshape(12, -1)
    down = (torch.arange(height) * (rows - 1) / max(1, height - 1))[:, None].expand(height, width)
    across = (torch.arange(width) * (columns - 1) / max(1, width - 1))[None].expand(height, width)
    level = _lightness(small) * (_LEVELS - 1)
    cells = [place.round().long().flatten() for place in (level, down, across)]
    index = (cells[0] * rows + cells[1]) * columns + cells[2]
    sums = torch.zeros(28, _LEVELS * rows * columns).index_add_(1, index, torch.cat([products, shared]))
    grid = sums.reshape(28, _LEVELS, rows, columns)
    for dim in (1, 2, 3):
        grid = _blurred(grid, dim)
    matrix = grid[:16].flatten(1).T.reshape(-1, 4, 4) + _RIDGE * torch.eye(4)
    target = grid[16:].flatten(1).T.reshape(-1, 3, 4)
    change = torch.linalg.solve(matrix, target.transpose(1, 2)).transpose(1, 2)
    models = change + torch.eye(3, 4)
    return models.reshape(-1, 12).T.reshape(12, _LEVELS, rows, columns)


def _blurred(grid: torch.Tensor, dim: int) -> torch.Tensor:
    """Blur a grid along one axis with the weights 1, 2, 1, as often as `_BLUR` says."""
    for _ in range(_BLUR):
        first, last = grid.narrow(dim, 0, 1), grid.narrow(dim, grid.shape[dim] - 1, 1)
        wide = torch.cat([first * 0, grid, last * 0], dim)
        length = grid.shape[dim]
        grid = (wide.narrow(dim, 0, length) + 2 * grid + wide.narrow(dim, 2, length)) / 4
    return grid


def _lightness(image: torch.Tensor) -> torch.Tensor:
    return 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
