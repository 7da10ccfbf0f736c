"""What a look is: a named, pure photographic edit and the ways people ask for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]  # (H, W, 3), RGB, display-referred sRGB values in [0, 1]
Plane = npt.NDArray[np.float32]  # (H, W): a mask or a luminance
Paint = Callable[[Image, float, np.random.Generator], Image]


@dataclass(frozen=True, kw_only=True)
class Look:
    """One edit: how to paint it, and how it is worded."""

    name: str
    group: str
    paint: Paint
    wordings: tuple[str, ...]
    held_out: tuple[str, ...]  # never trained on: they measure whether wordings generalise
    slightly: tuple[str, ...]
    much: tuple[str, ...]
