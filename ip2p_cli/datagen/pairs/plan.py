"""Estimate what the pairs' stage takes, from its settings and a short measured run."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ip2p_cli.datagen.pairs.settings import draw_candidate
from ip2p_cli.datagen.pairs.write import MakePairs, encode_jpeg
from ip2p_cli.errors import InputError
from ip2p_cli.types import Triplet

_ROWS = 4  # of the UNet's batch for a pair: two pictures, each with and without the caption
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
    """What the stage takes: `seconds` and `kilobytes` for a pair, all else in all; `evaluations`: rows of the UNet."""

    triplets: int
    pairs: int
    evaluations: int
    seconds: float
    kilobytes: float
    workers: int
    hours: float
    gigabytes: float


def plan_pairs(make: MakePairs, triplets: int | None, workers: int) -> PairPlan:
    """Paint two blocks, time the second one, and multiply. `triplets`: None for as many as there are.

    Raises:
        InputError: There are no triplets, or none that the painter can paint.
    """
    settings, triplet = make.settings, _paintable(make)
    count = triplets or sum(marker.rows for marker in make.triplets.done().values())
    if not count:
        raise InputError(f"{make.triplets.folder}: holds no triplets: run that stage first, or give --triplets N")
    painter = make.painter(1)
    numbers = range(min(settings.block, settings.candidates))
    block = [draw_candidate(settings, triplet.key, number) for number in numbers]
    painter.paint(triplet, block)  # the first time also loads and compiles
    began = time.perf_counter()
    pairs = painter.paint(triplet, block)
    sizes = [len(encode_jpeg(picture, settings.quality)) for pair in pairs for picture in pair]
    seconds, kilobytes = (time.perf_counter() - began) / len(block), sum(sizes) / len(pairs) / 1000
    pair_count = count * settings.candidates
    steps = 0 if settings.painter == "looks" else settings.steps
    return PairPlan(
        triplets=count,
        pairs=pair_count,
        evaluations=pair_count * steps * _ROWS,
        seconds=seconds,
        kilobytes=kilobytes,
        workers=workers,
        hours=round(pair_count * seconds / 3600 / workers, 4),
        gigabytes=round(pair_count * kilobytes / 1e6, 4),
    )


def _paintable(make: MakePairs) -> Triplet:
    """The first triplet that the painter can paint."""
    needs_photo = make.settings.painter != "prompt2prompt"
    for number in make.triplets.done():
        for row in make.triplets.rows(number):
            triplet = Triplet(**row)
            if not needs_photo or (triplet.image and (triplet.look or make.settings.painter == "anchored")):
                return triplet
    if needs_photo:
        raise InputError(f"{make.triplets.folder}: no triplet has a photo to paint: run the stages before first")
    return _PROBE
