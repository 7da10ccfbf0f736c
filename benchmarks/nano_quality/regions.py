"""Regions: does an edit, made as a user makes it, stay in the region that its instruction names?"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image

from ip2p_cli import Editor
from ip2p_cli.errors import InputError
from ip2p_cli.looks import looks
from ip2p_cli.looks.phrasing import in_region
from ip2p_cli.looks.regions import REGIONS
from ip2p_cli.types import EditSettings

# Looks that change every pixel, so that where a photo changed is where the edit was.
PLAIN = ("black_and_white", "invert", "darker", "brighter", "sepia", "tint_green", "night", "thermal", "blueprint")
THINGS = frozenset(("subject", "background", "sky", "plants", "not_sky", "not_plants"))
CHANGED = 12.0  # of 255: a pixel that changed by more belongs to the edit


@dataclass
class RegionFigures:
    """What was measured of one region, a value an edit: mean change outside, of 255, and IoU of the changed area."""

    outside: list[float] = field(default_factory=list)
    overlap: list[float] = field(default_factory=list)


def measure_regions(
    editor: Editor,
    photos: list[tuple[np.ndarray, np.ndarray | None]],
    say: Callable[[str], None],
) -> dict[str, RegionFigures]:
    """Measure every region on every photo, each given with its subject's mask, that has it."""
    found: dict[str, RegionFigures] = defaultdict(RegionFigures)
    for number, (photo, subject) in enumerate(photos):
        say(f"regions: photo {number + 1} of {len(photos)}")
        rng = random.Random(number)
        masks = {name: region.mask(photo, subject) for name, region in REGIONS.items()}
        named = {name: mask for name, mask in masks.items() if mask is not None}
        chosen = [rng.choice(PLAIN) for _ in named]
        texts = [
            in_region(rng.choice(looks()[look].wordings), look, REGIONS[name], rng)
            for name, look in zip(named, chosen, strict=True)
        ]
        image = Image.fromarray((photo * 255).round().astype(np.uint8))
        for (name, mask), look, text in zip(named.items(), chosen, texts, strict=True):
            try:
                edited = editor.edit(image, text, EditSettings(seed=number)).image
            except InputError:  # such as a subject that is not found: an edit that does not happen
                edited = image
            edit = np.asarray(edited, np.float32) / 255
            whole = looks()[look].paint(photo, 1.0, _draw(photo, number))
            _add(found[name], mask, 255 * np.abs(edit - photo).mean(axis=2), 255 * np.abs(whole - photo).mean(axis=2))
    return found


def _draw(photo: np.ndarray, number: int):
    from ip2p_cli.looks import Draw

    return Draw.from_seed(number, *photo.shape[:2])


def _add(figures: RegionFigures, mask: np.ndarray, change: np.ndarray, whole: np.ndarray) -> None:
    outside = mask < 0.02
    if outside.any():
        figures.outside.append(float(change[outside].mean()))
    # Pixels that the look leaves alone wherever it is (grey ones by black and white) say nothing.
    telling = (whole > 2 * CHANGED) & ((mask < 0.2) | (mask > 0.8))
    changed = cv2.GaussianBlur(change, (0, 0), 1.0) > CHANGED
    inside = mask > 0.5
    union = (telling & (changed | inside)).sum()
    if union > 0.02 * mask.size:
        figures.overlap.append(float((telling & changed & inside).sum() / union))
