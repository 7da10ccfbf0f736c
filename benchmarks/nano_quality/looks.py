"""Looks: are they followed, and do the seeds of random ones spread as the look's own draws do?"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.draws import draw_of
from benchmarks.nano_quality.distances import (
    colour_distance,
    patches,
    psnr,
    sliced_wasserstein,
    spread,
)
from benchmarks.nano_quality.editing import run
from ip2p_cli.editing.unknown import understand
from ip2p_cli.looks import Draw, looks
from ip2p_cli.measures import appearance
from ip2p_cli.models.loader import Editor

DRAWS, SEEDS = 8, 4
TEXTURED = ("snow", "rain", "film_grain", "pencil_sketch", "cartoon", "watercolour", "oil")
VISIBLE = 30.0  # a look whose draws are within this many dB of the photo shows nothing there


@dataclass
class LookFigures:
    """What was measured of one look, a value a photo.

    Attributes:
        level: PSNR of the mean of the edits to the mean of the draws.
        own_draw: PSNR of an edit to the draw that the noise of its seed holds.
        taken_for: The looks that came nearest instead.
    """

    followed: list[bool] = field(default_factory=list)
    followed_held_out: list[bool] = field(default_factory=list)
    level: list[float] = field(default_factory=list)
    own_draw: list[float] = field(default_factory=list)
    spread_of_seeds: list[float] = field(default_factory=list)
    spread_of_draws: list[float] = field(default_factory=list)
    colour: list[float] = field(default_factory=list)
    texture: list[float] = field(default_factory=list)
    texture_before: list[float] = field(default_factory=list)
    taken_for: list[str] = field(default_factory=list)


def draws_of(name: str, photo: np.ndarray, number: int) -> list[np.ndarray]:
    """The draws of a look on photo `number`; one for an exact look."""
    look = looks()[name]
    count = 1 if look.exact else DRAWS
    return [look.paint(photo, 1.0, Draw.from_seed(100 * number + k, *photo.shape[:2])) for k in range(count)]


def measure_looks(
    editor: Editor,
    baseline: Editor | None,
    photos: list[np.ndarray],
    args: argparse.Namespace,
    baseline_args: argparse.Namespace,
    say: Callable[[str], None],
) -> dict[str, LookFigures]:
    """Measure every look on every photo that it visibly changes."""
    found: dict[str, LookFigures] = defaultdict(LookFigures)
    for number, photo in enumerate(photos):
        say(f"looks: photo {number + 1} of {len(photos)}")
        rng = random.Random(number)
        draws = {name: draws_of(name, photo, number) for name in looks()}
        means = {name: np.mean([appearance(p) for p in drawn], axis=0) for name, drawn in draws.items()}
        for name, drawn in draws.items():
            if psnr(np.mean(drawn, axis=0), photo) < VISIBLE:
                _measure(found[name], name, drawn, means, editor, photo, args, rng)
                if baseline is not None and name in TEXTURED:
                    _measure_texture(found[name], name, drawn, baseline, photo, baseline_args)
    return found


def _measure(
    figures: LookFigures,
    name: str,
    drawn: list[np.ndarray],
    means: dict[str, np.ndarray],
    editor: Editor,
    photo: np.ndarray,
    args: argparse.Namespace,
    rng: random.Random,
) -> None:
    look = looks()[name]
    count = 1 if look.exact else SEEDS
    wordings = [rng.choice(look.wordings)] * count + [rng.choice(look.held_out)]
    seed = rng.randrange(2**31)
    taken = [understand(editor, text).done_as or text for text in wordings]
    *edits, held_out = run(editor, photo, taken, args, first_seed=seed)
    figures.own_draw.append(psnr(edits[0], look.paint(photo, 1.0, draw_of(seed, *photo.shape[:2]))))
    nearest = _nearest(edits[0], means)
    figures.followed.append(_is_same(nearest, name, means))
    if not figures.followed[-1]:
        figures.taken_for.append(nearest)
    figures.followed_held_out.append(_is_same(_nearest(held_out, means), name, means))
    figures.level.append(psnr(np.mean(edits, axis=0), np.mean(drawn, axis=0)))
    figures.colour.append(colour_distance(edits, drawn))
    if not look.exact:
        figures.spread_of_seeds.append(spread(edits))
        figures.spread_of_draws.append(spread(drawn))
    if name in TEXTURED:
        generator = np.random.default_rng(0)
        distance = sliced_wasserstein(patches(edits, generator), patches(drawn, generator), generator)
        figures.texture.append(distance)


def _measure_texture(
    figures: LookFigures,
    name: str,
    drawn: list[np.ndarray],
    baseline: Editor,
    photo: np.ndarray,
    args: argparse.Namespace,
) -> None:
    generator = np.random.default_rng(0)
    edits = run(baseline, photo, [looks()[name].wordings[0]] * SEEDS, args)
    figures.texture_before.append(sliced_wasserstein(patches(edits, generator), patches(drawn, generator), generator))


def _nearest(edit: np.ndarray, means: dict[str, np.ndarray]) -> str:
    seen = appearance(edit)
    return min(means, key=lambda name: float(np.linalg.norm(seen - means[name], axis=-1).mean()))


def _is_same(nearest: str, name: str, means: dict[str, np.ndarray]) -> bool:
    """Whether a look is the one that came nearest, or looks like it on this photo."""
    return nearest == name or float(np.linalg.norm(means[nearest] - means[name], axis=-1).mean()) < 1.5


def ceiling(photos: list[np.ndarray]) -> float:
    """How often fresh draws of the looks themselves count as followed."""
    hits = []
    for number, photo in enumerate(photos):
        means = {n: np.mean([appearance(p) for p in draws_of(n, photo, number)], axis=0) for n in looks()}
        for name, look in looks().items():
            fresh = look.paint(photo, 1.0, Draw.from_seed(10_000 + number, *photo.shape[:2]))
            if psnr(fresh, photo) < VISIBLE:
                hits.append(_is_same(_nearest(fresh, means), name, means))
    return float(np.mean(hits))
