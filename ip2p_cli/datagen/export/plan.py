"""Plan an export: which pairs go into which file, as a function of the kept rows and the settings alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ip2p_cli.datagen.dataset.base import is_test
from ip2p_cli.datagen.dataset.tars import data_pairs
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Sample, Shards

Layout = Literal["shards", "original", "parquet", "webdataset"]
Counts = dict[int, tuple[int, int]]  # shard -> (pairs, triplets)


@dataclass(frozen=True, kw_only=True)
class Part:
    """The pairs of one file of an export, or, in the authors' layout, of some folders.

    It is part `number` of `of` of its split ("train", "test", or "" if the data are not split), has the kept pairs of
    these shards, and comes after `first` triplets of the split.
    """

    split: str
    number: int
    of: int
    shards: tuple[int, ...]
    first: int


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """An export of the dataset `data` into the folder `out`, which holds out a `share` of its triplets as "test".

    `digests`: for each part, of what it is made from. `scores`: the names of the scores that rows may have.
    """

    data: Path
    out: Path
    layout: Layout
    share: float
    parts: tuple[Part, ...]
    digests: tuple[str, ...]
    scores: tuple[str, ...]

    def samples(self, part: Part) -> Iterator[Sample]:
        """Read a part's pairs. Of the path of a photo only its name is left. Raises InputError."""
        for number in part.shards:
            pairs = data_pairs(self.data, [number])
            for index in range(len(pairs)):
                if part.split and _split_of(pairs.row(index), self.share) != part.split:
                    continue
                sample = pairs.sample(index)
                photo = sample.row.get("image")
                row = {**sample.row, "image": Path(str(photo)).name if photo else None}
                yield Sample(row=row, pictures=sample.pictures)


def plan_export(data: Path, out: Path, layout: Layout, *, share: float, per_file: int) -> ExportPlan:
    """Divide the pairs that the filter kept into files of about `per_file`. Rows are read once, pictures are not.

    Raises:
        InputError: No pairs are kept.
        UsageError: `out` is the dataset's folder.
    """
    kept, pairs = Shards(folder=data / "kept"), Shards(folder=data / "pairs", format="tar")
    if out.resolve() == data.resolve():
        raise UsageError(f"-o {printable(out)} is the dataset itself: give a folder of its own")
    markers = {number: marker for number, marker in kept.done().items() if marker.rows}
    if not markers:
        raise InputError(f"{printable(kept.folder)} holds no kept pairs: run ip2p gen-data filter first")
    sources = {number: f"{pairs.marker(number).sha256}:{marker.sha256}" for number, marker in markers.items()}
    names: dict[str, None] = {}
    counts: dict[str, Counts] = {"": {}, "train": {}, "test": {}}
    for number in markers:
        pairs_of, triplets_of = Counter[str](), defaultdict[str, set[str]](set)
        for row in kept.rows(number):
            names |= dict.fromkeys(name for name in row if name not in ("key", "triplet", "kind"))
            split = _split_of(row, share)
            pairs_of[split] += 1
            triplets_of[split].add(row["triplet"])
        for split, count in pairs_of.items():
            counts[split][number] = (count, len(triplets_of[split]))
    parts = tuple(part for split, its_counts in counts.items() for part in _divided(split, its_counts, per_file))
    settings = json.dumps([layout, share, list(names)])
    digests = tuple(_digest([settings, repr(part), *(sources[number] for number in part.shards)]) for part in parts)
    return ExportPlan(data=data, out=out, layout=layout, share=share, parts=parts, digests=digests, scores=tuple(names))


def _split_of(row: Mapping[str, Any], share: float) -> str:
    if not share:
        return ""
    return "test" if is_test(str(row["triplet"]), share) else "train"


def _divided(split: str, counts: Counts, per_file: int) -> list[Part]:
    """The parts of a split: runs of shards that together have at most `per_file` pairs, or of one shard."""
    groups: list[tuple[list[int], int]] = []
    pairs = triplets = 0
    for number, (pair_count, triplet_count) in counts.items():
        if not groups or pairs + pair_count > per_file:
            groups.append(([], triplets))
            pairs = 0
        groups[-1][0].append(number)
        pairs, triplets = pairs + pair_count, triplets + triplet_count
    return [
        Part(split=split, number=number, of=len(groups), shards=tuple(shards), first=first)
        for number, (shards, first) in enumerate(groups)
    ]


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
