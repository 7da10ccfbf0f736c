"""Which captions were there before, exactly or nearly; kept in an SQLite file, so that memory does not grow with them.

Near ones are found by MinHash and locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998), and then measured:
the Jaccard similarity of two captions' sets of five letters in a row is exact.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

_PERMUTATIONS = 128
_PRIME = (1 << 31) - 1  # products of two such numbers fit 64 bits
_LETTERS = 5
_MOST_CANDIDATES = 64  # of one band that are measured
_TABLES = """
CREATE TABLE IF NOT EXISTS exact (digest BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS texts (id INTEGER PRIMARY KEY, text TEXT);
CREATE TABLE IF NOT EXISTS bands (hash INTEGER, id INTEGER, PRIMARY KEY (hash, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS place (shard INTEGER, position INTEGER, kept INTEGER, pending TEXT);
"""


@dataclass(frozen=True)
class Place:
    """Where a pass goes on: shard to write next, rows of the source read, rows kept, the first row of that shard."""

    shard: int = 0
    position: int = 0
    kept: int = 0
    pending: Mapping[str, Any] | None = None


class Deduplicator:
    """The captions so far, and how far their source was read; a context. near: similarity in (0, 1], None for no check.

    What was added since `commit` is forgotten where the process dies.
    """

    def __init__(self, path: Path, near: float | None) -> None:
        self._near = near
        self._rows = 0 if near is None else rows_of_band(near)
        draw = np.random.default_rng(0)
        self._factor = draw.integers(1, _PRIME, (_PERMUTATIONS, 1), dtype=np.uint64)
        self._offset = draw.integers(0, _PRIME, (_PERMUTATIONS, 1), dtype=np.uint64)
        self._file = sqlite3.connect(path, timeout=1, isolation_level=None)
        self._file.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _TABLES)
        self._file.execute("BEGIN IMMEDIATE")

    def __enter__(self) -> Deduplicator:  # noqa: D105
        return self

    def __exit__(  # noqa: D105
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and forget what was not committed."""
        self._file.rollback()
        self._file.close()

    def place(self) -> Place:
        """Where the pass that was committed last goes on."""
        found = self._file.execute("SELECT shard, position, kept, pending FROM place").fetchone()
        return Place(found[0], found[1], found[2], json.loads(found[3])) if found else Place()

    def commit(self, place: Place) -> None:
        """Keep what was added, and where to go on."""
        self._file.execute("DELETE FROM place")
        row = (place.shard, place.position, place.kept, json.dumps(place.pending))
        self._file.execute("INSERT INTO place VALUES (?, ?, ?, ?)", row)
        self._file.commit()
        self._file.execute("BEGIN IMMEDIATE")

    def duplicate(self, content: str) -> bool:
        """Whether `content` was there before, exactly; it is added."""
        digest = hashlib.sha256(content.encode()).digest()[:16]
        return not self._file.execute("INSERT OR IGNORE INTO exact VALUES (?)", (digest,)).rowcount

    def near_duplicate(self, text: str) -> bool:
        """Whether a text was there before that is at least `near` similar; else it is added."""
        if self._near is None or not text:
            return False
        pieces = _pieces(text)
        hashes = self._bands(pieces)
        for value in hashes:
            query = "SELECT text FROM bands JOIN texts USING (id) WHERE hash = ? ORDER BY id LIMIT ?"
            for (other,) in self._file.execute(query, (value, _MOST_CANDIDATES)):
                if similarity(pieces, _pieces(other)) >= self._near:
                    return True
        number = self._file.execute("INSERT INTO texts (text) VALUES (?)", (text,)).lastrowid
        self._file.executemany("INSERT OR IGNORE INTO bands VALUES (?, ?)", [(value, number) for value in hashes])
        return False

    def _bands(self, pieces: frozenset[str]) -> list[int]:
        numbers = np.array(sorted(_hash(piece) for piece in pieces), dtype=np.uint64)
        least: npt.NDArray[np.uint64] = ((self._factor * numbers + self._offset) % np.uint64(_PRIME)).min(axis=1)
        bands = _PERMUTATIONS // self._rows
        cut = least[: bands * self._rows].reshape(bands, self._rows)
        return [_signed(index.to_bytes(2, "big") + band.tobytes()) for index, band in enumerate(cut)]


def rows_of_band(near: float) -> int:
    """The most rows a band may have for 99 % of the pairs that are just `near` similar to share one."""
    fitting = [r for r in range(1, 33) if 1 - (1 - near**r) ** (_PERMUTATIONS // r) >= 0.99]
    return max(fitting, default=1)


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard's, in [0, 1]."""
    return len(one & other) / len(one | other)


def _pieces(text: str) -> frozenset[str]:
    """Each five letters in a row; the end of a short text counts as letters."""
    padded = f" {text} "
    return frozenset(padded[i : i + _LETTERS] for i in range(max(1, len(padded) - _LETTERS + 1)))


def _hash(piece: str) -> int:
    return int.from_bytes(hashlib.blake2b(piece.encode(), digest_size=8).digest(), "big") % _PRIME


def _signed(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=True)
