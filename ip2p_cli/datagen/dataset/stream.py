"""Training pairs out of a dataset, turned over and cut at random.

A batch is a pure function of (seed, step, rank), as with looks: nothing has to be stored to resume, and any number of
reader processes gives the same data. No picture is kept in memory.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import overload

import numpy as np
import numpy.typing as npt

from ip2p_cli.datagen.dataset.base import PairSet
from ip2p_cli.datagen.look_pairs import TRIES, CropSpec, Pairs, cut_out, to_side
from ip2p_cli.errors import InputError
from ip2p_cli.io.encoded import decode_picture
from ip2p_cli.io.shards import Sample
from ip2p_cli.looks import Image

Indices = npt.NDArray[np.int64]
Photo = Callable[[int], Image]  # its shorter side in pixels -> float32 RGB in [0, 1]

# What says where something is, or what is read, is wrong in a mirror.
_SIDED = re.compile(
    r"\b(left|right|\w*clockwise|mirror\w*|flip\w*|text|letters?|word|words|sign|signs|writing|writes?|written|logo|"
    r"number|numbers|east|west|eastern|western)\b",
    re.IGNORECASE,
)


class PairStream:
    """Batches of the pairs with the given indices; every pair is drawn as often as any other."""

    def __init__(self, pairs: PairSet, indices: Indices, *, seed: int) -> None:
        """`indices`: at least one."""
        self.pairs, self.indices, self.seed = pairs, indices, seed

    def batch(self, step: int, count: int, cut: CropSpec, rank: int = 0) -> Pairs:
        """The `count` pairs of training step `step` for process `rank`.

        A pair that cannot be read is passed over for another one; InputError where TRIES in a row cannot.
        """
        items: list[tuple[Image, Image, str]] = []
        while len(items) < count:
            items += self._cuts(random.Random(f"{self.seed}/{step}/{rank}/{len(items)}"), cut)
        return Pairs(
            before=np.stack([before for before, _, _ in items[:count]]),
            after=np.stack([after for _, after, _ in items[:count]]),
            instructions=tuple(text for _, _, text in items[:count]),
        )

    def _cuts(self, rng: random.Random, cut: CropSpec) -> list[tuple[Image, Image, str]]:
        both, instruction = self._draw(rng, cut.side)
        if rng.random() < 0.5 and not is_sided(instruction):
            both = both[:, ::-1]
        windows = [cut_out(both, cut, rng).astype(np.float32) for _ in range(cut.per_photo)]
        return [(window[..., :3], window[..., 3:], instruction) for window in windows]

    def _draw(self, rng: random.Random, side: int) -> tuple[Image, str]:
        """A pair's pictures beside each other, (H, W, 6), and its instruction."""
        for left in reversed(range(TRIES)):
            index = int(self.indices[rng.randrange(len(self.indices))])
            try:
                sample = self.pairs.sample(index)
                return _both(sample, side), str(sample.row.get("instruction") or "")
            except InputError:
                if not left:
                    raise
        raise AssertionError


class Originals(Sequence[Photo]):
    """The pictures before the edit, read when they are asked for."""

    def __init__(self, pairs: PairSet, indices: Indices) -> None:
        self._pairs, self._indices = pairs, indices

    def __len__(self) -> int:
        """How many there are."""
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Photo: ...
    @overload
    def __getitem__(self, index: slice) -> Originals: ...
    def __getitem__(self, index: int | slice) -> Photo | Originals:
        """One of them, or some of them."""
        if isinstance(index, slice):
            return Originals(self._pairs, self._indices[index])
        return partial(self._read, int(self._indices[index]))

    def __iter__(self) -> Iterator[Photo]:
        """All of them, in order."""
        return (self[place] for place in range(len(self)))

    def _read(self, index: int, side: int) -> Image:
        sample = self._pairs.sample(index)
        return to_side(np.asarray(decode_picture(sample.pictures["original.jpg"], str(sample.row["key"]))), side)


def is_sided(instruction: str) -> bool:
    """Whether an instruction is wrong for a mirrored picture."""
    return _SIDED.search(instruction) is not None


def split_indices(pairs: PairSet, hold_out_every: int) -> tuple[Indices, Indices]:
    """(for training, held out): all pairs of about one triplet in `hold_out_every` are held out; 0 holds out none."""
    everything: Indices = np.arange(len(pairs), dtype=np.int64)
    if not hold_out_every:
        return everything, everything[:0]
    held = pairs.groups() % hold_out_every == 0
    return everything[~held], everything[held]


def _both(sample: Sample, side: int) -> Image:
    before, after = (
        decode_picture(sample.pictures[f"{name}.jpg"], f"{sample.row.get('key')}.{name}.jpg")
        for name in ("original", "edited")
    )
    if after.size != before.size:
        after = after.resize(before.size)
    both: Image = np.concatenate([to_side(np.asarray(picture), side) for picture in (before, after)], axis=2)
    return both
