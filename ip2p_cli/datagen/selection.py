"""Which pairs are kept: those that pass every gate, and of a triplet the best (paper, section 3.1.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ip2p_cli.datagen.stages import Task, Work
from ip2p_cli.io.shards import Marker, Shards
from ip2p_cli.measures import NOTICEABLE, nearness

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A bound on a score: at least `bound`, or, where `most`, at most. What was not scored does not pass."""

    score: str
    bound: float
    most: bool = False

    def passes(self, row: Row) -> bool:
        """Whether a row of scores is within the bound."""
        value = row.get(self.score)
        return value is not None and (value <= self.bound if self.most else value >= self.bound)

    def why_not(self, row: Row) -> str:
        """The reason to count a row that does not pass by."""
        if row.get(self.score) is None:
            return f"no {self.score}"
        return f"{self.score} {'above' if self.most else 'below'} {self.bound:g}"

    def __str__(self) -> str:
        """As tables and pages show it."""
        return f"{self.score} {'≤' if self.most else '≥'} {self.bound:g}"


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The bounds, each for the measures that are there; keep: pairs of a triplet at most.

    image, direction and text are the paper's for CLIP ViT-L/14. change (mean CIELAB distance) and structure
    (correlation of luminance) are for the offline measure: two photos that have nothing to do with each other have a
    structure of 0.3 to 0.4, because of their flat areas. dino, judge and unsafe are for what is asked for.
    """

    image: float = 0.7
    direction: float = 0.2
    text: float = 0.2
    min_change: float = NOTICEABLE
    max_change: float = 80.0
    structure: float = 0.4
    dino: float = 0.5
    judge: float = 0.7
    unsafe: float = 0.5
    keep: int = 4

    def gates(self, measured: Mapping[str, Any]) -> tuple[Gate, ...]:
        """The gates for scores that were made with the settings `measured` (of scores/stage.json)."""
        gates = [
            Gate(score="change", bound=self.min_change),
            Gate(score="change", bound=self.max_change, most=True),
            Gate(score="structure", bound=self.structure),
        ]
        if measured.get("measure") == "clip":
            gates = [
                Gate(score="clip_image", bound=self.image),
                Gate(score="clip_direction", bound=self.direction),
                Gate(score="clip_text_original", bound=self.text),
                Gate(score="clip_text_edited", bound=self.text),
            ]
        more = {
            "dino": Gate(score="dino", bound=self.dino),
            "judge": Gate(score="judge", bound=self.judge),
            "safety": Gate(score="unsafe", bound=self.unsafe, most=True),
        }
        return (*gates, *(gate for name, gate in more.items() if name in measured))

    def settings(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """What the kept rows depend on, for stage.json."""
        return {"gates": [asdict(gate) for gate in self.gates(measured)], "keep": self.keep, "scores": dict(measured)}


def decide(rows: Sequence[Row], gates: Sequence[Gate], keep: int) -> list[str | None]:
    """For each row of a shard why it is dropped, None where it is kept: the first gate, or that better ones are."""
    why: list[str | None] = []
    for row in rows:
        failed = next((gate for gate in gates if not gate.passes(row)), None)
        why.append(None if failed is None else failed.why_not(row))
    triplets: dict[Any, list[int]] = {}
    for place, row in enumerate(rows):
        if why[place] is None:
            triplets.setdefault(row["triplet"], []).append(place)
    for places in triplets.values():
        places.sort(key=lambda place: (-worth(rows[place]), place))
        for place in places[keep:]:
            why[place] = f"more than {keep} of a triplet"
    return why


def worth(row: Row) -> float:
    """What the pairs of a triplet are ordered by: CLIP's direction, or offline visible change times structure."""
    if row.get("clip_direction") is not None:
        return float(row["clip_direction"])
    return float(row.get("structure") or 0.0) * (1 - nearness(float(row.get("change") or 0.0)))


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """Makes workers that write which pairs of a shard are kept."""

    scores: Shards
    kept: Shards
    gates: tuple[Gate, ...]
    keep: int

    def __call__(self, number: int) -> Work:
        """The worker of this number."""

        def work(task: Task) -> Marker:
            with self.kept.writing(task.number, task.digest) as writer:
                for row, why in self.decided(task.source):
                    if why is None:
                        writer.add(row)
                    else:
                        writer.drop(why)
            return self.kept.marker(task.number)

        return work

    def decided(self, number: int) -> Iterator[tuple[Row, str | None]]:
        """The rows of a shard of scores, each with why it is dropped."""
        rows = list(self.scores.rows(number))
        yield from zip(rows, decide(rows, self.gates, self.keep), strict=True)
