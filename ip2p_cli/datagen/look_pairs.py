"""Training pairs from a folder of photos, painted on the fly.

A batch is a pure function of (seed, step, rank): resuming needs no stored state, and any number of reader processes
gives the same data.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.looks import Draw, Pixels, looks
from ip2p_cli.looks.phrasing import vary
from ip2p_cli.suggest import did_you_mean

PHOTO_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}
AMOUNTS = {"slightly": 0.5, "much": 1.6}
REMEMBERED_BYTES = 400_000_000  # two thousand photos of 256 px
# A photo that a look hardly changes (red turned blue, where nothing is red) teaches little: another one is drawn.
CHANGED, TRIES = 0.02, 4

TrainingPair = tuple[Pixels, Pixels, str]  # before, after, instruction


@dataclass(frozen=True, kw_only=True)
class CropSpec:
    """Crops of `height` x `width` pixels, `per_photo` of each painted photo, whose shorter side is `side` pixels."""

    height: int
    width: int
    side: int
    per_photo: int = 1

    @property
    def whole(self) -> bool:
        """Whether a crop is as large as the photo, and so counts as a photo of its own."""
        return min(self.height, self.width) >= self.side


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """Pictures before and after, (N, H, W, 3) float32 RGB in [0, 1], and N instructions."""

    before: npt.NDArray[np.float32]
    after: npt.NDArray[np.float32]
    instructions: tuple[str, ...]


class Stream(ABC):
    """Training pairs, a batch at a time."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def batch(self, step: int, count: int, crop: CropSpec, rank: int = 0) -> PairBatch:
        """Draw `count` pairs for a training step of process `rank`: a pure function of these and the seed."""
        pairs: list[TrainingPair] = []
        while len(pairs) < count:
            pairs += self._draw(random.Random(f"{self.seed}/{step}/{rank}/{len(pairs)}"), crop)
        before, after, instructions = zip(*pairs[:count], strict=True)
        return PairBatch(before=np.stack(before), after=np.stack(after), instructions=instructions)

    @abstractmethod
    def _draw(self, rng: random.Random, crop: CropSpec) -> list[TrainingPair]:
        """Draw one photo and take its crops."""


class LooksStream(Stream):
    """Pairs of a photo and one of its looks, with one of the look's wordings.

    A crop smaller than the photo is taken after painting, so that a look has the scale and the place that it has in a
    whole photo.
    """

    def __init__(self, photos: Sequence[Path], *, seed: int, emphasis: Mapping[str, float] | None = None) -> None:
        """`emphasis`: how much more often than others a look is drawn. Raises UsageError for an unknown look."""
        super().__init__(seed)
        self.photos, self.names, emphasis = list(photos), tuple(looks()), emphasis or {}
        for name in emphasis:
            if name not in self.names:
                raise UsageError(f"emphasis: there is no look called {name!r}.{did_you_mean(name, self.names)}")
        self.weights = [emphasis.get(name, 1.0) for name in self.names]
        self._remembered: dict[tuple[Path, int], npt.NDArray[np.uint8]] = {}
        self._free_bytes = REMEMBERED_BYTES

    def _read(self, path: Path, side: int) -> npt.NDArray[np.uint8]:
        """`read_photo` as bytes; photos are remembered in the order in which they are read, until memory is full."""
        photo = self._remembered.get((path, side))
        if photo is None:
            photo = (read_photo(path, side) * 255).round().astype(np.uint8)
            if photo.nbytes <= self._free_bytes:
                self._remembered[path, side] = photo
                self._free_bytes -= photo.nbytes
        return photo

    def _photo(self, rng: random.Random, crop: CropSpec) -> Pixels:
        photo: npt.NDArray[np.generic] = self._read(rng.choice(self.photos), crop.side)
        if rng.random() < 0.5:
            photo = photo[:, ::-1]
        if crop.whole:
            photo = random_crop(photo, crop, rng)
        return photo.astype(np.float32) / np.float32(255)

    def _draw(self, rng: random.Random, crop: CropSpec) -> list[TrainingPair]:
        look = looks()[rng.choices(self.names, self.weights)[0]]
        wordings, amount = look.wordings, 1.0
        for strength, graded in (("slightly", look.slightly), ("much", look.much)):
            if graded and rng.random() < 0.15:
                wordings, amount = graded, AMOUNTS[strength]
        for _ in range(TRIES):
            before = self._photo(rng, crop)
            after = look.paint(before, amount, Draw.from_seed(rng.getrandbits(32), *before.shape[:2]))
            if np.abs(after - before).mean() > CHANGED:
                break
        if crop.whole:
            return [(before, after, vary(rng.choice(wordings), rng))]
        both = np.concatenate([before, after], axis=2)
        return [(*crop_both(both, crop, rng), vary(rng.choice(wordings), rng)) for _ in range(crop.per_photo)]


def list_photos(folder: Path) -> list[Path]:
    """List the photos in a folder and its folders, sorted. Raises InputError if there are none."""
    photos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_ENDINGS) if folder.is_dir() else []
    if not photos:
        raise InputError(f"{folder}: no photos there. Give a folder with {', '.join(sorted(PHOTO_ENDINGS))} files.")
    return photos


def split_photos(photos: Sequence[Path], hold_out_every: int) -> tuple[list[Path], list[Path]]:
    """Split photos into (training, held out): every `hold_out_every`-th one is held out, with 0 none."""
    if not hold_out_every:
        return list(photos), []
    held_out = list(photos[hold_out_every - 1 :: hold_out_every])
    return [photo for index, photo in enumerate(photos, start=1) if index % hold_out_every], held_out


def read_photo(path: Path, side: int) -> Pixels:
    """Read a photo, resized so that its shorter side is `side` pixels. Raises InputError if it cannot be read."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise InputError(f"{path}: not a picture that can be read; remove it from the training folder.")
    return to_side(bgr[..., ::-1], side)


def to_side(picture: npt.NDArray[np.generic], side: int) -> Pixels:
    """Resize an 8-bit RGB picture, (H, W, 3), so that its shorter side is `side` pixels, as values in [0, 1]."""
    scale = side / min(picture.shape[:2])
    size = (max(side, round(picture.shape[1] * scale)), max(side, round(picture.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(np.ascontiguousarray(picture), size, interpolation=method)
    return np.asarray(resized, np.float32) / np.float32(255)


def crop_both(both: Pixels, crop: CropSpec, rng: random.Random) -> tuple[Pixels, Pixels]:
    """Take the same random crop of two pictures that lie behind each other, (H, W, 6)."""
    window = random_crop(both, crop, rng).astype(np.float32)
    return window[..., :3], window[..., 3:]


def random_crop(picture: npt.NDArray[np.generic], crop: CropSpec, rng: random.Random) -> npt.NDArray[np.generic]:
    """Take a random crop; a picture too small for it is first mirrored at its lower and right edges."""
    missing = max(0, crop.height - picture.shape[0]), max(0, crop.width - picture.shape[1])
    if any(missing):
        picture = np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect")
    # In steps of 8: looks with a grid of their own (pixel art, engraving) keep their place in it.
    y = 8 * rng.randint(0, (picture.shape[0] - crop.height) // 8)
    x = 8 * rng.randint(0, (picture.shape[1] - crop.width) // 8)
    return picture[y : y + crop.height, x : x + crop.width]
