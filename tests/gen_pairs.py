"""Small datasets of pairs, as the painters leave them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from ip2p_cli.datagen.stages import key_of
from ip2p_cli.io.shards import Shards

KINDS = ("season", "colour", "style")
WORDS = ("make it winter", "turn it to the left", "paint it blue", "make it a sketch")


def jpeg(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def two_pictures(seed: int, strength: float, size: tuple[int, int] = (48, 64)) -> tuple[bytes, bytes]:
    """A picture of waves, and the same more blue by `strength` of 255 levels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    before = np.stack([120 + 90 * np.sin(x / rng.uniform(2, 9) + y / rng.uniform(3, 9)) for _ in range(3)], axis=-1)
    return jpeg(before), jpeg(before + strength * np.array([-0.5, 0, 1]))


def make_pairs(data: Path, shards: int = 2, triplets: int = 3, candidates: int = 3, *, damaged: bool = False) -> Path:
    """DATA/pairs with candidates that change from not at all to much; `damaged`: one has a picture that is none."""
    pairs = Shards(folder=data / "pairs", format="tar")
    pairs.begin({"painter": "waves", "model": "none", "licence": "CC0"})
    for number in range(shards):
        with pairs.writing(number, f"source {number}") as writer:
            for index in range(triplets):
                place = number * triplets + index
                triplet = key_of("triplet", place)
                for candidate in range(candidates):
                    original, edited = two_pictures(place, 40.0 * candidate)
                    if damaged and (number, index, candidate) == (0, 1, 1):
                        edited = edited[:40]
                    row = {
                        "key": f"{triplet}-{candidate}",
                        "triplet": triplet,
                        "candidate": candidate,
                        "caption": f"waves number {place} <&>",
                        "instruction": WORDS[place % len(WORDS)],
                        "edited_caption": f"blue waves number {place}",
                        "kind": KINDS[place % len(KINDS)],
                        "writer": "grammar",
                        "look": None,
                        "image": "/somewhere/private/photo.jpg",
                        "painter": "waves",
                        "model": "none",
                        "seed": place * 100 + candidate,
                        "p": 0.5,
                        "cfg_text": 7.5,
                    }
                    writer.add(row, {"original.jpg": original, "edited.jpg": edited})
    return data
