"""Local blend (Prompt-to-Prompt, section 3.2): only where certain words are does the second picture differ.

A word's map is what its column of the cross-attention maps holds. It is had by attending with a value of one at the
word's tokens and zero elsewhere, so no map is written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalBlend:
    """Where a pair may differ. first, second: (L,) of 0 and 1, the tokens of each caption's words.

    threshold: of the largest value of a map. begin: the share of steps before blending begins. As in Google's code.
    """

    first: torch.Tensor
    second: torch.Tensor
    threshold: float = 0.3
    begin: float = 0.2


class WordMaps:
    """Gathers the words' maps of all pairs while the UNet runs, and blends the latents by them."""

    def __init__(self, blends: Sequence[LocalBlend | None], *, first_row: int) -> None:
        """first_row: of the rows with text; pair i has `first_row` + 2i and the next."""
        self._blends, self._first_row = list(blends), first_row
        self._sums: dict[int, torch.Tensor] = {}  # (2, n) by pair, of all layers of one size and all steps so far
        self._shape = (0, 0)

    def measure(self, latent: torch.Tensor) -> None:
        """Take maps of a quarter of the latent's (N, C, h, w) sides: 16 x 16 of Stable Diffusion's 64 x 64."""
        height, width = latent.shape[-2:]
        self._shape = -(-height // 4), -(-width // 4)

    def take(self, query: torch.Tensor, key: torch.Tensor) -> None:
        """Add a cross-attention layer's maps; query (rows, heads, n, d), key (rows, heads, L, d)."""
        if query.shape[2] != self._shape[0] * self._shape[1]:
            return
        for pair, blend in enumerate(self._blends):
            if blend is None:
                continue
            rows = slice(self._first_row + 2 * pair, self._first_row + 2 * pair + 2)
            words = torch.stack([blend.first, blend.second]).to(query)[:, None, :, None]
            seen = F.scaled_dot_product_attention(
                query[rows], key[rows], words.expand(-1, query.shape[1], -1, query.shape[-1])
            )
            summed = seen[..., 0].float().sum(dim=1)
            self._sums[pair] = self._sums[pair] + summed if pair in self._sums else summed

    def sums(self, pair: int) -> torch.Tensor:
        """(2, n): the maps of a pair, summed over layers, heads and steps so far."""
        return self._sums[pair]

    def blend(self, latent: torch.Tensor, step: int, steps: int) -> torch.Tensor:
        """The latents (N, C, h, w) after `step` (from 0): what lies outside both words' places is the first's."""
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
