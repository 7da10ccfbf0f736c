"""Pairs of real photos and their procedural looks: what trains the embedded model, and needs none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ip2p_cli.datagen.look_pairs import read_photo
from ip2p_cli.datagen.pairs.settings import Candidate, PairSettings
from ip2p_cli.errors import InputError
from ip2p_cli.looks import Image as Pixels
from ip2p_cli.looks import apply, looks
from ip2p_cli.types import Triplet

Pair = tuple[Image.Image, Image.Image]


class LooksPainter:
    """Paints the look that a triplet names on the photo that it is said of."""

    def __init__(self, settings: PairSettings) -> None:
        self._settings = settings

    def paint(self, triplet: Triplet, candidates: Sequence[Candidate]) -> list[Pair]:
        """The pictures (before, after) of each candidate: the first at the look's own strength, others around it.

        Raises InputError where the triplet names no look or photo, or the photo cannot be read.
        """
        if triplet.look is None or triplet.look not in looks():
            raise InputError(f"{triplet.instruction!r} names no look that can be painted: triplets with --looks-only")
        if triplet.image is None:
            raise InputError(f"the triplet {triplet.key} has no photo: make its captions of photos:FOLDER")
        before = read_photo(Path(triplet.image), self._settings.side)
        first, pairs = _as_image(before), []
        for candidate in candidates:
            amount = 1.0 if candidate.number == 0 else 0.8 + 0.4 * candidate.strength
            pairs.append((first, _as_image(apply(triplet.look, before, amount, candidate.seed))))
        return pairs


def _as_image(pixels: Pixels) -> Image.Image:
    """(H, W, 3) in [0, 1] as a picture of 8 bits."""
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))
