"""What the pairs' stage would take: from its settings, and from a short run of it that is measured."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from ip2p_cli.datagen.pairs.settings import draw
from ip2p_cli.datagen.pairs.stage import MakePairs, encoded
from ip2p_cli.errors import InputError
from ip2p_cli.types import Triplet

# Two pictures, each with and without the caption.
_ROWS = 4
_PROBE = Triplet(
    key="probe",
    caption="a photo of a lake in summer",
    instruction="make it winter",
    edited_caption="a photo of a lake in winter",
    kind="season",
    writer="probe",
)


@dataclass(frozen=True, kw_only=True)
class PairPlan:
    """evaluations: rows through the UNet. seconds, kilobytes: measured, a pair. hours: with all workers."""

    triplets: int
    pairs: int
    evaluations: int
    seconds: float
    kilobytes: float
    workers: int

    @property
    def hours(self) -> float:
        """Of all workers together at the measured pace."""
        return self.pairs * self.seconds / 3600 / self.workers

    @property
    def gigabytes(self) -> float:
        """Of the pairs' shards."""
        return self.pairs * self.kilobytes / 1e6

    def facts(self) -> dict[str, Any]:
        """All of it, for --json."""
        return asdict(self) | {"hours": round(self.hours, 4), "gigabytes": round(self.gigabytes, 4)}


def plan_of(make: MakePairs, triplets: int | None, workers: int) -> PairPlan:
    """Paint two blocks, time the second, and multiply. triplets: None for those that are there.

    Raises InputError where there are none, or where looks have no triplet that they could paint.
    """
    settings, first = make.settings, _first(make)
    there = sum(marker.rows for marker in make.triplets.done().values())
    count = triplets or there
    if not count:
        raise InputError(f"{make.triplets.folder}: holds no triplets: run that stage first, or give --triplets N")
    painter = make.painter(1)
    block = [draw(settings, first.key, number) for number in range(min(settings.block, settings.candidates))]
    painter.paint(first, block)  # the first one also loads and compiles
    began = time.perf_counter()
    pairs = painter.paint(first, block)
    sizes = [len(encoded(picture, settings.quality)) for pair in pairs for picture in pair]
    seconds = (time.perf_counter() - began) / len(block)
    painted = count * settings.candidates
    steps = 0 if settings.painter == "looks" else settings.steps
    return PairPlan(
        triplets=count,
        pairs=painted,
        evaluations=painted * steps * _ROWS,
        seconds=seconds,
        kilobytes=sum(sizes) / len(pairs) / 1000,
        workers=workers,
    )


def _first(make: MakePairs) -> Triplet:
    """A triplet to measure with: the first that the painter can paint."""
    needs_photo = make.settings.painter != "prompt2prompt"
    for number in make.triplets.done():
        for row in make.triplets.rows(number):
            triplet = Triplet(**row)
            if not needs_photo or (triplet.image and (triplet.look or make.settings.painter == "anchored")):
                return triplet
    if needs_photo:
        raise InputError(f"{make.triplets.folder}: no triplet has a photo to paint: run the stages before first")
    return _PROBE
