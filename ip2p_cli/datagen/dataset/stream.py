"""Training pairs from a dataset, mirrored and cropped at random.

A batch is a pure function of (seed, step, rank), as in `look_pairs`. No picture is kept in memory.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import overload

import numpy as np
import numpy.typing as npt

from ip2p_cli.datagen.dataset.base import PairSet
from ip2p_cli.datagen.dataset.columns import PICTURES
from ip2p_cli.datagen.look_pairs import TRIES, CropSpec, Stream, TrainingPair, crop_both, to_side
from ip2p_cli.errors import InputError
from ip2p_cli.io.encoded import decode_picture
from ip2p_cli.io.shards import Sample
from ip2p_cli.looks import Pixels

Indices = npt.NDArray[np.int64]
Photo = Callable[[int], Pixels]  # its shorter side in pixels -> the photo

# Words that are wrong in a mirrored picture: they name a side, or something to read.
_SIDED = re.compile(
    r"\b(left|right|\w*clockwise|mirror\w*|flip\w*|text|letters?|word|words|sign|signs|writing|writes?|written|logo|"
    r"number|numbers|east|west|eastern|western)\b",
    re.IGNORECASE,
)


class PairStream(Stream):
    """Batches of the pairs with the given indices; every pair is drawn as often as any other.

    A pair that cannot be read is replaced by another one; `batch` raises InputError after TRIES failures in a row.
    """

    def __init__(self, pairs: PairSet, indices: Indices, *, seed: int) -> None:
        """`indices`: at least one."""
        super().__init__(seed)
        self.pairs, self.indices = pairs, indices

    def _draw(self, rng: random.Random, crop: CropSpec) -> list[TrainingPair]:
        both, instruction = self._read(rng, crop.side)
        if rng.random() < 0.5 and not is_sided(instruction):
            both = both[:, ::-1]
        return [TrainingPair(*crop_both(both, crop, rng), instruction) for _ in range(crop.per_photo)]

    def _read(self, rng: random.Random, side: int) -> tuple[Pixels, str]:
        """Both pictures of a pair, (H, W, 6), and its instruction."""
        for tries_left in reversed(range(TRIES)):
            index = int(self.indices[rng.randrange(len(self.indices))])
            try:
                sample = self.pairs.sample(index)
                return _both(sample, side), str(sample.row.get("instruction") or "")
            except InputError:
                if not tries_left:
                    raise
        raise AssertionError


class Originals(Sequence[Photo]):
    """The pictures before the edit, each read when it is called."""

    def __init__(self, pairs: PairSet, indices: Indices) -> None:
        self._pairs, self._indices = pairs, indices

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Photo: ...
    @overload
    def __getitem__(self, index: slice) -> Originals: ...
    def __getitem__(self, index: int | slice) -> Photo | Originals:
        """One picture, or some."""
        if isinstance(index, slice):
            return Originals(self._pairs, self._indices[index])
        return partial(self._read, int(self._indices[index]))

    def _read(self, index: int, side: int) -> Pixels:
        sample = self._pairs.sample(index)
        return to_side(np.asarray(decode_picture(sample.pictures["original.jpg"], str(sample.row["key"]))), side)


def is_sided(instruction: str) -> bool:
    """Whether an instruction is wrong for a mirrored picture."""
    return _SIDED.search(instruction) is not None


def split_indices(pairs: PairSet, hold_out_every: int) -> tuple[Indices, Indices]:
    """Split pairs into (training, held out): about every `hold_out_every`-th triplet is held out, with 0 none."""
    indices: Indices = np.arange(len(pairs), dtype=np.int64)
    held_out = pairs.groups() % hold_out_every == 0 if hold_out_every else np.zeros(len(pairs), bool)
    return indices[~held_out], indices[held_out]


def _both(sample: Sample, side: int) -> Pixels:
    key, pictures = sample.row.get("key"), sample.pictures
    before, after = (decode_picture(pictures[name], f"{key}.{name}") for name in PICTURES)
    if after.size != before.size:
        after = after.resize(before.size)
    return np.concatenate([to_side(np.asarray(picture), side) for picture in (before, after)], axis=2)
