"""What a dataset holds: its stages, pairs, kinds, scores and sizes. Memory does not grow with it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ip2p_cli.datagen.dataset.base import PairSet
from ip2p_cli.datagen.dataset.opening import open_dataset
from ip2p_cli.datagen.dataset.tables import TEXTS
from ip2p_cli.datagen.histogram import Spread, spread_of
from ip2p_cli.datagen.stages import total_counts
from ip2p_cli.errors import InputError
from ip2p_cli.io.encoded import picture_size
from ip2p_cli.io.shards import Kind, Shards

STAGES: Mapping[str, Kind] = {
    "captions": "jsonl",
    "triplets": "jsonl",
    "pairs": "tar",
    "scores": "jsonl",
    "kept": "jsonl",
}
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
MEASURED = 200  # pairs whose pictures' sizes are read
# Numbers of a row that are no scores.
_NOT_SCORES = frozenset({"candidate", "seed", "seeds", "key", "triplet", "kind", *TEXTS.values()})


def stats_of(path: Path) -> dict[str, Any]:
    """Counts by stage, split and kind, quantiles of every score, bytes. Raises InputError where there is nothing.

    Of a dataset's folder whose stages have not come to pairs yet, the stages alone.
    """
    stages = _stages(path)
    try:
        splits = open_dataset(path)
    except InputError:
        if not stages:
            raise
        return {"path": str(path), "layout": "data", "stages": stages}
    kinds, spreads, instructions = Counter[str](), dict[str, Spread](), 0
    for pairs in splits.values():
        for index in range(len(pairs)):
            row = pairs.row(index)
            kinds[str(row.get("kind") or "no kind")] += 1
            instructions += bool(row.get("instruction"))
            for name, value in row.items():
                if is_score(name, value):
                    spreads.setdefault(name, spread_of(name)).add(value)
    found: dict[str, Any] = {
        "path": str(path),
        "layout": next(iter(splits.values())).layout,
        "pairs": {split: len(pairs) for split, pairs in splits.items()},
        "triplets": sum(len(set(pairs.groups().tolist())) for pairs in splits.values()),
        "instructions": instructions,
        "kinds": dict(kinds.most_common()),
        "scores": {name: [spread.quantile(share) for share in QUANTILES] for name, spread in sorted(spreads.items())},
        "sizes": _sizes(splits),
    }
    return found | ({"stages": stages} if stages else {})


def is_score(name: str, value: Any) -> bool:
    """Whether a field of a row is a score, or another number that says how the pair was drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and name not in _NOT_SCORES


def drawn(splits: Mapping[str, PairSet], count: int, seed: int) -> list[tuple[PairSet, int]]:
    """`count` pairs drawn without repetition, in the dataset's order."""
    sets = list(splits.values())
    total = sum(map(len, sets))
    chosen = sorted(random.Random(seed).sample(range(total), min(count, total)))
    found, start = [], 0
    for pairs in sets:
        found += [(pairs, place - start) for place in chosen if start <= place < start + len(pairs)]
        start += len(pairs)
    return found


def _stages(path: Path) -> dict[str, Any]:
    found = {}
    for name, kind in STAGES.items():
        shards = Shards(folder=path / name, kind=kind)
        markers = list(shards.done().values()) if shards.folder.is_dir() else []
        if markers:
            size = sum(shards.path(marker.number).stat().st_size for marker in markers)
            found[name] = {
                "shards": len(markers),
                "rows": sum(marker.rows for marker in markers),
                "bytes": size,
                "dropped": dict(total_counts(markers)),
            }
    return found


def _sizes(splits: Mapping[str, PairSet]) -> dict[str, Any]:
    """Of some pairs: how often each size occurs, and the mean of a pair's bytes."""
    sizes, total, measured, damaged = Counter[str](), 0, 0, 0
    for pairs, index in drawn(splits, MEASURED, 0):
        try:
            pictures = pairs.sample(index).pictures
            sizes["{} x {}".format(*picture_size(pictures["original.jpg"], "original"))] += 1
        except InputError:
            damaged += 1
            continue
        total += sum(map(len, pictures.values()))
        measured += 1
    return {
        "measured": measured,
        "damaged": damaged,
        "bytes_a_pair": round(total / max(1, measured)),
        "pixels": dict(sizes.most_common(10)),
    }
