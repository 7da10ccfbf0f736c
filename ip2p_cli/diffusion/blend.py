"""Local blend (Prompt-to-Prompt, arXiv:2208.01626, section 3.2): two pictures differ only where certain words are.

A word's place is its column of the cross-attention maps. Attention with values of one at the word's tokens and zero
elsewhere gives that column, without computing the maps themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalBlend:
    """Where a pair may differ.

    Attributes:
        first: (L,) of 0 and 1: the tokens of the first caption's words.
        second: (L,) of 0 and 1: the tokens of the second caption's words.
        threshold: Share of a map's largest value from which a pixel belongs to the word (Google's code).
        begin: Share of steps before blending begins (Google's code).
    """

    first: torch.Tensor
    second: torch.Tensor
    threshold: float = 0.3
    begin: float = 0.2


class WordMaps:
    """Collects the words' maps of all pairs while the UNet runs, and blends the latents by them."""

    def __init__(self, blends: Sequence[LocalBlend | None], *, first_row: int) -> None:
        """Prepare for pairs of rows in the UNet's batch: pair i is `first_row` + 2i and the row after it."""
        self._blends, self._first_row = list(blends), first_row
        self._sums: dict[int, torch.Tensor] = {}
        self._shape = (0, 0)

    def measure(self, latent: torch.Tensor) -> None:
        """Use maps of a quarter of the latent's (N, C, h, w) sides: 16 x 16 for Stable Diffusion's 64 x 64."""
        height, width = latent.shape[-2:]
        self._shape = -(-height // 4), -(-width // 4)

    def take(self, query: torch.Tensor, key: torch.Tensor) -> None:
        """Add the maps of a cross-attention layer, from query (rows, heads, n, d) and key (rows, heads, L, d)."""
        if query.shape[2] != self._shape[0] * self._shape[1]:
            return
        for pair, blend in enumerate(self._blends):
            if blend is None:
                continue
            rows = slice(self._first_row + 2 * pair, self._first_row + 2 * pair + 2)
            words = torch.stack([blend.first, blend.second]).to(query)[:, None, :, None]
            values = words.expand(-1, query.shape[1], -1, query.shape[-1])
            maps = F.scaled_dot_product_attention(query[rows], key[rows], values)
            summed = maps[..., 0].float().sum(dim=1)
            self._sums[pair] = self._sums[pair] + summed if pair in self._sums else summed

    def sums(self, pair: int) -> torch.Tensor:
        """The maps of a pair's two pictures, (2, n), summed over layers, heads and steps so far."""
        return self._sums[pair]

    def blend(self, latent: torch.Tensor, step: int, steps: int) -> torch.Tensor:
        """Latents (N, C, h, w) after `step` (from 0), in which second pictures equal the first outside the words."""
        blended = latent.clone()
        for pair, blend in enumerate(self._blends):
            if blend is None or pair not in self._sums or step < blend.begin * steps:
                continue
            maps = F.max_pool2d(self._sums[pair].view(2, 1, *self._shape), 3, stride=1, padding=1)
            maps = F.interpolate(maps, latent.shape[-2:])
            maps = maps / maps.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
            inside = (maps > blend.threshold).any(dim=0)
            first, second = latent[2 * pair], latent[2 * pair + 1]
            blended[2 * pair + 1] = torch.where(inside, second, first)
        return blended
