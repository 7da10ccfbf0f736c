"""Whether an edit worked, from small pictures alone: how much changed, where, and what is left of the photo.

What is expected of an edit is known in part: of a look, what its painter makes of the photo; of a region that the
instruction names, where it lies; with CLIP at hand, where the words go. Each of them makes the verdict sharper, and it
needs none of them. Measured in docs/verdicts.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from ip2p_cli.measures import NOTICEABLE, Pixels, appearance, reduced, to_lab
from ip2p_cli.types import VerdictName

SIDE = 128  # pixels of a picture's longer side: what matters here is seen at this size, in a few milliseconds
_CELL = 4  # pixels over which the change is averaged, so that noise and the traces of compression do not count
_MOST_CHANGED = 98  # the percentile of the cells that stands for where the edit is strongest

# Every threshold of the verdict. The figures are those of docs/verdicts.md, on the photos that they were set with.
# An edit nowhere changes the photo: photos saved anew stay below 5, slight looks are above 7.
UNCHANGED = 6.0
# It is less than this part of the look that was asked for: a hardly visible one is 0.06, slight wordings give 0.4.
TOO_LITTLE = 0.15
# Correlation of edges with the photo's. Pixel art, sketches and negatives keep 0.35 and more; another photo 0.2.
LOST = 0.27
# The same as a part of what the look itself keeps.
LOST_OF_LOOK = 0.5
# Cosine of the change and the look's own: other draws of the same look 0.76 and more, other looks mostly below 0.6.
ASIDE = 0.65
# Such an edit is also further from each draw than this many times the distance of draws. Blocks of pixel art, of one
# size or another, hardly move colours, so that their direction says little.
FAR = 1.5
# Times the look's own change, and CIELAB units beyond it: draws of a strong look differ by a fifth, of a weak one more.
TOO_MUCH, BEYOND = 1.35, 14.0
# The share of pixels that became black, white or a pure colour: most looks burn up to 0.45, drawn in low key 0.65.
BURNT = 0.55
# The same beyond what the look itself burns.
BURNT_BEYOND_LOOK = 0.25
# The change in the region that was asked for, as a multiple of that outside: below 1 it is stronger elsewhere.
ELSEWHERE = 1.0
# CLIP: below 0 the edit is less like the words than the photo was.
AWAY = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What a verdict follows from. Pictures are (H, W, 3) in [0, 1], planes (H, W) in [0, 1], all of one size.

    Attributes:
        photo: The photo, or what the edit before left.
        edit: The edit.
        mask: Where the photo may change; None for everywhere.
        expected: What the look that was asked for makes of the photo, some draws; empty where it is not known.
        region: Where the instruction asks for a change; None for everywhere, or where that is not known.
        towards: CLIP's similarity of the change and the instruction, -1 to 1; None without CLIP.
    """

    photo: Pixels
    edit: Pixels
    mask: Pixels | None = None
    expected: Sequence[Pixels] = ()
    region: Pixels | None = None
    towards: float | None = None


def judge(evidence: Evidence) -> tuple[VerdictName, dict[str, float]]:
    """Say whether an edit worked.

    Returns:
        The verdict, and the measures that it follows from: "change", the mean CIELAB distance; "strongest", that of the
        two per cent that changed most; "structure", the correlation of edges with the photo, at most 1; "burnt", the
        share of pixels that lost their detail. With a known look "expected", the look's own change; "strength", the
        change as a multiple of that; "excess" and "beyond", the same and how far it goes beyond where the look changes
        most; "direction", the cosine of both, more where draws of the look differ from each other; "distance" from the
        nearest draw, and "distance of draws" from each other; "structure of the look" and "burnt beyond the look".
        With a region "where", the change in it as a multiple of that outside. With CLIP "words".
    """
    weights = evidence.mask
    if weights is None or not weights.any():  # a mask of a few pixels is gone at this size
        weights = np.ones(evidence.photo.shape[:2], np.float32)
    cells = _cells(evidence.photo, evidence.edit)
    in_cells = cv2.resize(weights, cells.shape[::-1], interpolation=cv2.INTER_AREA)
    measures = {
        "change": _mean(cells, in_cells),
        "strongest": float(np.percentile(cells[in_cells > 0.5 * in_cells.max()], _MOST_CHANGED)),
        "structure": structure(evidence.photo, evidence.edit, weights),
        "burnt": max(0.0, _mean(_burnt(evidence.edit), weights) - _mean(_burnt(evidence.photo), weights)),
    }
    if evidence.expected:
        measures |= _against_look(evidence, weights)
    if evidence.region is not None:
        region = cv2.resize(evidence.region, cells.shape[::-1], interpolation=cv2.INTER_AREA)
        measures["where"] = _mean(cells, region * in_cells) / max(_mean(cells, (1 - region) * in_cells), 0.1)
    if evidence.towards is not None:
        measures["words"] = evidence.towards
    measures = {name: round(value, 3) for name, value in measures.items()}
    return _name(measures), measures


def _name(measures: Mapping[str, float]) -> VerdictName:
    if measures["strongest"] < UNCHANGED or measures.get("strength", 1.0) < TOO_LITTLE:
        return "no-change"
    if measures["structure"] < max(LOST, LOST_OF_LOOK * measures.get("structure of the look", 0.0)):
        return "over-edit"
    is_far = measures.get("distance", 0.0) > FAR * measures.get("distance of draws", 0.0) + 2 * NOTICEABLE
    is_astray = (is_far and measures["direction"] < ASIDE) or measures.get("words", AWAY) < AWAY
    if is_astray or measures.get("where", ELSEWHERE) < ELSEWHERE:
        return "off-target"
    if "strength" in measures:
        is_too_much = measures["excess"] > TOO_MUCH and measures["beyond"] > BEYOND
        return "over-edit" if is_too_much or measures["burnt beyond the look"] > BURNT_BEYOND_LOOK else "ok"
    return "over-edit" if measures["burnt"] > BURNT else "ok"


def small(image: Image.Image, size: tuple[int, int] | None = None) -> Pixels:
    """Reduce a picture to at most SIDE pixels a side, or resize it to `size` (width, height)."""
    return reduced(image, size or small_size(image.size))


def small_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the (width, height) at which a picture is judged; at least 16 a side, so that there are some blocks."""
    scale = min(1.0, SIDE / max(size))
    return max(16, round(size[0] * scale)), max(16, round(size[1] * scale))


def structure(photo: Pixels, edit: Pixels, weights: Pixels) -> float:
    """Correlate the edges of two pictures, at most 1.

    Edges are the strength of gradients, whichever way they point, at three scales. Where fine texture lies over all of
    them, as in snow, the finest edges and the lightness speak for the photo instead; a negative's lightness counts too.
    """
    first, second = (to_lab(picture)[..., 0] for picture in (photo, edit))
    smooth = [[cv2.GaussianBlur(one, (0, 0), sigma) for one in (first, second)] for sigma in (1, 2, 4)]
    edges = [_correlation(_edges(one), _edges(other), weights) for one, other in smooth]
    light = abs(_correlation(smooth[1][0], smooth[1][1], weights))
    return max(float(np.mean(edges)), 0.4 * (max(edges[0], 0.0) + light))


def _against_look(evidence: Evidence, weights: Pixels) -> dict[str, float]:
    """Compare an edit with what its look makes of the photo, where that changes it."""
    before, edit = appearance(evidence.photo), appearance(evidence.edit)
    change, draws = edit - before, np.stack([appearance(draw) for draw in evidence.expected]) - before
    in_blocks = cv2.resize(weights, before.shape[1::-1], interpolation=cv2.INTER_AREA)
    sizes, moved = np.linalg.norm(draws, axis=-1), np.linalg.norm(change, axis=-1)
    expected = _mean(sizes.mean(axis=0), in_blocks)
    if expected < NOTICEABLE:  # the photo holds nothing that the look would change
        return {"expected": expected}
    # Where the look changes the photo: one that recolours a flower goes too far there, not in the mean.
    where = in_blocks * sizes.mean(axis=0)
    own, of_draws = _mean(moved, where), [_mean(size, where) for size in sizes]
    # A strong look, such as fog, leaves few of the photo's edges: then its own are those to keep.
    kept = [structure(one, evidence.edit, weights) for one in (evidence.photo, *evidence.expected)]
    burnt = max(_mean(_burnt(one), weights) for one in (evidence.photo, *evidence.expected))
    # Draws with colours of their own, such as a duotone's, differ from each other: so may the edit from all of them.
    towards = max(_cosine(change, one, in_blocks) for one in (draws.mean(axis=0), *draws))
    return {
        "expected": expected,
        "structure": max(kept),
        "structure of the look": float(np.mean([structure(evidence.photo, one, weights) for one in evidence.expected])),
        "burnt beyond the look": max(0.0, _mean(_burnt(evidence.edit), weights) - burnt),
        "strength": _mean(moved, in_blocks) / expected,
        "excess": own / float(np.mean(of_draws)),
        "beyond": own - max(of_draws),
        "direction": towards + 1 - _likeness(draws, in_blocks),
        "distance": min(_mean(np.linalg.norm(change - one, axis=-1), in_blocks) for one in draws),
        "distance of draws": _spread(draws, in_blocks),
    }


def _spread(draws: Pixels, weights: Pixels) -> float:
    """The mean distance of two draws; 0 for an exact look."""
    pairs = [(one, other) for place, one in enumerate(draws) for other in draws[:place]]
    return float(np.mean([_mean(np.linalg.norm(a - b, axis=-1), weights) for a, b in pairs])) if pairs else 0.0


def _likeness(draws: Pixels, weights: Pixels) -> float:
    """The mean cosine of each draw's change and that of the others, 0 to 1; 1 for an exact look."""
    if len(draws) == 1:
        return 1.0
    others = [np.delete(draws, place, axis=0).mean(axis=0) for place in range(len(draws))]
    return max(0.0, float(np.mean([_cosine(one, rest, weights) for one, rest in zip(draws, others, strict=True)])))


def _cosine(first: Pixels, second: Pixels, weights: Pixels) -> float:
    together, one, other = (
        float((weights[..., None] * a * b).sum()) for a, b in ((first, second), (first, first), (second, second))
    )
    return float(together / max((one * other) ** 0.5, 1e-6))


def _cells(photo: Pixels, edit: Pixels) -> Pixels:
    """The CIELAB distance of two pictures, by cell."""
    size = tuple(max(1, length // _CELL) for length in photo.shape[1::-1])
    first, second = (cv2.resize(to_lab(one), size, interpolation=cv2.INTER_AREA) for one in (photo, edit))
    return np.asarray(np.linalg.norm(first - second, axis=-1))


def _burnt(picture: Pixels) -> Pixels:
    return np.asarray(((picture < 0.012) | (picture > 0.988)).any(axis=-1), np.float32)


def _edges(light: Pixels) -> Pixels:
    return np.asarray(np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)))


def _correlation(first: Pixels, second: Pixels, weights: Pixels) -> float:
    first, second = (one - _mean(one, weights) for one in (first, second))
    products = (_mean(a * b, weights) for a, b in ((first, second), (first, first), (second, second)))
    together, one, other = products
    return float(together / max((one * other) ** 0.5, 1e-3))


def _mean(values: Pixels, weights: Pixels) -> float:
    return float((values * weights).sum() / max(float(weights.sum()), 1e-6))
