"""Finds captions that were seen before, exactly or nearly, with an SQLite file, so that memory does not grow with them.

Near duplicates are found by MinHash and locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998), and then
measured: the Jaccard similarity of two captions' sets of five letters in a row is exact.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_PERMUTATIONS = 128
_PRIME = (1 << 31) - 1  # products of two smaller numbers fit 64 bits
_LETTERS = 5
_MAX_CANDIDATES = 64  # texts of one band that are measured
_TABLES = """
CREATE TABLE IF NOT EXISTS exact (digest BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS texts (id INTEGER PRIMARY KEY, text TEXT);
CREATE TABLE IF NOT EXISTS bands (hash INTEGER, id INTEGER, PRIMARY KEY (hash, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS place (shard INTEGER, position INTEGER, kept INTEGER, pending TEXT);
"""


@dataclass
class PassProgress:
    """How far a pass over a source got.

    Attributes:
        shard: The shard to write next.
        position: The rows of the source that were read.
        kept: The rows that were kept.
        next_row: The first row of the next shard, which was found when the last shard was full.
    """

    shard: int = 0
    position: int = 0
    kept: int = 0
    next_row: Mapping[str, Any] | None = None


class Deduplicator:
    """The captions of a pass, and its progress; a context. What was not committed is forgotten.

    Args:
        path: The SQLite file.
        near: The similarity, in (0, 1], from which texts count as near duplicates; None finds none.
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

    def __enter__(self) -> Deduplicator:
        """Return the object itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file, and forget what was not committed."""
        self._file.rollback()
        self._file.close()

    def progress(self) -> PassProgress:
        """The progress that was committed last."""
        row = self._file.execute("SELECT shard, position, kept, pending FROM place").fetchone()
        return PassProgress(row[0], row[1], row[2], json.loads(row[3])) if row else PassProgress()

    def commit(self, progress: PassProgress) -> None:
        """Keep what was added, and the progress."""
        self._file.execute("DELETE FROM place")
        row = (progress.shard, progress.position, progress.kept, json.dumps(progress.next_row))
        self._file.execute("INSERT INTO place VALUES (?, ?, ?, ?)", row)
        self._file.commit()
        self._file.execute("BEGIN IMMEDIATE")

    def add(self, content: str) -> bool:
        """Add a text; returns whether exactly this text was added before."""
        digest = hashlib.sha256(content.encode()).digest()[:16]
        return not self._file.execute("INSERT OR IGNORE INTO exact VALUES (?)", (digest,)).rowcount

    def add_near(self, text: str) -> bool:
        """Add a text unless a near duplicate was added before; returns whether one was."""
        if self._near is None or not text:
            return False
        pieces = _pieces(text)
        hashes = self._band_hashes(pieces)
        for value in hashes:
            query = "SELECT text FROM bands JOIN texts USING (id) WHERE hash = ? ORDER BY id LIMIT ?"
            for (other,) in self._file.execute(query, (value, _MAX_CANDIDATES)):
                if similarity(pieces, _pieces(other)) >= self._near:
                    return True
        number = self._file.execute("INSERT INTO texts (text) VALUES (?)", (text,)).lastrowid
        self._file.executemany("INSERT OR IGNORE INTO bands VALUES (?, ?)", [(value, number) for value in hashes])
        return False

    def _band_hashes(self, pieces: frozenset[str]) -> list[int]:
        """A hash of each band of the pieces' MinHash signature."""
        numbers = np.array(sorted(_hash(piece.encode()) % _PRIME for piece in pieces), dtype=np.uint64)
        signature: npt.NDArray[np.uint64] = ((self._factor * numbers + self._offset) % np.uint64(_PRIME)).min(axis=1)
        count = _PERMUTATIONS // self._rows
        bands = signature[: count * self._rows].reshape(count, self._rows)
        return [_hash(index.to_bytes(2, "big") + band.tobytes(), signed=True) for index, band in enumerate(bands)]


def rows_of_band(near: float) -> int:
    """The most rows of a band with which 99 % of the pairs that are just `near` similar share a band."""
    fitting = [r for r in range(1, 33) if 1 - (1 - near**r) ** (_PERMUTATIONS // r) >= 0.99]
    return max(fitting, default=1)


def similarity(first: frozenset[str], second: frozenset[str]) -> float:
    """The Jaccard similarity of two sets, in [0, 1]."""
    return len(first & second) / len(first | second)


def _pieces(text: str) -> frozenset[str]:
    """All runs of five letters; spaces around the text count as letters."""
    padded = f" {text} "
    return frozenset(padded[i : i + _LETTERS] for i in range(max(1, len(padded) - _LETTERS + 1)))


def _hash(data: bytes, *, signed: bool = False) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=signed)
