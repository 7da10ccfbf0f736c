"""What a look is: a named photographic edit, how it is painted, and how people ask for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]  # (H, W, 3): display-referred sRGB values in [0, 1]
Plane = npt.NDArray[np.float32]  # (H, W): a mask or a luminance, in [0, 1]
Paint = Callable[[Pixels, float, np.random.Generator], Pixels]


@dataclass(frozen=True, kw_only=True)
class Look:
    """A photographic edit: its painter, and its wordings at full strength, slightly and much.

    The wordings `held_out` are never trained on: they measure whether a model generalises.
    """

    name: str
    group: str
    paint: Paint
    wordings: tuple[str, ...]
    held_out: tuple[str, ...]
    slightly: tuple[str, ...]
    much: tuple[str, ...]
