"""What an export's files hold: a function of the kept rows and the settings alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
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
    """One file of an export (or, in the authors' layout, some folders): the kept pairs of some shards, of one split.

    split: "" where the data is not split. number: of `of` in its split. first: how many triplets come before it.
    """

    split: str
    number: int
    of: int
    shards: tuple[int, ...]
    first: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An export of `data` into `out`. digests: of what each part is made from."""

    data: Path
    out: Path
    layout: Layout
    share: float
    parts: tuple[Part, ...]
    digests: tuple[str, ...]
    scores: tuple[str, ...]

    def tasks(self) -> list[Task]:
        """A task a part, of its number."""
        return [Task(number=number, digest=digest) for number, digest in enumerate(self.digests)]

    def samples(self, part: Part) -> Iterator[Sample]:
        """The part's pairs with their pictures; of the photo's path its name is left. Raises InputError."""
        for number in part.shards:
            pairs = data_pairs(self.data, [number])
            for index in range(len(pairs)):
                row = pairs.row(index)
                if part.split and is_test(str(row["triplet"]), self.share) != (part.split == "test"):
                    continue
                sample = pairs.sample(index)
                photo = sample.row.get("image")
                yield Sample(
                    row={**sample.row, "image": Path(str(photo)).name if photo else None}, pictures=sample.pictures
                )


def plan_export(data: Path, out: Path, layout: Layout, *, share: float, per_file: int) -> Plan:
    """Divide what the filter kept into files of about `per_file` pairs. Reads the kept rows once, not the pictures.

    Raises InputError where nothing is kept, UsageError where `out` is the dataset's own folder.
    """
    kept, pairs = Shards(folder=data / "kept"), Shards(folder=data / "pairs", kind="tar")
    if out.resolve() == data.resolve():
        raise UsageError(f"-o {printable(out)} is the dataset itself: give a folder of its own")
    there = {number: marker for number, marker in kept.done().items() if marker.rows}
    if not there:
        raise InputError(f"{printable(kept.folder)} holds no kept pairs: run ip2p gen-data filter first")
    sources = {number: f"{pairs.marker(number).sha256}:{marker.sha256}" for number, marker in there.items()}
    names: dict[str, None] = {}
    counts: dict[str, dict[int, tuple[int, int]]] = {}
    for number in there:
        rows, triplets = Counter[str](), Counter[str]()
        seen = set()
        for row in kept.rows(number):
            names |= dict.fromkeys(name for name in row if name not in ("key", "triplet", "kind"))
            split = "" if not share else "test" if is_test(str(row["triplet"]), share) else "train"
            rows[split] += 1
            triplets[split] += row["triplet"] not in seen
            seen.add(row["triplet"])
        for split in rows:
            counts.setdefault(split, {})[number] = (rows[split], triplets[split])
    parts = tuple(part for split in ("", "train", "test") for part in _divided(split, counts.get(split, {}), per_file))
    said = json.dumps([layout, share, list(names)])
    digests = tuple(_digest([said, repr(part), *(sources[number] for number in part.shards)]) for part in parts)
    return Plan(data=data, out=out, layout=layout, share=share, parts=parts, digests=digests, scores=tuple(names))


def _divided(split: str, counts: dict[int, tuple[int, int]], per_file: int) -> list[Part]:
    groups: list[tuple[list[int], int]] = []
    rows = triplets = 0
    for number, (more, named) in counts.items():
        if not groups or rows + more > per_file:
            groups.append(([], triplets))
            rows = 0
        groups[-1][0].append(number)
        rows, triplets = rows + more, triplets + named
    return [
        Part(split=split, number=place, of=len(groups), shards=tuple(shards), first=first)
        for place, (shards, first) in enumerate(groups)
    ]


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
