"""What every dataset of pairs offers, whatever its layout."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ip2p_cli.io.shards import Sample

Groups = npt.NDArray[np.uint64]
Item = TypeVar("Item")


class PairSet(ABC):
    """Pairs by index, read from disk one at a time.

    A row has `key`, `triplet`, `caption`, `instruction`, `edited_caption`, `kind` where they are known, and the scores
    by name. A sample has the pictures `original.jpg` and `edited.jpg` too, as the bytes of their files.
    """

    layout: str

    @abstractmethod
    def __len__(self) -> int:
        """How many pairs there are."""

    def row(self, index: int) -> dict[str, Any]:
        """Read a pair without its pictures. Raises InputError if that fails."""
        return dict(self._read(index, pictures=False).row)

    def sample(self, index: int) -> Sample:
        """Read a pair with its pictures. Raises InputError if that fails."""
        return self._read(index, pictures=True)

    @abstractmethod
    def groups(self) -> Groups:
        """A number for each pair's triplet, (N,), the same in every layout of the same data."""

    @abstractmethod
    def _read(self, index: int, *, pictures: bool) -> Sample: ...


def group_of(triplet: str) -> int:
    """A number in [0, 2**63) that follows from a triplet's name alone."""
    return int.from_bytes(hashlib.sha256(triplet.encode()).digest()[:8], "big") >> 1


def groups_of(triplets: Iterable[str]) -> Groups:
    """The `group_of` each triplet, (N,)."""
    return np.array([group_of(triplet) for triplet in triplets], np.uint64)


def is_test(triplet: str, share: float) -> bool:
    """Whether a triplet is among the `share`, 0 to 1, that is held out for testing."""
    return group_of(triplet) < share * 2**63


def triplet_in(key: str) -> str:
    """The triplet in a pair's key, `{triplet}-{candidate}`; the whole key if it has another form."""
    return key.rpartition("-")[0] or key


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Iterate over lists of `size` items; the last one may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
