"""Which variants of an edit are best, as far as a measure can say: CLIP's, a known look's, or an offline one.

Every measure is made on pictures of at most `change.SIDE` pixels, and each has a name: nobody takes one for another.

- clip: how far the edit goes where the words go, plus how near it stays to the photo (paper, section 3.1.2 and 4).
- look: for nano and an instruction it knows, how near the edit comes to the look's own function.
- offline: visible change times kept structure. It knows nothing of the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from ip2p_cli.looks import apply
from ip2p_cli.measures import NOTICEABLE, edit_score, lab_distance, measure_change, reduced, similarity, to_lab


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One variant's measures.

    score: what it is ranked by, higher is better. facts: the measures by name, for people. like: the index of an
    earlier variant that hardly differs from it, or None.
    """

    score: float
    facts: Mapping[str, float | str]
    like: int | None


def measure(photo: Image.Image, edits: Sequence[Image.Image], looks: Sequence[str | None]) -> list[Measured]:
    """The offline measures of `edits` of `photo`, all of any size; looks: the look that was asked for, if known.

    The score is look's where a look is given, else offline's: the two are not comparable.
    """
    before = reduced(photo)
    size = (before.shape[1], before.shape[0])
    pictures = [reduced(edit, size) for edit in edits]
    labs = [to_lab(picture) for picture in pictures]
    found = []
    for index, (picture, look) in enumerate(zip(pictures, looks, strict=True)):
        facts: dict[str, float | str] = dict(measure_change(before, picture))
        score = edit_score(float(facts["change"]), float(facts["structure"]))
        facts["measure"] = "offline: visible change x kept structure"
        if look is not None:
            apart = lab_distance(to_lab(apply(look, before)), labs[index])
            facts |= {"measure": f"look: nearness to “{look}”", "distance to the look": round(apart, 2)}
            score = similarity(apart)
        distances = [lab_distance(labs[index], other) for other in labs]
        others = [apart for place, apart in enumerate(distances) if place != index]
        if others:
            facts["nearest other"] = round(min(others), 2)
        like = next((place for place in range(index) if distances[place] < NOTICEABLE), None)
        found.append(Measured(score=round(score, 4), facts=facts, like=like))
    return found


def order(scores: Sequence[float]) -> list[int]:
    """Indices, the best first; of equals the earlier first."""
    return sorted(range(len(scores)), key=lambda index: (-scores[index], index))
