"""Measures of edits, and their order.

Every measure is made on pictures of at most `measures.SIDE` pixels, and has a name, so that nobody takes one for
another:

- clip: how far the edit goes where the words go, plus how near it stays to the photo (paper, sections 3.1.2 and 4).
- look: for nano and an instruction it knows, how near the edit comes to a draw of the look's own function.
- offline: visible change times kept structure. It knows nothing of the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from ip2p_cli.looks import apply
from ip2p_cli.measures import NOTICEABLE, edit_score, lab_distance, measure_change, reduced, similarity, to_lab

_DRAWS = 4  # of a look: an edit is compared with the one that it comes nearest to


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The measures of one edit.

    Attributes:
        score: What it is ranked by; higher is better.
        facts: The measures by name, for people.
        like: The index of an earlier edit that hardly differs from it, or None.
    """

    score: float
    facts: Mapping[str, float | str]
    like: int | None


def measure(photo: Image.Image, edits: Sequence[Image.Image], looks: Sequence[str | None]) -> list[Measured]:
    """Measure edits of a photo without a model.

    Args:
        photo: The photo, of any size.
        edits: Its edits, of any size.
        looks: For each edit the look that was asked for, if it is known. Its score is then the look's measure,
            otherwise the offline one; the two are not comparable.

    Returns:
        The measures, in the order of `edits`.
    """
    before = reduced(photo)
    size = (before.shape[1], before.shape[0])
    pictures = [reduced(edit, size) for edit in edits]
    labs = [to_lab(picture) for picture in pictures]
    named = {look for look in looks if look is not None}
    draws = {look: [to_lab(apply(look, before, seed=seed)) for seed in range(_DRAWS)] for look in named}
    measured = []
    for index, (picture, look) in enumerate(zip(pictures, looks, strict=True)):
        facts: dict[str, float | str] = dict(measure_change(before, picture))
        score = edit_score(float(facts["change"]), float(facts["structure"]))
        facts["measure"] = "offline: visible change x kept structure"
        if look is not None:
            distance = min(lab_distance(draw, labs[index]) for draw in draws[look])
            facts |= {"measure": f"look: nearness to “{look}”", "distance to the look": round(distance, 2)}
            score = similarity(distance)
        distances = [lab_distance(labs[index], other) for other in labs]
        others = [distance for place, distance in enumerate(distances) if place != index]
        if others:
            facts["nearest other"] = round(min(others), 2)
        like = next((place for place in range(index) if distances[place] < NOTICEABLE), None)
        measured.append(Measured(score=round(score, 4), facts=facts, like=like))
    return measured


def order(scores: Sequence[float]) -> list[int]:
    """Return indices, the best score first; of equal scores the earlier one first."""
    return sorted(range(len(scores)), key=lambda index: (-scores[index], index))
