"""Pairs in tars: our own shards, WebDataset's, and a dataset's folder with what its filter kept."""

from __future__ import annotations

import json
import tarfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ip2p_cli.datagen.dataset.base import Groups, group_of, triplet_in
from ip2p_cli.errors import InputError
from ip2p_cli.io.names import printable, reason
from ip2p_cli.io.shards import Sample, Shards

MAX_PART = 64 << 20  # bytes of a row or a picture
_PARTS = ("json", "original", "edited")
_WIDTH = 2 + 2 * len(_PARTS)  # file, where the scores are, then offset and length of each part


class TarPairs:
    """The pairs of some tars: 72 bytes of memory each, for where their parts lie."""

    def __init__(self, paths: Sequence[Path], *, layout: str, kept: Sequence[Path] | None = None) -> None:
        """kept: for each tar the rows of scores that say which of its pairs count."""
        self.layout, self._paths, self._kept = layout, list(paths), kept
        places, groups = array("q"), array("Q")
        for number, path in enumerate(self._paths):
            scored = None if kept is None else _places_of_rows(kept[number])
            for key, parts in _members(path):
                if scored is not None and key not in scored:
                    continue
                if any(size > MAX_PART for _, size in parts.values()):
                    raise InputError(f"{printable(path)}: {printable(key)} is too large: is this a dataset of pairs?")
                places.extend((number, -1 if scored is None else scored[key]))
                for name in _PARTS:
                    places.extend(parts[name])
                groups.append(group_of(triplet_in(key)))
        self._places = (
            np.frombuffer(places, dtype=np.int64).reshape(-1, _WIDTH) if places else np.zeros((0, _WIDTH), np.int64)
        )
        self._groups = np.frombuffer(groups, dtype=np.uint64) if groups else np.zeros(0, np.uint64)

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self._places)

    def groups(self) -> Groups:
        """(N,) a number for each pair's triplet."""
        return self._groups

    def row(self, index: int) -> dict[str, Any]:
        """A pair without its pictures, with its scores; InputError where it cannot be read."""
        return self._read(index, ("json",))[0]

    def sample(self, index: int) -> Sample:
        """A pair with its pictures; InputError where it cannot be read."""
        row, parts = self._read(index, _PARTS)
        return Sample(row=row, pictures={f"{name}.jpg": parts[name] for name in ("original", "edited")})

    def _read(self, index: int, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
        place = [int(value) for value in self._places[index]]
        path, parts = self._paths[place[0]], {}
        try:
            with path.open("rb") as file:
                for name in names:
                    where = 2 + 2 * _PARTS.index(name)
                    file.seek(place[where])
                    parts[name] = file.read(place[where + 1])
            row = json.loads(parts["json"])
            if place[1] >= 0 and self._kept is not None:
                with self._kept[place[0]].open("rb") as file:
                    file.seek(place[1])
                    row |= json.loads(file.readline(MAX_PART))
        except OSError as error:
            raise InputError(f"{printable(path)}: {reason(error)}: check the dataset") from error
        except ValueError as error:
            raise InputError(f"{printable(path)} has changed since it was opened, or is damaged") from error
        return row, parts


def data_pairs(folder: Path, numbers: Sequence[int] | None = None, *, all_pairs: bool = False) -> TarPairs:
    """The pairs of a dataset's folder that its filter kept; where it has none, or with `all_pairs`, all of them.

    numbers: of the shards; None: all that are whole.
    """
    pairs, kept = Shards(folder=folder / "pairs", kind="tar"), Shards(folder=folder / "kept")
    there = kept.done() if not all_pairs else {}
    wanted = numbers if numbers is not None else sorted(there.keys() & pairs.done() if there else pairs.done())
    rows = [kept.path(number) for number in wanted] if there else None
    return TarPairs([pairs.path(number) for number in wanted], layout="data", kept=rows)


def _members(path: Path) -> Iterator[tuple[str, Mapping[str, tuple[int, int]]]]:
    """The whole pairs of a tar: (key, offset and length of each part). Only headers are read."""
    parts: dict[str, tuple[int, int]] = {}
    last = ""
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                vars(tar)["members"] = []  # else it remembers them all
                key, _, name = Path(member.name).name.partition(".")
                if not member.isfile():
                    continue
                if key != last:
                    parts, last = {}, key
                parts[name.partition(".")[0]] = (member.offset_data, member.size)
                if all(part in parts for part in _PARTS):
                    yield key, parts
                    parts = {}
            if member is None and tar.offset > path.stat().st_size:
                raise tarfile.ReadError
    except OSError as error:
        raise InputError(f"{printable(path)}: {reason(error)}: check the dataset") from error
    except tarfile.TarError as error:
        raise InputError(f"{printable(path)} is damaged: make it again") from error


def _places_of_rows(path: Path) -> dict[str, int]:
    """Where the row of each key begins in a file of JSON lines."""
    places, offset = {}, 0
    try:
        with path.open("rb") as file:
            for line in file:
                places[str(json.loads(line)["key"])] = offset
                offset += len(line)
    except OSError as error:
        raise InputError(f"{printable(path)}: {reason(error)}: run its stage again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{printable(path)} is damaged: delete its .done.json and run its stage again") from error
    return places
