"""Training pairs from a folder of photos, painted on the fly.

A batch is a pure function of (seed, step, rank): nothing has to be stored to resume, and any number of
reader processes gives the same data.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.looks import Image, looks
from ip2p_cli.looks.phrasing import vary
from ip2p_cli.suggest import did_you_mean

PHOTO_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}
AMOUNTS = {"slightly": 0.5, "much": 1.6}
REMEMBERED_BYTES = 400_000_000  # two thousand photos of 256 px
# A photo that a look hardly changes (a change of red where nothing is red) teaches little: another one is drawn.
CHANGED, TRIES = 0.02, 4


@dataclass(frozen=True, kw_only=True)
class CropSpec:
    """What is cut from a photo whose shorter side is `side` pixels; as large as that, it is a photo of its own.

    per_photo: how many cuts are taken from one painted photo.
    """

    height: int
    width: int
    side: int
    per_photo: int = 1

    @property
    def whole(self) -> bool:
        """Whether positions in the cut are positions in a photo."""
        return min(self.height, self.width) >= self.side


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """A batch: before and after (N, H, W, 3) float32 in [0, 1], and what was asked."""

    before: npt.NDArray[np.float32]
    after: npt.NDArray[np.float32]
    instructions: tuple[str, ...]


def list_photos(folder: Path) -> list[Path]:
    """The photos in `folder`, sorted by name; raises InputError where there are none."""
    photos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_ENDINGS) if folder.is_dir() else []
    if not photos:
        raise InputError(f"{folder}: no photos there. Give a folder with {', '.join(sorted(PHOTO_ENDINGS))} files.")
    return photos


def split_photos(photos: Sequence[Path], hold_out_every: int) -> tuple[list[Path], list[Path]]:
    """(for training, held out): every `hold_out_every`-th photo in the order of names is held out; 0 holds out none."""
    if not hold_out_every:
        return list(photos), []
    held = [p for i, p in enumerate(photos) if i % hold_out_every == hold_out_every - 1]
    return [p for i, p in enumerate(photos) if i % hold_out_every != hold_out_every - 1], held


def read_photo(path: Path, side: int) -> Image:
    """A photo whose shorter side is `side` pixels, float32 RGB in [0, 1]."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise InputError(f"{path}: not a picture that can be read; remove it from the training folder.")
    return to_side(bgr[..., ::-1], side)


def to_side(picture: npt.NDArray[np.generic], side: int) -> Image:
    """An RGB picture of bytes (H, W, 3) as `read_photo` gives it."""
    scale = side / min(picture.shape[:2])
    size = (max(side, round(picture.shape[1] * scale)), max(side, round(picture.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(np.ascontiguousarray(picture), size, interpolation=method)
    rgb: Image = resized.astype(np.float32) / np.float32(255)
    return rgb


class Stream(Protocol):
    """What training learns from, a batch at a time."""

    def batch(self, step: int, count: int, cut: CropSpec, rank: int = 0) -> Pairs:
        """The `count` pairs of training step `step` for process `rank`: a pure function of these and the seed."""
        ...


class LooksStream:
    """Pairs of a photo and one of its looks, with one of the look's wordings.

    A cut of less than the whole photo is taken after painting, so that a look has the scale and the
    place that it has in a whole photo.
    """

    def __init__(self, photos: Sequence[Path], *, seed: int, emphasis: Mapping[str, float] | None = None) -> None:
        """emphasis: how much oftener than the others a look is drawn, by its name."""
        self.photos, self.seed = list(photos), seed
        self.names = tuple(looks())
        for name in emphasis or {}:
            if name not in self.names:
                raise UsageError(f"emphasis: there is no look called {name!r}.{did_you_mean(name, self.names)}")
        self.weights = [(emphasis or {}).get(name, 1.0) for name in self.names]
        self._remembered: dict[tuple[Path, int], npt.NDArray[np.uint8]] = {}
        self._room = REMEMBERED_BYTES

    def batch(self, step: int, count: int, cut: CropSpec, rank: int = 0) -> Pairs:
        """The `count` pairs of training step `step` for process `rank`."""
        items: list[tuple[Image, Image, str]] = []
        while len(items) < count:
            items += self._pairs(random.Random(f"{self.seed}/{step}/{rank}/{len(items)}"), cut)
        return Pairs(
            before=np.stack([before for before, _, _ in items[:count]]),
            after=np.stack([after for _, after, _ in items[:count]]),
            instructions=tuple(text for _, _, text in items[:count]),
        )

    def _read(self, path: Path, side: int) -> npt.NDArray[np.uint8]:
        """`read_photo` in bytes; the photos that are read first are remembered, as many as there is room for."""
        found = self._remembered.get((path, side))
        if found is None:
            found = (read_photo(path, side) * 255).round().astype(np.uint8)
            if found.nbytes <= self._room:
                self._remembered[path, side] = found
                self._room -= found.nbytes
        return found

    def _photo(self, rng: random.Random, cut: CropSpec) -> Image:
        photo: npt.NDArray[np.generic] = self._read(rng.choice(self.photos), cut.side)
        if rng.random() < 0.5:
            photo = photo[:, ::-1]
        if cut.whole:  # the cut is a photo of its own: cut first, then paint
            photo = cut_out(photo, cut, rng)
        return photo.astype(np.float32) / np.float32(255)

    def _pairs(self, rng: random.Random, cut: CropSpec) -> list[tuple[Image, Image, str]]:
        look = looks()[rng.choices(self.names, self.weights)[0]]
        wordings, amount = look.wordings, 1.0
        for strength, graded in (("slightly", look.slightly), ("much", look.much)):
            if graded and rng.random() < 0.15:
                wordings, amount = graded, AMOUNTS[strength]
        for _ in range(TRIES):
            before = self._photo(rng, cut)
            after = look.paint(before, amount, np.random.default_rng(rng.getrandbits(32)))
            if np.abs(after - before).mean() > CHANGED:
                break
        if cut.whole:
            return [(before, after, vary(rng.choice(wordings), rng))]
        both = np.concatenate([before, after], axis=2)
        pairs = []
        for _ in range(cut.per_photo):
            window: Image = cut_out(both, cut, rng).astype(np.float32)
            pairs.append((window[..., :3], window[..., 3:], vary(rng.choice(wordings), rng)))
        return pairs


def cut_out(picture: npt.NDArray[np.generic], cut: CropSpec, rng: random.Random) -> npt.NDArray[np.generic]:
    """A random window of the stage's size; a photo too narrow for it is first mirrored at its edges."""
    short = max(0, cut.height - picture.shape[0]), max(0, cut.width - picture.shape[1])
    if any(short):
        picture = np.pad(picture, ((0, short[0]), (0, short[1]), (0, 0)), mode="reflect")
    # In steps of 8: looks with a grid of their own (pixel art, engraving) keep their place in it.
    y = 8 * rng.randint(0, (picture.shape[0] - cut.height) // 8)
    x = 8 * rng.randint(0, (picture.shape[1] - cut.width) // 8)
    return picture[y : y + cut.height, x : x + cut.width]
