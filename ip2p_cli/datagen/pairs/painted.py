"""Paint pairs of a real photo and one of its looks, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ip2p_cli.datagen.look_pairs import read_photo
from ip2p_cli.datagen.pairs.settings import Candidate, PairSettings
from ip2p_cli.errors import InputError
from ip2p_cli.io.encoded import picture_of
from ip2p_cli.looks import apply, looks
from ip2p_cli.types import Triplet


class LooksPainter:
    """Paints the look that a triplet names on its photo."""

    def __init__(self, settings: PairSettings) -> None:
        self._side = settings.side

    def paint(self, triplet: Triplet, candidates: Sequence[Candidate]) -> list[tuple[Image.Image, Image.Image]]:
        """Paint the pictures (before, after) of each candidate: number 0 with amount 1, others with 0.8 to 1.2.

        Raises:
            InputError: The triplet has no look or photo, or the photo cannot be read.
        """
        if triplet.look is None or triplet.look not in looks():
            raise InputError(f"{triplet.instruction!r} names no look to paint: write triplets with --looks-only")
        if triplet.image is None:
            raise InputError(f"the triplet {triplet.key} has no photo: make its captions from photos:FOLDER")
        photo = read_photo(Path(triplet.image), self._side)
        before, pairs = picture_of(photo), []
        for candidate in candidates:
            amount = 1.0 if candidate.number == 0 else 0.8 + 0.4 * candidate.strength
            pairs.append((before, picture_of(apply(triplet.look, photo, amount, candidate.seed))))
        return pairs
