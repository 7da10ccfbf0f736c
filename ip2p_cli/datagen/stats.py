"""What a dataset holds: stages, pairs, kinds, scores and sizes, in memory that does not grow with it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ip2p_cli.datagen.dataset.base import PairSet
from ip2p_cli.datagen.dataset.opening import open_dataset
from ip2p_cli.datagen.histogram import Distributions
from ip2p_cli.datagen.stages import total_counts
from ip2p_cli.errors import InputError
from ip2p_cli.io.encoded import picture_size
from ip2p_cli.io.shards import Shards

STAGES = ("captions", "triplets", "pairs", "scores", "kept")
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
MEASURED = 200  # pairs whose pictures' sizes are read


def stats_of(path: Path) -> dict[str, Any]:
    """Count what a dataset or an export holds by stage, split and kind, with QUANTILES of every score, and sizes.

    A dataset's folder without pairs has stages only. Raises InputError if there are neither stages nor pairs.
    """
    stages = stage_counts(path)
    try:
        splits = open_dataset(path)
    except InputError:
        if not stages:
            raise
        return {"path": str(path), "layout": "data", "stages": stages}
    kinds, scores, instructions = Counter[str](), Distributions(), 0
    for pairs in splits.values():
        for index in range(len(pairs)):
            row = pairs.row(index)
            kinds[str(row.get("kind") or "no kind")] += 1
            instructions += bool(row.get("instruction"))
            scores.add_row(row)
    stats: dict[str, Any] = {
        "path": str(path),
        "layout": next(iter(splits.values())).layout,
        "pairs": {split: len(pairs) for split, pairs in splits.items()},
        "triplets": sum(len(set(pairs.groups().tolist())) for pairs in splits.values()),
        "instructions": instructions,
        "kinds": dict(kinds.most_common()),
        "scores": {name: [score.quantile(share) for share in QUANTILES] for name, score in sorted(scores.items())},
        "sizes": _sizes(splits),
    }
    return stats | ({"stages": stages} if stages else {})


def stage_counts(data: Path) -> dict[str, Any]:
    """Count the shards, rows, bytes and dropped rows of each stage that a dataset's folder has."""
    counts = {}
    for name in STAGES:
        shards = Shards(folder=data / name, format="tar" if name == "pairs" else "jsonl")
        markers = list(shards.done().values())
        if markers:
            counts[name] = {
                "shards": len(markers),
                "rows": sum(marker.rows for marker in markers),
                "bytes": sum(shards.path(marker.number).stat().st_size for marker in markers),
                "dropped": dict(total_counts(markers)),
            }
    return counts


def draw_pairs(splits: Mapping[str, PairSet], count: int, seed: int) -> list[tuple[PairSet, int]]:
    """Draw at most `count` different pairs, and list them in the dataset's order."""
    total = sum(map(len, splits.values()))
    chosen = sorted(random.Random(seed).sample(range(total), min(count, total)))
    drawn, start = [], 0
    for pairs in splits.values():
        drawn += [(pairs, index - start) for index in chosen if start <= index < start + len(pairs)]
        start += len(pairs)
    return drawn


def _sizes(splits: Mapping[str, PairSet]) -> dict[str, Any]:
    """How often each size in pixels occurs among MEASURED pairs, and the mean bytes of a pair."""
    sizes, total, drawn = Counter[str](), 0, draw_pairs(splits, MEASURED, 0)
    for pairs, index in drawn:
        with suppress(InputError):
            pictures = pairs.sample(index).pictures
            sizes["{} x {}".format(*picture_size(pictures["original.jpg"], "original"))] += 1
            total += sum(map(len, pictures.values()))
    measured = sizes.total()
    return {
        "measured": measured,
        "damaged": len(drawn) - measured,
        "bytes_a_pair": round(total / max(1, measured)),
        "pixels": dict(sizes.most_common(10)),
    }
