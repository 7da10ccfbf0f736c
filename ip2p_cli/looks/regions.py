"""Regions of a photo that an instruction can name, and masks of them: places, colours, tones, things.

A mask is a soft plane (H, W) in [0, 1]. A detector that is not sure of its region in a photo gives none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import cv2
import numpy as np

from ip2p_cli.looks import tones
from ip2p_cli.looks.base import Pixels, Plane

Detector = Callable[[Pixels, Plane | None], Plane | None]  # of a photo and its subject's mask, where there is one

# A region smaller or larger than this share of the photo teaches little, and says little in a measurement.
LEAST, MOST = 0.04, 0.92


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of a photo that has a name.

    Attributes:
        name: Its name.
        nouns: Noun phrases for it, the plainest first.
        detect: The mask of the region, or None where a photo has none.
        is_place: Whether the mask depends on the photo's frame alone, not on what it shows.
    """

    name: str
    nouns: tuple[str, ...]
    detect: Detector
    is_place: bool = False

    def mask(self, photo: Pixels, subject: Plane | None = None) -> Plane | None:
        """The region's mask; None where the photo has no such region, or it is very small or nearly everything."""
        mask = self.detect(photo, subject)
        return mask if mask is not None and LEAST < float(mask.mean()) < MOST else None


def _half(photo: Pixels, subject: Plane | None, *, axis: int, first: bool) -> Plane:
    height, width = photo.shape[:2]
    length = photo.shape[axis]
    position = (np.arange(length, dtype=np.float32) + 0.5) / length
    ramp = tones.smoothstep(position, 0.47, 0.53)
    ramp = 1 - ramp if first else ramp
    line = ramp[:, None] if axis == 0 else ramp[None, :]
    return tones.f32(np.broadcast_to(line, (height, width)))


def _middle(photo: Pixels, subject: Plane | None) -> Plane:
    return 1 - tones.smoothstep(tones.radius(photo), 0.5, 0.6)


def _edges(photo: Pixels, subject: Plane | None) -> Plane:
    height, width = photo.shape[:2]
    y = np.abs((np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1)[:, None]
    x = np.abs((np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1)[None, :]
    return tones.smoothstep(tones.f32(np.maximum(y, x)), 0.68, 0.76)


def _corners(photo: Pixels, subject: Plane | None) -> Plane:
    return tones.smoothstep(tones.radius(photo), 1.0, 1.08)


def _hue(photo: Pixels, subject: Plane | None, *, hue: float, half: float, low: float) -> Plane:
    hsv = tones.to_hsv(tones.blur(photo, 1.5))
    return tones.blur(tones.hue_mask(hsv, hue, half, 8, low, low + 0.15, 0.1), 1.0)


def _highlights(photo: Pixels, subject: Plane | None) -> Plane:
    return tones.smoothstep(tones.blur(tones.luminance(photo), 1.5), 0.66, 0.76)


def _shadows(photo: Pixels, subject: Plane | None) -> Plane:
    return 1 - tones.smoothstep(tones.blur(tones.luminance(photo), 1.5), 0.22, 0.32)


def _plants(photo: Pixels, subject: Plane | None) -> Plane:
    green = tones.hue_mask(tones.to_hsv(tones.blur(photo, 1.2)), 96, 34, 10, 0.2, 0.32, 0.1)
    return tones.smoothstep(tones.blur(green, 2.5), 0.35, 0.65)


def _sky(photo: Pixels, subject: Plane | None) -> Plane | None:
    """What is smooth, bright, and blue or grey, and reaches the upper edge."""
    lum = tones.luminance(photo)
    hsv = tones.to_hsv(tones.blur(photo, 1.5))
    blue = tones.hue_mask(hsv, 212, 32, 12, 0.08, 0.2, 0.35)
    pale = tones.smoothstep(tones.blur(lum, 1.5), 0.55, 0.7) * (1 - tones.smoothstep(hsv[..., 1], 0.18, 0.3))
    smooth = 1 - tones.smoothstep(tones.blur(tones.edges(lum, 0.8), 2), 0.012, 0.03)
    sure = (np.maximum(blue, pale) * smooth > 0.5).astype(np.uint8)
    side = 2 * round(6 * tones.scale_of(photo)) + 1  # closes the gaps at the rims of clouds
    sure = cv2.morphologyEx(sure, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    _, labels = cv2.connectedComponents(sure, connectivity=4)
    at_top = np.unique(labels[: max(1, len(labels) // 40)])
    sky = tones.f32(np.isin(labels, at_top[at_top > 0]))
    # A sky spans most of the upper edge and ends above the lower one. It is not the white paper of a studio.
    if sky[: max(1, len(sky) // 20)].mean() < 0.7 or sky[-max(1, len(sky) // 5) :].mean() > 0.02:
        return None
    if float((blue * sky).sum()) < 0.2 * float(sky.sum()) and float((lum * sky).sum()) > 0.93 * float(sky.sum()):
        return None
    return tones.smoothstep(tones.blur(sky, 1.5), 0.25, 0.75)


def _subject(photo: Pixels, subject: Plane | None) -> Plane | None:
    return subject


def _background(photo: Pixels, subject: Plane | None) -> Plane | None:
    return None if subject is None else tones.f32(1 - subject)


def _place(name: str, detect: Detector, *nouns: str) -> Region:
    return Region(name=name, nouns=nouns, detect=detect, is_place=True)


def _colour(name: str, hue: float, half: float, low: float) -> Region:
    nouns = (f"the {name}", f"what is {name}", f"the {name} parts", f"everything {name}", f"the {name} things")
    return Region(name=name, nouns=nouns, detect=partial(_hue, hue=hue, half=half, low=low))


_REGIONS = (
    _place("left", partial(_half, axis=1, first=True), "the left half", "the left side", "the left", "the left part"),
    _place("right", partial(_half, axis=1, first=False), "the right half", "the right side", "the right",
           "the right part"),
    _place("top", partial(_half, axis=0, first=True), "the upper half", "the top half", "the top", "the upper part"),
    _place("bottom", partial(_half, axis=0, first=False), "the lower half", "the bottom half", "the bottom",
           "the lower part"),
    _place("middle", _middle, "the middle", "the centre", "the center", "the central part"),
    _place("edges", _edges, "the edges", "the borders", "the margins", "the outer part"),
    _place("corners", _corners, "the corners", "the four corners", "all corners"),
    _colour("red", 0, 14, 0.35), _colour("orange", 27, 9, 0.4), _colour("yellow", 52, 11, 0.35),
    _colour("green", 110, 40, 0.18), _colour("blue", 218, 28, 0.25),
    Region(name="highlights", detect=_highlights,
           nouns=("the highlights", "the bright parts", "the lights", "the brightest areas", "the light areas")),
    Region(name="shadows", detect=_shadows,
           nouns=("the shadows", "the dark parts", "the darks", "the darkest areas", "the dark areas")),
    Region(name="sky", detect=_sky, nouns=("the sky", "the sky above", "the heavens", "the whole sky")),
    Region(name="plants", detect=_plants,
           nouns=("the plants", "the vegetation", "the grass and the trees", "the greenery", "the leaves",
                  "the trees")),
    Region(name="subject", detect=_subject,
           nouns=("the subject", "the main subject", "the foreground", "the main object", "the thing in front")),
    Region(name="background", detect=_background,
           nouns=("the background", "everything behind the subject", "the backdrop", "what is behind the subject",
                  "the surroundings", "everything but the subject")),
)  # fmt: skip

# The one in whose name the rest is asked for, "keep the red, the rest in grey": its complement is a region too.
_WITH_REST = ("red", "orange", "yellow", "green", "blue", "sky", "plants")


def _rest(photo: Pixels, subject: Plane | None, *, of: Detector) -> Plane | None:
    mask = of(photo, subject)
    return None if mask is None else tones.f32(1 - mask)


def _with_rest() -> Mapping[str, Region]:
    found = {region.name: region for region in _REGIONS}
    for name in _WITH_REST:
        nouns = tuple(form.format(noun) for noun in found[name].nouns[:3] for form in ("everything but {}", "the rest"))
        detect = partial(_rest, of=found[name].detect)
        rest = Region(name=f"not_{name}", nouns=tuple(dict.fromkeys(nouns)), detect=detect)
        found[rest.name] = rest
    return found


REGIONS: Mapping[str, Region] = MappingProxyType(_with_rest())


def restrict(before: Pixels, after: Pixels, mask: Plane) -> Pixels:
    """An edit inside a mask: `before` where the mask is 0, `after` where it is 1."""
    return tones.mix(before, after, mask)
