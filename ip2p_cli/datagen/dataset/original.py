"""Pairs in the layout of the authors' code: a folder a triplet, and seeds.json, which lists them.

A folder holds prompt.json, the pictures {seed}_0.jpg and {seed}_1.jpg, and, in data that the authors filtered,
metadata.jsonl.
"""

from __future__ import annotations

import json
import re
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from ip2p_cli.datagen.dataset.base import Groups, PairSet, groups_of
from ip2p_cli.datagen.dataset.columns import METADATA_NAMES, PICTURES, PROMPT_NAMES
from ip2p_cli.errors import InputError
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import MAX_PART, Sample, read_object, reading

SEEDS, PROMPT, METADATA = "seeds.json", "prompt.json", "metadata.jsonl"


class OriginalPairs(PairSet):
    """The pairs that a seeds.json lists. In memory: 16 bytes a pair, and a name a triplet."""

    layout = "original"

    def __init__(self, root: Path) -> None:
        """Raises InputError if seeds.json cannot be read."""
        self._root = root
        self._folders: list[str] = []
        folders, seeds = array("q"), array("q")
        for name, its_seeds in _listed(root / SEEDS):
            with reading(root / SEEDS):
                seeds.extend(its_seeds)
            folders.extend([len(self._folders)] * len(its_seeds))
            self._folders.append(name)
        self._folder_of, self._seeds = np.array(folders, np.int64), np.array(seeds, np.int64)

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self._seeds)

    def groups(self) -> Groups:
        """A number for each pair's triplet, (N,)."""
        groups: Groups = groups_of(map(self._triplet, self._folders))[self._folder_of]
        return groups

    def _read(self, index: int, *, pictures: bool) -> Sample:
        folder, seed = self._root / self._folders[int(self._folder_of[index])], int(self._seeds[index])
        row: dict[str, Any] = {"key": f"{folder.name}-{seed}", "triplet": folder.name, "seed": seed}
        for metadata in _metadata(folder / METADATA):
            if metadata.get("seed") == seed:
                row |= {ours: metadata[theirs] for ours, theirs in METADATA_NAMES.items() if theirs in metadata}
                row |= {name: value for name, value in metadata.items() if name not in METADATA_NAMES.values()}
        with reading(folder / PROMPT):
            prompt = read_object(_bytes(folder / PROMPT))
            prompt.setdefault("input", prompt.get("caption"))  # its name in other data of the authors
        row |= {ours: prompt.get(theirs) for ours, theirs in PROMPT_NAMES.items()}
        files = {name: folder / f"{seed}_{number}.jpg" for number, name in enumerate(PICTURES)} if pictures else {}
        return Sample(row=row, pictures={name: _bytes(path) for name, path in files.items()})

    def _triplet(self, folder: str) -> str:
        """The name that we gave a triplet, if we wrote the folder, else the folder's name."""
        rows = _metadata(self._root / folder / METADATA)
        return str(rows[0].get("triplet") or folder) if rows else folder


def _listed(path: Path) -> list[tuple[str, list[int]]]:
    with reading(path, "make it again, as a list of [folder, [seeds]]"):
        listed = [(str(name), [int(seed) for seed in seeds]) for name, seeds in json.loads(path.read_bytes())]
    for name, _ in listed:
        if not re.fullmatch(r"[\w-]+", name):
            raise InputError(f"{printable(path)}: {printable(name)} is not the name of a folder beside it")
    return listed


def _metadata(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    with reading(path):
        return [row for row in map(json.loads, _bytes(path).splitlines()) if isinstance(row, dict)]


def _bytes(path: Path) -> bytes:
    with reading(path):
        if path.stat().st_size > MAX_PART:
            raise InputError(f"{printable(path)} is too large: is this a dataset of pairs?")
        return path.read_bytes()
