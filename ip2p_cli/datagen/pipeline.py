"""What joins two stages: the filter's bounds as the end of a triplet's painting."""

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
class MakeJudge:
    """Makes, in a worker's process, what tells whether a pair would pass the filter; for `--stop-after`."""

    measures: ScorerConfig
    bounds: Thresholds

    def settings(self) -> dict[str, Any]:
        """What its answers depend on. Raises ModelError where a model's file cannot be read."""
        measured = self.measures.settings()
        return {**measured, "gates": [asdict(gate) for gate in self.bounds.gates(measured)]}

    def __call__(self, number: int) -> Callable[[Triplet, Image.Image, Image.Image], bool]:
        """The judge of worker `number`. Raises ModelError where a model cannot be loaded."""
        scorers, gates = self.measures.scorers(number), self.bounds.gates(self.measures.settings())

        def passes(triplet: Triplet, before: Image.Image, after: Image.Image) -> bool:
            pair = DecodedPair(sample=Sample(row=asdict(triplet)), original=before, edited=after)
            row: dict[str, float | None] = {}
            for scorer in scorers:
                row |= scorer([pair])[0]
            return all(gate.passes(row) for gate in gates)

        return passes
