"""Photos and masks of their subjects, strongly augmented: crops, colours, subjects on other backgrounds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ip2p_cli.datagen.look_pairs import read_photo
from ip2p_cli.looks import Draw, looks, tones
from ip2p_cli.looks.base import Pixels, Plane
from ip2p_cli.models.subject.network import SIDE

PASTED, PAINTED, GREY = 0.35, 0.1, 0.08  # the shares of examples
_READ_SIDE = 256


class SubjectPairs(Dataset[tuple[Tensor, Tensor]]):
    """Batches of augmented photos (N, 3, SIDE, SIDE) in [-1, 1], and masks (N, 1, SIDE, SIDE) in [0, 1].

    Batch i is the same whoever reads it.

    Args:
        photos: The photos that have a mask.
        masks: Their masks.
        backgrounds: Photos without a clear subject, onto which subjects are pasted.
        steps: The number of batches.
        batch: The examples in a batch.
        seed: Of everything that is drawn.
    """

    def __init__(
        self,
        photos: Sequence[Path],
        masks: Sequence[Path],
        backgrounds: Sequence[Path],
        *,
        steps: int,
        batch: int,
        seed: int,
    ) -> None:
        self.pairs, self.backgrounds = list(zip(photos, masks, strict=True)), list(backgrounds)
        self.steps, self.count, self.seed = steps, batch, seed
        self._photos: dict[Path, npt.NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.steps

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Draw batch `index`."""
        drawn = [self._example(random.Random(f"{self.seed}/{index}/{number}")) for number in range(self.count)]
        photos = torch.from_numpy(np.stack([photo for photo, _ in drawn])).permute(0, 3, 1, 2) * 2 - 1
        return photos.contiguous(), torch.from_numpy(np.stack([mask for _, mask in drawn]))[:, None]

    def _read(self, path: Path) -> Pixels:
        if path not in self._photos:
            self._photos[path] = (read_photo(path, _READ_SIDE) * 255).astype(np.uint8)
        return self._photos[path].astype(np.float32) / np.float32(255)

    def _pair(self, rng: random.Random) -> tuple[Pixels, Plane]:
        photo_file, mask_file = rng.choice(self.pairs)
        photo, mask = self._read(photo_file), self._read(mask_file)[..., 0]
        if mask.shape != photo.shape[:2]:
            mask = cv2.resize(mask, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return photo, np.asarray(mask, np.float32)

    def _example(self, rng: random.Random) -> tuple[Pixels, Plane]:
        photo, mask = self._pair(rng)
        if self.backgrounds and rng.random() < PASTED:
            photo, mask = _pasted(photo, mask, self._read(rng.choice(self.backgrounds)), rng)
        photo, mask = _cropped(photo, mask, rng)
        if rng.random() < PAINTED:
            look = looks()[rng.choice(list(looks()))]
            photo = look.paint(photo, 1.0, Draw.from_seed(rng.getrandbits(32), *photo.shape[:2]))
        return _recoloured(photo, rng), mask


def _pasted(photo: Pixels, mask: Plane, background: Pixels, rng: random.Random) -> tuple[Pixels, Plane]:
    """Lay the subject of `photo`, larger or smaller, somewhere on `background`."""
    height, width = background.shape[:2]
    scale = rng.uniform(0.6, 1.2) * min(height / photo.shape[0], width / photo.shape[1])
    shift = (rng.uniform(0, width - scale * photo.shape[1]), rng.uniform(0, height - scale * photo.shape[0]))
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    subject = cv2.warpAffine(photo, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    placed = cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return tones.mix(background, np.asarray(subject, np.float32), tones.f32(placed)), tones.f32(placed)


def _cropped(photo: Pixels, mask: Plane, rng: random.Random) -> tuple[Pixels, Plane]:
    """Crop, flip, and scale to the network's square; most of the subject stays in the crop."""
    height, width = mask.shape
    for _ in range(6):
        share = rng.uniform(0.5, 1.0)
        stretch = rng.uniform(0.8, 1.25)
        h, w = min(height, round(height * share * stretch)), min(width, round(width * share / stretch))
        y, x = rng.randint(0, height - h), rng.randint(0, width - w)
        part = mask[y : y + h, x : x + w]
        if part.sum() > 0.6 * mask.sum():
            photo, mask = photo[y : y + h, x : x + w], part
            break
    if rng.random() < 0.5:
        photo, mask = photo[:, ::-1], mask[:, ::-1]
    small = [cv2.resize(np.ascontiguousarray(one), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in (photo, mask)]
    return tones.f32(small[0]), tones.f32(small[1])


def _recoloured(photo: Pixels, rng: random.Random) -> Pixels:
    """Change brightness, contrast, colours and sharpness, as cameras and light do."""
    gains = (rng.uniform(0.85, 1.15), rng.uniform(0.85, 1.15), rng.uniform(0.85, 1.15))
    photo = tones.gain(photo, gains) * rng.uniform(0.7, 1.3)
    photo = (photo - 0.5) * rng.uniform(0.7, 1.3) + 0.5
    photo = tones.saturate(photo, 0.0 if rng.random() < GREY else rng.uniform(0.4, 1.5))
    if rng.random() < 0.2:
        photo = tones.blur(photo, rng.uniform(0.5, 2))
    noise = np.random.default_rng(rng.getrandbits(32)).standard_normal(photo.shape, dtype=np.float32)
    return tones.clip(tones.f32(photo + noise * np.float32(rng.uniform(0, 0.05))))
