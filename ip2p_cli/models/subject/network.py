"""A small U-Net that finds the subject of a photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 160  # pixels of the square that the network sees: the whole photo, without its proportions


@dataclass(frozen=True, kw_only=True)
class SubjectNetShape:
    """The shape of a SubjectNet.

    Attributes:
        widths: The channels at 1/2, 1/4, ... of the input's size.
        depths: The residual blocks at each of these sizes.
        decoder: The channels of the way back.
        heads: The attention heads at the smallest size.
    """

    widths: tuple[int, ...] = (16, 40, 80, 128, 192)
    depths: tuple[int, ...] = (0, 1, 2, 2, 2)
    decoder: int = 48
    heads: int = 4


def _conv(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.SiLU()
    )


class _Block(nn.Module):
    """Two convolutions around which the input is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.second(self.first(x)))


class _Attention(nn.Module):
    """Self-attention between all cells: what the subject is depends on the whole photo."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.places = nn.Parameter(torch.zeros(1, (SIDE // 32) ** 2, width))

    def forward(self, x: Tensor) -> Tensor:
        cells = x.flatten(2).transpose(1, 2) + self.places
        return cast(Tensor, self.layer(cells)).transpose(1, 2).reshape(x.shape)


class SubjectNet(nn.Module):
    """Photos (N, 3, SIDE, SIDE) in [-1, 1] -> logits (N, 1, SIDE / 4, SIDE / 4) that a cell is the subject's."""

    def __init__(self, shape: SubjectNetShape | None = None) -> None:
        """Make a network with random weights."""
        super().__init__()
        shape = shape or SubjectNetShape()
        before, self.down, self.across = 3, nn.ModuleList(), nn.ModuleList()
        for width, depth in zip(shape.widths, shape.depths, strict=True):
            blocks = [_Block(width) for _ in range(depth)]
            self.down.append(nn.Sequential(_conv(before, width, stride=2), *blocks))
            before = width
        self.across.extend(nn.Conv2d(width, shape.decoder, 1) for width in shape.widths[1:])
        self.attention = nn.Sequential(*(_Attention(before, shape.heads) for _ in range(2)))
        self.up = nn.ModuleList(_conv(shape.decoder, shape.decoder) for _ in shape.widths[2:])
        self.last = nn.Conv2d(shape.decoder, 1, 1)

    def forward(self, photos: Tensor) -> Tensor:
        """Predict the logits."""
        found, x = [], photos
        for stage in self.down:
            x = stage(x)
            found.append(x)
        found[-1] = self.attention(x)
        x = self.across[-1](found[-1])
        for smooth, across, level in zip(self.up, reversed(self.across[:-1]), reversed(found[1:-1]), strict=True):
            x = smooth(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False) + across(level))
        return self.last(x)  # type: ignore[no-any-return]
