"""How much a picture changed, and how much of it is still there: measures that need no model and know no words.

Every measure is made on pictures of at most SIDE pixels.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 256
# CIELAB distance: about 2.3 is just noticeable (Mahy et al. 1994). Nearer on average is called a near-duplicate.
NOTICEABLE = 2.3
_VISIBLE = 10.0  # a change of this size on average is plain to see

Plane = npt.NDArray[Any]  # float32


def change_of(before: Plane, after: Plane) -> dict[str, float | str]:
    """How much changed (mean CIELAB distance), on which share of the picture, where, and how much structure is kept.

    structure: the correlation of luminance in windows of 11 pixels (SSIM's structure term, Wang et al. 2004), -1 to 1.
    """
    apart = np.linalg.norm(lab_of(before) - lab_of(after), axis=-1)
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


def nearness(change: float) -> float:
    """1 for a CIELAB distance of 0, falling to 0 for what is plain to see."""
    return float(np.exp(-change / _VISIBLE))


def lab_of(picture: Plane) -> Plane:
    """A picture (h, w, 3) in [0, 1] in CIELAB."""
    lab: Plane = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2Lab)
    return lab


def distance(one: Plane, other: Plane) -> float:
    """The mean distance of two pictures in CIELAB."""
    return float(np.linalg.norm(one - other, axis=-1).mean())


def _structure(before: Plane, after: Plane) -> float:
    x, y = (lab_of(picture)[..., 0] / 100 for picture in (before, after))

    def blurred(plane: Plane) -> Plane:
        done: Plane = cv2.GaussianBlur(plane, (11, 11), 1.5)
        return done

    mean_x, mean_y = blurred(x), blurred(y)
    deviation = np.sqrt(np.clip(blurred(x * x) - mean_x**2, 0, None) * np.clip(blurred(y * y) - mean_y**2, 0, None))
    steady = 0.03**2 / 2  # SSIM's C3 for a range of 1
    return float(((blurred(x * y) - mean_x * mean_y + steady) / (deviation + steady)).mean())
