"""What every dataset of pairs can do, whatever its layout."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ip2p_cli.io.shards import Sample

Groups = npt.NDArray[np.uint64]


class PairSet(Protocol):
    """Pairs by index.

    A row has `key`, `triplet`, `caption`, `instruction`, `edited_caption`, `kind` where they are known, and the scores
    by name; a sample has the pictures `original.jpg` and `edited.jpg` too, as their files' own bytes. Both raise
    InputError where they cannot be read.
    """

    layout: str

    def __len__(self) -> int:
        """How many pairs there are."""
        ...

    def row(self, index: int) -> dict[str, Any]:
        """A pair without its pictures."""
        ...

    def sample(self, index: int) -> Sample:
        """A pair with its pictures."""
        ...

    def groups(self) -> Groups:
        """(N,) a number for each pair's triplet, the same in every layout of the same data."""
        ...


def samples_of(pairs: PairSet) -> Iterator[Sample]:
    """All pairs in order, one at a time."""
    return (pairs.sample(index) for index in range(len(pairs)))


def group_of(triplet: str) -> int:
    """A number in [0, 2**63) that follows from a triplet's name."""
    return int.from_bytes(hashlib.sha256(triplet.encode()).digest()[:8], "big") >> 1


def is_test(triplet: str, share: float) -> bool:
    """Whether a triplet is among the `share` that is held out."""
    return group_of(triplet) < share * 2**63


def triplet_in(key: str) -> str:
    """The triplet in a pair's key, `{triplet}-{candidate}`; the key itself where it is of another form."""
    return key.rpartition("-")[0] or key
