"""Plan an export: which pairs go into which file, as a function of the kept rows and the settings alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ip2p_cli.datagen.dataset.base import is_test
from ip2p_cli.datagen.dataset.tars import data_pairs
from ip2p_cli.datagen.stages import Task
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Sample, Shards

Layout = Literal["shards", "original", "parquet", "webdataset"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """The pairs of one file of an export, or, in the authors' layout, of some folders.

    Attributes:
        split: "train", "test", or "" if the data are not split.
        number: Of the part in its split.
        of: How many parts the split has.
        shards: Numbers of the shards whose kept pairs of this split the part has.
        first: How many triplets of the split come before the part.
    """

    split: str
    number: int
    of: int
    shards: tuple[int, ...]
    first: int


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """An export of a dataset.

    Attributes:
        data: The dataset's folder.
        out: The export's folder.
        layout: Of the export.
        share: Share of the triplets that are held out as "test"; 0 splits nothing.
        parts: All parts, in order.
        digests: For each part, of what it is made from.
        scores: Names of the scores that rows may have.
    """

    data: Path
    out: Path
    layout: Layout
    share: float
    parts: tuple[Part, ...]
    digests: tuple[str, ...]
    scores: tuple[str, ...]

    def tasks(self) -> list[Task]:
        """One task a part, with the part's index as its number."""
        return [Task(number=number, digest=digest) for number, digest in enumerate(self.digests)]

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


@dataclass(kw_only=True)
class _Count:
    """What a shard has of a split."""

    pairs: int = 0
    triplets: int = 0


def plan_export(data: Path, out: Path, layout: Layout, *, share: float, per_file: int) -> ExportPlan:
    """Divide the pairs that the filter kept into files. The kept rows are read once, the pictures are not.

    Args:
        data: The dataset's folder.
        out: The export's folder.
        layout: Of the export.
        share: Share of the triplets to hold out as "test".
        per_file: About how many pairs a file gets.

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
    counts: dict[str, dict[int, _Count]] = {"": {}, "train": {}, "test": {}}
    for number in markers:
        seen = set()
        for row in kept.rows(number):
            names |= dict.fromkeys(name for name in row if name not in ("key", "triplet", "kind"))
            count = counts[_split_of(row, share)].setdefault(number, _Count())
            count.pairs += 1
            count.triplets += row["triplet"] not in seen
            seen.add(row["triplet"])
    parts = tuple(part for split, its_counts in counts.items() for part in _divided(split, its_counts, per_file))
    settings = json.dumps([layout, share, list(names)])
    digests = tuple(_digest([settings, repr(part), *(sources[number] for number in part.shards)]) for part in parts)
    return ExportPlan(data=data, out=out, layout=layout, share=share, parts=parts, digests=digests, scores=tuple(names))


def _split_of(row: Mapping[str, Any], share: float) -> str:
    if not share:
        return ""
    return "test" if is_test(str(row["triplet"]), share) else "train"


def _divided(split: str, counts: Mapping[int, _Count], per_file: int) -> list[Part]:
    """The parts of a split: runs of shards that together have at most `per_file` pairs, or of one shard."""
    groups: list[tuple[list[int], int]] = []
    pairs = triplets = 0
    for number, count in counts.items():
        if not groups or pairs + count.pairs > per_file:
            groups.append(([], triplets))
            pairs = 0
        groups[-1][0].append(number)
        pairs, triplets = pairs + count.pairs, triplets + count.triplets
    return [
        Part(split=split, number=number, of=len(groups), shards=tuple(shards), first=first)
        for number, (shards, first) in enumerate(groups)
    ]


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
