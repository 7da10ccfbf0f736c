"""Pairs in the authors' layout: a folder a triplet with prompt.json and {seed}_0.jpg, {seed}_1.jpg; seeds.json."""

from __future__ import annotations

import json
import re
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from ip2p_cli.datagen.dataset.base import Groups, group_of
from ip2p_cli.datagen.dataset.tars import MAX_PART
from ip2p_cli.errors import InputError
from ip2p_cli.io.names import printable, reason
from ip2p_cli.io.shards import Sample

SEEDS, PROMPT, METADATA = "seeds.json", "prompt.json", "metadata.jsonl"
# The authors' names for what we call otherwise: in metadata.jsonl both stand.
THEIR_NAMES = {
    "p": "p2p_threshold",
    "cfg_text": "cfg_scale",
    "clip_text_original": "clip_sim_0",
    "clip_text_edited": "clip_sim_1",
    "clip_direction": "clip_sim_dir",
    "clip_image": "clip_sim_image",
}


class OriginalPairs:
    """The pairs that a seeds.json lists: 16 bytes of memory each, and a name a triplet."""

    layout = "original"

    def __init__(self, root: Path) -> None:
        """Raises InputError where seeds.json cannot be read."""
        self._root = root
        self._folders: list[str] = []
        folders, seeds = array("q"), array("q")
        for name, listed in _listed(root / SEEDS):
            folders.extend([len(self._folders)] * len(listed))
            seeds.extend(listed)
            self._folders.append(name)
        self._place, self._seeds = np.array(folders, np.int64), np.array(seeds, np.int64)

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self._seeds)

    def groups(self) -> Groups:
        """(N,) a number for each pair's triplet."""
        names = [self._triplet(place) for place in range(len(self._folders))]
        found: Groups = np.array([group_of(name) for name in names], np.uint64)[self._place]
        return found

    def row(self, index: int) -> dict[str, Any]:
        """A pair without its pictures; InputError where it cannot be read."""
        folder, seed = self._where(index)
        prompt = _json(folder / PROMPT)
        theirs = set(THEIR_NAMES.values())
        said: dict[str, Any] = {"key": f"{folder.name}-{seed}", "triplet": folder.name, "seed": seed}
        for row in _metadata(folder / METADATA):
            if row.get("seed") == seed:
                ours = {name: row[their] for name, their in THEIR_NAMES.items() if their in row}
                said |= ours | {name: value for name, value in row.items() if name not in theirs}
        before = prompt.get("input", prompt.get("caption"))
        return said | {"caption": before, "instruction": prompt.get("edit"), "edited_caption": prompt.get("output")}

    def sample(self, index: int) -> Sample:
        """A pair with its pictures; InputError where it cannot be read."""
        folder, seed = self._where(index)
        names = {"original.jpg": f"{seed}_0.jpg", "edited.jpg": f"{seed}_1.jpg"}
        return Sample(row=self.row(index), pictures={name: _bytes(folder / file) for name, file in names.items()})

    def _where(self, index: int) -> tuple[Path, int]:
        return self._root / self._folders[int(self._place[index])], int(self._seeds[index])

    def _triplet(self, place: int) -> str:
        """The triplet's own name, where we wrote the folder; else the folder's."""
        name = self._folders[place]
        rows = _metadata(self._root / name / METADATA)
        return str(rows[0].get("triplet") or name) if rows else name


def _listed(path: Path) -> list[tuple[str, list[int]]]:
    try:
        found = [(str(name), [int(seed) for seed in seeds]) for name, seeds in _json(path)]
    except (TypeError, ValueError) as error:
        raise InputError(f"{printable(path)} is no list of [folder, [seeds]]: make it again") from error
    for name, _ in found:
        if not re.fullmatch(r"[\w-]+", name):
            raise InputError(f"{printable(path)}: {printable(name)} is no name of a folder beside it")
    return found


def _metadata(path: Path) -> list[dict[str, Any]]:
    """The rows; none where there is no such file: the authors' filtered data has it, others may not."""
    if not path.is_file():
        return []
    try:
        return [row for row in map(json.loads, _bytes(path).splitlines()) if isinstance(row, dict)]
    except ValueError as error:
        raise InputError(f"{printable(path)} is damaged: make it again") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(_bytes(path))
    except ValueError as error:
        raise InputError(f"{printable(path)} is damaged: make it again") from error


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_PART and path.name != SEEDS:
            raise InputError(f"{printable(path)} is too large: is this a dataset of pairs?")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{printable(path)}: {reason(error)}: check the dataset") from error
