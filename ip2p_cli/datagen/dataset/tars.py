"""Pairs in tars: our own shards, WebDataset's tars, and the kept pairs of a dataset's folder."""

from __future__ import annotations

import tarfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ip2p_cli.datagen.dataset.base import Groups, PairSet, group_of, triplet_in
from ip2p_cli.errors import InputError
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import MAX_PART, Sample, Shards, read_object, reading

_PARTS = ("json", "original", "edited")
_WIDTH = 2 + 2 * len(_PARTS)  # number of the tar, offset of the scores or -1, then offset and length of each part


class TarPairs(PairSet):
    """The pairs of some tars. In memory: 72 bytes a pair, for where its parts are."""

    def __init__(self, paths: Sequence[Path], *, layout: str, kept: Sequence[Path] | None = None) -> None:
        """Read the headers of the tars. `kept`: for each tar the file of scores that lists the pairs that count.

        Raises InputError if a tar cannot be read.
        """
        self.layout, self._paths, self._kept = layout, list(paths), kept
        places, groups = array("q"), array("Q")
        for number, path in enumerate(self._paths):
            scores = None if kept is None else _offsets_of_rows(kept[number])
            for key, parts in _members(path):
                if scores is not None and key not in scores:
                    continue
                if any(size > MAX_PART for _, size in parts.values()):
                    raise InputError(f"{printable(path)}: {printable(key)} is too large: is this a dataset of pairs?")
                places.extend((number, -1 if scores is None else scores[key]))
                for name in _PARTS:
                    places.extend(parts[name])
                groups.append(group_of(triplet_in(key)))
        self._places = np.array(places, np.int64).reshape(-1, _WIDTH)
        self._groups = np.array(groups, np.uint64)

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self._places)

    def groups(self) -> Groups:
        """A number for each pair's triplet, (N,)."""
        return self._groups

    def _read(self, index: int, *, pictures: bool) -> Sample:
        number, scores, *places = (int(value) for value in self._places[index])
        path, parts = self._paths[number], []
        with reading(path), path.open("rb") as file:
            for offset, size in zip(places[::2], places[1::2], strict=True):
                file.seek(offset)
                parts.append(file.read(size))
                if not pictures:
                    break
            row = read_object(parts[0])
        if self._kept is not None:
            with reading(self._kept[number]), self._kept[number].open("rb") as file:
                file.seek(scores)
                row |= read_object(file.readline(MAX_PART))
        return Sample(
            row=row, pictures={f"{name}.jpg": data for name, data in zip(_PARTS[1:], parts[1:], strict=False)}
        )


def data_pairs(folder: Path, numbers: Sequence[int] | None = None, *, all_pairs: bool = False) -> TarPairs:
    """Open the kept pairs of a dataset's folder; with `all_pairs`, or if it was not filtered, all pairs.

    `numbers`: the shards to read; None: all that are finished.
    """
    pairs, kept = Shards(folder=folder / "pairs", format="tar"), Shards(folder=folder / "kept")
    filtered = kept.done() if not all_pairs else {}
    if numbers is None:
        numbers = sorted(filtered.keys() & pairs.done() if filtered else pairs.done())
    scores = [kept.path(number) for number in numbers] if filtered else None
    return TarPairs([pairs.path(number) for number in numbers], layout="data", kept=scores)


def _members(path: Path) -> Iterator[tuple[str, Mapping[str, tuple[int, int]]]]:
    """The complete pairs of a tar: (key, offset and length of each part). Only headers are read."""
    parts: dict[str, tuple[int, int]] = {}
    last = ""
    with reading(path, "make it again"), tarfile.open(path, "r:") as tar:
        while (member := tar.next()) is not None:
            vars(tar)["members"] = []  # otherwise it keeps them all in memory
            key, _, name = Path(member.name).name.partition(".")
            if not member.isfile():
                continue
            if key != last:
                parts, last = {}, key
            parts[name.partition(".")[0]] = (member.offset_data, member.size)
            if all(part in parts for part in _PARTS):
                yield key, parts
                parts = {}
        if tar.offset > path.stat().st_size:
            raise tarfile.ReadError("it is cut short")


def _offsets_of_rows(path: Path) -> dict[str, int]:
    """Where the row of each key begins in a file of JSON lines."""
    offsets, offset = {}, 0
    with reading(path, "delete its .done.json, then filter again"), path.open("rb") as file:
        for line in file:
            offsets[str(read_object(line)["key"])] = offset
            offset += len(line)
    return offsets
