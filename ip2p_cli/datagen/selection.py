"""Which pairs are kept: those that pass every gate, and of a triplet the best (paper, section 3.1.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ip2p_cli.datagen.stages import Task, Work, shard_work
from ip2p_cli.io.shards import Row, Shards, ShardWriter
from ip2p_cli.measures import NOTICEABLE, edit_score


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A bound on a score: at least `bound`, or with `most` at most. A pair without the score does not pass."""

    score: str
    bound: float
    most: bool = False

    def passes(self, row: Row) -> bool:
        """Whether a row of scores is within the bound."""
        value = row.get(self.score)
        return value is not None and (value <= self.bound if self.most else value >= self.bound)

    def why_not(self, row: Row) -> str:
        """Why a row does not pass, in the words under which it is counted."""
        if row.get(self.score) is None:
            return f"no {self.score}"
        return f"{self.score} {'above' if self.most else 'below'} {self.bound:g}"

    def __str__(self) -> str:
        """The gate as tables show it."""
        return f"{self.score} {'≤' if self.most else '≥'} {self.bound:g}"


_TEXTS = ("clip_text_original", "clip_text_edited")
# What was measured -> the bounds of `Thresholds`, and the scores that each holds for.
_BOUNDS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "offline": {"min_change": ["change"], "max_change": ["change"], "min_structure": ["structure"]},
    "clip": {"min_image": ["clip_image"], "min_direction": ["clip_direction"], "min_text": _TEXTS},
    "dino": {"min_dino": ["dino"]},
    "judge": {"min_judge": ["judge"]},
    "safety": {"max_unsafe": ["unsafe"]},
}


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Bounds of the scores, of which those apply that were measured, and how many pairs of a triplet to keep.

    `min_image`, `min_direction` and `min_text` are the paper's bounds of the similarities by CLIP ViT-L/14. The change
    (mean CIELAB distance) and `min_structure` (correlation of luminance) belong to the offline measure: two unrelated
    photos have a structure of 0.3 to 0.4, because of their flat areas.
    """

    min_image: float = 0.7
    min_direction: float = 0.2
    min_text: float = 0.2
    min_change: float = NOTICEABLE
    max_change: float = 80.0
    min_structure: float = 0.4
    min_dino: float = 0.5
    min_judge: float = 0.7
    max_unsafe: float = 0.5
    keep: int = 4

    def gates(self, measured: Mapping[str, Any]) -> tuple[Gate, ...]:
        """The gates for scores that were made with the settings `measured`, of scores/stage.json."""
        measures = ["clip" if measured.get("measure") == "clip" else "offline"]
        measures += [name for name in ("dino", "judge", "safety") if name in measured]
        bounds = [bound for measure in measures for bound in _BOUNDS[measure].items()]
        return tuple(
            Gate(score=score, bound=getattr(self, name), most=name.startswith("max"))
            for name, scores in bounds
            for score in scores
        )

    def settings(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that the kept rows depend on, for stage.json."""
        return {"gates": [asdict(gate) for gate in self.gates(measured)], "keep": self.keep, "scores": dict(measured)}


def decide(rows: Sequence[Row], gates: Sequence[Gate], keep: int) -> list[str | None]:
    """Give for each row of a shard the reason why it is dropped, or None if it is kept.

    A row is dropped by the first gate that it fails, or if `keep` others of its triplet have a higher score.
    """
    reasons: list[str | None] = []
    passing: dict[Any, list[int]] = {}
    for index, row in enumerate(rows):
        failed = next((gate for gate in gates if not gate.passes(row)), None)
        reasons.append(failed.why_not(row) if failed else None)
        if failed is None:
            passing.setdefault(row["triplet"], []).append(index)
    for indices in passing.values():
        indices.sort(key=lambda index: -score_of(rows[index]))
        for index in indices[keep:]:
            reasons[index] = f"more than {keep} of a triplet"
    return reasons


def score_of(row: Row) -> float:
    """The score that the pairs of a triplet are ordered by: CLIP's direction, or offline `edit_score`."""
    if row.get("clip_direction") is not None:
        return float(row["clip_direction"])
    return edit_score(float(row.get("change") or 0.0), float(row.get("structure") or 0.0))


@dataclass(frozen=True, kw_only=True)
class SelectPairs:
    """Makes workers that write which pairs of a shard are kept."""

    scores: Shards
    kept: Shards
    gates: tuple[Gate, ...]
    keep: int

    def __call__(self, number: int) -> Work:
        """Make worker `number`."""

        def fill(task: Task, writer: ShardWriter) -> None:
            for row, why in self.decided(task.source):
                if why is None:
                    writer.add(row)
                else:
                    writer.drop(why)

        return shard_work(self.kept, fill)

    def decided(self, number: int) -> Iterator[tuple[Row, str | None]]:
        """The rows of a shard of scores, each with the reason why it is dropped, or None."""
        rows = list(self.scores.rows(number))
        yield from zip(rows, decide(rows, self.gates, self.keep), strict=True)
