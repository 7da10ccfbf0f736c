"""How much an edit changed a picture and how much of it is left, without a model and without regard to the words.

Pictures are float32 arrays (height, width, 3) of RGB values in [0, 1], at most SIDE pixels a side (`reduced`).
Distances are in CIELAB: about 2.3 is just noticeable (Mahy et al. 1994).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 256
NOTICEABLE = 2.3  # two pictures with a smaller mean distance count as near-duplicates
_OBVIOUS = 10.0  # a mean distance that nobody overlooks
_SSIM_C3 = 0.03**2 / 2  # SSIM's constant of the structure term, for values in [0, 1]

Pixels = npt.NDArray[Any]  # float32


def reduced(image: Image.Image, size: tuple[int, int] | None = None) -> Pixels:
    """Convert a picture to pixels, reduced to at most SIDE a side, or resized to `size` (width, height)."""
    # Converting a picture at its full size would copy it.
    colours = image if image.mode in ("L", "RGB") else image.convert("RGB")
    resized = colours.resize(size or reduced_size(image.size), Image.Resampling.BOX, reducing_gap=3.0)
    return np.asarray(resized.convert("RGB"), dtype=np.float32) / 255


def reduced_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the (width, height) of a picture reduced to at most SIDE a side."""
    scale = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def to_lab(picture: Pixels) -> Pixels:
    """Convert a picture to CIELAB: lightness in [0, 100], a and b in about [-128, 127]."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2Lab))


def lab_distance(first: Pixels, second: Pixels) -> float:
    """Mean distance of two pictures in CIELAB, both (height, width, 3)."""
    return float(np.linalg.norm(first - second, axis=-1).mean())


def appearance(picture: Pixels) -> Pixels:
    """Colour and texture of each 8 x 8 px block, (rows, columns, 4): mean CIELAB, and the contrast of fine detail.

    Where flakes and strokes lie does not matter to it, only how many there are and how they look.
    """
    lab = to_lab(picture.astype(np.float32))
    size = (max(1, picture.shape[1] // 8), max(1, picture.shape[0] // 8))
    mean = cv2.resize(lab, size, interpolation=cv2.INTER_AREA)
    light = lab[..., 0]
    detail = np.abs(light - cv2.GaussianBlur(light, (0, 0), 1.5))
    return np.dstack([mean, 4 * cv2.resize(detail, size, interpolation=cv2.INTER_AREA)])


def similarity(distance: float) -> float:
    """Map a CIELAB distance to a similarity in (0, 1]: 1 for equal pictures, near 0 for an obvious change."""
    return float(np.exp(-distance / _OBVIOUS))


def edit_score(change: float, structure: float) -> float:
    """Score an edit: the product of visible change and kept structure, at most 1; higher is better.

    Args:
        change: Mean CIELAB distance.
        structure: As in `measure_change`.
    """
    return structure * (1 - similarity(change))


def measure_change(before: Pixels, after: Pixels) -> dict[str, float | str]:
    """Measure how a picture of the same size differs from another one.

    Returns:
        `change`: mean CIELAB distance. `changed area`: the share of pixels, 0 to 1, that changed noticeably. `where`:
        the cell of a 3 x 3 grid with the largest change ("top left"), or "everywhere", or "nowhere". `structure`:
        the mean correlation of luminance in windows of 11 pixels, -1 to 1 (SSIM's structure term, Wang et al. 2004,
        equation 10).
    """
    distances = np.linalg.norm(to_lab(before) - to_lab(after), axis=-1)
    rows, columns = (np.array_split(np.arange(length), 3) for length in distances.shape)
    cells = {
        f"{vertical} {horizontal}".replace("middle middle", "middle"): float(distances[np.ix_(row, column)].mean())
        for vertical, row in zip(("top", "middle", "bottom"), rows, strict=True)
        for horizontal, column in zip(("left", "middle", "right"), columns, strict=True)
        if len(row) and len(column)
    }
    mean = float(distances.mean())
    where = max(cells, key=lambda cell: cells[cell])
    if cells[where] < 1.5 * mean:
        where = "everywhere"
    return {
        "change": round(mean, 2),
        "changed area": round(float((distances > 2 * NOTICEABLE).mean()), 3),
        "where": where if mean else "nowhere",
        "structure": round(_structure(before, after), 4),
    }


def _structure(before: Pixels, after: Pixels) -> float:
    x, y = (to_lab(picture)[..., 0] / 100 for picture in (before, after))

    def local_mean(plane: Pixels) -> Pixels:
        return np.asarray(cv2.GaussianBlur(plane, (11, 11), 1.5))

    mean_x, mean_y = local_mean(x), local_mean(y)
    variance_x, variance_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    deviations = np.sqrt(np.clip(variance_x, 0, None) * np.clip(variance_y, 0, None))
    covariance = local_mean(x * y) - mean_x * mean_y
    return float(((covariance + _SSIM_C3) / (deviations + _SSIM_C3)).mean())
