"""Joins two stages: pairs of a triplet are painted until enough of them pass the filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from ip2p_cli.datagen.scores import DecodedPair, ScorerConfig
from ip2p_cli.datagen.selection import Thresholds
from ip2p_cli.io.shards import Sample
from ip2p_cli.types import Triplet


@dataclass(frozen=True, kw_only=True)
class MakeFilter:
    """Creates the function that checks whether a pair passes the filter, in a worker's process; for `--stop-after`."""

    measures: ScorerConfig
    bounds: Thresholds

    def settings(self) -> dict[str, Any]:
        """What the function's answers depend on. Raises ModelError where a model's file cannot be read."""
        measured = self.measures.settings()
        return {**measured, "gates": [asdict(gate) for gate in self.bounds.gates(measured)]}

    def __call__(self, number: int) -> Callable[[Triplet, Image.Image, Image.Image], bool]:
        """The function of worker `number`. Raises ModelError where a model cannot be loaded."""
        scorers, gates = self.measures.scorers(number), self.bounds.gates(self.measures.settings())

        def passes(triplet: Triplet, before: Image.Image, after: Image.Image) -> bool:
            pair = DecodedPair(sample=Sample(row=asdict(triplet)), original=before, edited=after)
            row: dict[str, float | None] = {}
            for scorer in scorers:
                row |= scorer([pair])[0]
            return all(gate.passes(row) for gate in gates)

        return passes
