"""What a look is: a named photographic edit, how it is painted, and how people ask for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]  # (H, W, 3): display-referred sRGB values in [0, 1]
Plane = npt.NDArray[np.float32]  # (H, W): a mask or a luminance, in [0, 1]
Paint = Callable[[Pixels, float, "Draw"], Pixels]

CHANNELS = 16  # the numbers and the fields of a draw: as many as nano's latent has channels
CELL = 4  # pixels, of a photo whose shorter side has 256, for each cell of a field
MOST_MARKS = 20_000  # in a picture; a very long strip has more cells


def cell_size(height: int, width: int) -> float:
    """Pixels of a picture for each cell of a field, in each direction."""
    return max(1.0, CELL * min(height, width) / 256)  # smaller ones would be too many in a thin strip


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """The random choices of one painting: all of them are read from standard normal noise.

    A look takes what it chooses for the whole picture (a palette, the sun's height) from `numbers`, and what it places
    in the picture (flakes, strokes, clouds) from `fields`. nano is trained on latents that hold the same noise, so it
    can learn which noise makes which picture.

    Attributes:
        numbers: (CHANNELS,) float32.
        fields: (CHANNELS, rows, columns) float32: a value for each cell of CELL x CELL pixels.
    """

    numbers: npt.NDArray[np.float32]
    fields: npt.NDArray[np.float32]

    @classmethod
    def from_seed(cls, seed: int, height: int, width: int) -> Draw:
        """Draw for a picture of `height` x `width` pixels."""
        rng = np.random.default_rng(seed)
        size = cell_size(height, width)
        shape = CHANNELS, math.ceil(height / size), math.ceil(width / size)
        numbers = rng.standard_normal(CHANNELS, dtype=np.float32)
        return cls(numbers=numbers, fields=rng.standard_normal(shape, dtype=np.float32))

    def between(self, index: int, low: float, high: float) -> float:
        """Return number `index` as a value that is uniform between `low` and `high`."""
        return low + (high - low) * 0.5 * (1 + math.erf(float(self.numbers[index]) / math.sqrt(2)))

    def field(self, index: int, image: Pixels | Plane, size: float = CELL) -> Plane:
        """Return field `index` as a smooth surface over `image`, with values that are about standard normal.

        Args:
            index: The number of the field.
            image: Gives the height and the width.
            size: The length, in pixels of a 256-pixel photo, over which the surface changes.
        """
        height, width = image.shape[:2]
        cells = self.fields[index]
        sigma = size / CELL / 2
        if sigma > 0.6:
            # Padded with further noise would be exact; a mirrored border is near enough and needs none.
            cells = cv2.GaussianBlur(cells, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
            cells = cells * np.float32(2 * math.sqrt(math.pi) * sigma)  # the standard deviation is 1 again
        return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)

    def marks(self, index: int, share: float, image: Pixels | Plane) -> npt.NDArray[np.float32]:
        """Scatter marks over `image`: flakes, drops, strokes.

        Args:
            index: Field `index` decides which cells have a mark, the two after it where in the cell the mark is.
            share: The share of the cells that have one, at most 0.5.
            image: Gives the height and the width.

        Returns:
            (N, 3): x and y in pixels of `image`, and a size that is uniform in [0, 1].
        """
        scale = cell_size(*image.shape[:2])
        level = NormalDist().inv_cdf(1 - min(0.5, max(1e-6, share)))
        rows, columns = np.nonzero(self.fields[index] > level)
        rows, columns = rows[:MOST_MARKS], columns[:MOST_MARKS]
        dx, dy = (0.5 + 0.5 * np.tanh(self.fields[(index + k) % CHANNELS, rows, columns]) for k in (1, 2))
        over = self.fields[index, rows, columns] - level  # close to exponential in the tail of a normal distribution
        size = 1 - np.exp(-over * max(level, 0.8))
        return np.stack([(columns + dx) * scale, (rows + dy) * scale, size], axis=1).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Look:
    """A photographic edit: its painter, and its wordings at full strength, slightly and much.

    Attributes:
        name: Its name.
        group: The module that its painter is in.
        paint: The painter.
        exact: Whether the look is the same for every draw.
        voices: Its wordings at full strength, by voice. The voices `HELD_OUT` are never trained on: they measure
            whether a model generalises.
        slightly: Wordings for a slight one.
        much: Wordings for a strong one.
    """

    name: str
    group: str
    paint: Paint
    exact: bool
    voices: Mapping[str, tuple[str, ...]]
    slightly: tuple[str, ...]
    much: tuple[str, ...]

    @property
    def wordings(self) -> tuple[str, ...]:
        """The wordings to train on."""
        return tuple(text for voice, texts in self.voices.items() if voice not in HELD_OUT for text in texts)

    @property
    def held_out(self) -> tuple[str, ...]:
        """The wordings that are never trained on."""
        return tuple(text for voice in HELD_OUT for text in self.voices.get(voice, ()))


VOICES = ("terse", "command", "polite", "question", "description", "caption", "slang")
HELD_OUT = ("question", "slang")
