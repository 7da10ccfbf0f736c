"""Which variants of an edit are best, as far as a measure can say: CLIP's, a known look's, or an offline one.

Every measure is made on pictures of at most SIDE pixels, and each has a name, so that nobody takes one for another:

- clip: how far the edit goes where the words go, plus how near it stays to the photo (paper, section 3.1.2 and 4).
- look: for nano and an instruction it knows, how near the edit comes to the look's own function.
- offline: visible change times kept structure. It knows nothing of the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from ..datagen.looks import apply

SIDE = 256
# CIELAB distance: about 2.3 is just noticeable (Mahy et al. 1994). Nearer on average is called a near-duplicate.
NOTICEABLE = 2.3
_VISIBLE = 10.0  # a change of this size on average is plain to see

Plane = npt.NDArray[Any]  # float32


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
    before = small(photo)
    size = (before.shape[1], before.shape[0])
    pictures = [small(edit, size) for edit in edits]
    labs = [_lab(picture) for picture in pictures]
    found = []
    for index, (picture, look) in enumerate(zip(pictures, looks, strict=True)):
        facts: dict[str, float | str] = dict(change_of(before, picture))
        score = float(facts["structure"]) * (1 - float(np.exp(-float(facts["change"]) / _VISIBLE)))
        facts["measure"] = "offline: visible change x kept structure"
        if look is not None:
            apart = _distance(_lab(apply(look, before)), labs[index])
            facts |= {"measure": f"look: nearness to “{look}”", "distance to the look": round(apart, 2)}
            score = float(np.exp(-apart / _VISIBLE))
        distances = [_distance(labs[index], other) for other in labs]
        others = [distance for place, distance in enumerate(distances) if place != index]
        if others:
            facts["nearest other"] = round(min(others), 2)
        like = next((place for place in range(index) if distances[place] < NOTICEABLE), None)
        found.append(Measured(score=round(score, 4), facts=facts, like=like))
    return found


def change_of(before: Plane, after: Plane) -> dict[str, float | str]:
    """How much changed (mean CIELAB distance), on which share of the picture, where, and how much structure is kept.

    structure: the correlation of luminance in windows of 11 pixels (SSIM's structure term, Wang et al. 2004), -1 to 1.
    """
    apart = np.linalg.norm(_lab(before) - _lab(after), axis=-1)
    rows, columns = (np.array_split(np.arange(n), 3) for n in apart.shape)
    cells = {
        f"{high} {wide}".replace("middle middle", "middle"): float(apart[np.ix_(r, c)].mean())
        for high, r in zip(("top", "middle", "bottom"), rows, strict=True)
        for wide, c in zip(("left", "middle", "right"), columns, strict=True)
        if len(r) and len(c)
    }
    mean = float(apart.mean())
    strongest = max(cells, key=lambda cell: cells[cell])
    everywhere = mean == 0 or cells[strongest] < 1.5 * mean
    return {
        "change": round(mean, 2),
        "changed area": round(float((apart > 2 * NOTICEABLE).mean()), 3),
        "where": ("nowhere" if mean == 0 else "everywhere") if everywhere else strongest,
        "structure": round(_structure(before, after), 4),
    }


def small(image: Image.Image, size: tuple[int, int] | None = None) -> Plane:
    """(h, w, 3) in [0, 1], at most SIDE a side; of exactly `size` (width, height) where it is given."""
    if size is None:
        scale = min(1.0, SIDE / max(image.size))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    made = image.convert("RGB").resize(size, Image.Resampling.BOX, reducing_gap=3.0)
    return np.asarray(made, dtype=np.float32) / 255


def order(scores: Sequence[float]) -> list[int]:
    """Indices, the best first; of equals the earlier first."""
    return sorted(range(len(scores)), key=lambda index: (-scores[index], index))


def _lab(picture: Plane) -> Plane:
    lab: Plane = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2Lab)
    return lab


def _distance(one: Plane, other: Plane) -> float:
    return float(np.linalg.norm(one - other, axis=-1).mean())


def _structure(before: Plane, after: Plane) -> float:
    x, y = (_lab(picture)[..., 0] / 100 for picture in (before, after))

    def blurred(plane: Plane) -> Plane:
        done: Plane = cv2.GaussianBlur(plane, (11, 11), 1.5)
        return done

    mean_x, mean_y = blurred(x), blurred(y)
    deviation = np.sqrt(np.clip(blurred(x * x) - mean_x**2, 0, None) * np.clip(blurred(y * y) - mean_y**2, 0, None))
    steady = 0.03**2 / 2  # SSIM's C3 for a range of 1
    return float(((blurred(x * y) - mean_x * mean_y + steady) / (deviation + steady)).mean())
