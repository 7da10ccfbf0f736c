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
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.looks import Draw, Pixels, looks
from ip2p_cli.looks.base import Plane, cell_size
from ip2p_cli.looks.phrasing import vary_in
from ip2p_cli.looks.regions import REGIONS, Region, restrict
from ip2p_cli.suggest import did_you_mean

PHOTO_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}
AMOUNTS = {"slightly": 0.5, "much": 1.6}
REMEMBERED_BYTES = 400_000_000  # two thousand photos of 256 px
# A photo that a look hardly changes (red turned blue, where nothing is red) teaches little: another one is drawn.
CHANGED, TRIES = 0.02, 4

# Looks that are about the frame of the whole photo, and have no meaning in a part of it.
FRAMED = frozenset(("vignette", "tilt_shift", "bokeh"))


class TrainingPair(NamedTuple):
    """A pair, and for a painted one the noise that its look was drawn from, see `looks.base.Draw`.

    window: The crop's first row and column in the photo and its height and width, as shares of the photo's.
    """

    before: Pixels
    after: Pixels
    instruction: str
    fields: npt.NDArray[np.float32] | None = None
    numbers: npt.NDArray[np.float32] | None = None
    window: tuple[float, float, float, float] = (0, 0, 1, 1)


@dataclass(frozen=True, kw_only=True)
class CropSpec:
    """Crops of `height` x `width` pixels, `per_photo` of each painted photo, whose shorter side is `side` pixels.

    regions: the share of painted photos that have their look in a region only.
    """

    height: int
    width: int
    side: int
    per_photo: int = 1
    regions: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether a crop is as large as the photo, and so counts as a photo of its own."""
        return min(self.height, self.width) >= self.side


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """Pictures before and after, (N, H, W, 3) float32 RGB in [0, 1], and N instructions.

    Painted pairs also have what their looks were drawn from: `fields` (N, C, rows, columns) and `numbers` (N, C).
    windows: where the crops lie in their photos, see `TrainingPair`.
    """

    before: npt.NDArray[np.float32]
    after: npt.NDArray[np.float32]
    instructions: tuple[str, ...]
    fields: npt.NDArray[np.float32] | None = None
    numbers: npt.NDArray[np.float32] | None = None
    windows: tuple[tuple[float, float, float, float], ...] = ()


class Stream(ABC):
    """Training pairs, a batch at a time."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def batch(self, step: int, count: int, crop: CropSpec, rank: int = 0) -> PairBatch:
        """Draw `count` pairs for a training step of process `rank`: a pure function of these and the seed."""
        pairs: list[TrainingPair] = []
        while len(pairs) < count:
            pairs += self._draw(random.Random(f"{self.seed}/{step}/{rank}/{len(pairs)}"), crop)
        before, after, instructions, fields, numbers, windows = zip(*pairs[:count], strict=True)
        drawn = {} if fields[0] is None else {"fields": np.stack(fields), "numbers": np.stack(numbers)}
        return PairBatch(
            before=np.stack(before), after=np.stack(after), instructions=instructions, windows=windows, **drawn
        )

    @abstractmethod
    def _draw(self, rng: random.Random, crop: CropSpec) -> list[TrainingPair]:
        """Draw one photo and take its crops."""


class LooksStream(Stream):
    """Pairs of a photo and one of its looks, with one of the look's wordings.

    A crop smaller than the photo is taken after painting, so that a look has the scale and the place that it has in a
    whole photo.
    """

    def __init__(
        self,
        photos: Sequence[Path],
        *,
        seed: int,
        emphasis: Mapping[str, float] | None = None,
        subjects: Path | None = None,
    ) -> None:
        """Make the stream of `photos`.

        Args:
            photos: The files.
            seed: Of everything that is drawn.
            emphasis: How much more often than others a look is drawn.
            subjects: A folder with masks of the photos' subjects.

        Raises:
            UsageError: There is no look of a name in `emphasis`.
            InputError: `subjects` has no mask of any of the photos.
        """
        super().__init__(seed)
        self.photos, self.names, emphasis = list(photos), tuple(looks()), emphasis or {}
        self.subjects = _subject_files(self.photos, subjects)
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

    def _photo(self, rng: random.Random, crop: CropSpec) -> tuple[Pixels, Plane | None]:
        """Draw a photo, and its subject's mask if there is one; at least as large as the crop."""
        path = rng.choice(self.photos)
        photo: npt.NDArray[np.generic] = self._read(path, crop.side)
        subject = self.subjects.get(path.stem)
        if subject is not None:
            mask = cv2.resize(self._read(subject, crop.side), photo.shape[1::-1], interpolation=cv2.INTER_AREA)
            photo = np.dstack([photo, mask[..., 0]])
        if rng.random() < 0.5:
            photo = photo[:, ::-1]
        photo = padded(photo, crop)
        if crop.whole:
            photo = photo[random_window(photo, crop, rng)]
        values = photo.astype(np.float32) / np.float32(255)
        return np.ascontiguousarray(values[..., :3]), None if subject is None else values[..., 3]

    def _draw(self, rng: random.Random, crop: CropSpec) -> list[TrainingPair]:
        look = looks()[rng.choices(self.names, self.weights)[0]]
        wordings, amount = look.wordings, 1.0
        for strength, graded in (("slightly", look.slightly), ("much", look.much)):
            if graded and rng.random() < 0.12:
                wordings, amount = graded, AMOUNTS[strength]
        regional = look.name not in FRAMED and rng.random() < crop.regions
        for _ in range(TRIES):
            before, subject = self._photo(rng, crop)
            draw = Draw.from_seed(rng.getrandbits(32), *before.shape[:2])
            after = look.paint(before, amount, draw)
            region, mask = self._region(before, subject, rng) if regional else (None, None)
            if mask is not None:
                after = restrict(before, after, mask)
            if np.abs(after - before).mean() > (CHANGED if region is None else CHANGED / 4):
                break
        pairs = []
        for _ in range(1 if crop.whole else crop.per_photo):
            y, x = window = random_window(before, crop, rng)
            cells = cell_size(*before.shape[:2])
            rows, columns = (slice(round(part.start / cells), round(part.stop / cells)) for part in (y, x))
            wording = rng.choice(wordings)
            instruction = vary_in(region, wording, look.name, rng)
            fields = draw.fields[:, rows, columns]
            height, width = before.shape[:2]
            place = y.start / height, x.start / width, crop.height / height, crop.width / width
            pairs.append(TrainingPair(before[window], after[window], instruction, fields, draw.numbers, place))
        return pairs

    def _region(
        self, photo: Pixels, subject: Plane | None, rng: random.Random
    ) -> tuple[Region, Plane] | tuple[None, None]:
        """Draw a region that the photo has, if it has one."""
        # What is harder to see is drawn more often than places and colours.
        weight = {"subject": 6.0, "background": 6.0, "sky": 6.0, "not_sky": 2.0}
        names = list(REGIONS)
        while names:
            name = rng.choices(names, [weight.get(name, 1.0) for name in names])[0]
            names.remove(name)
            region = REGIONS[name]
            mask = region.mask(photo, subject)
            if mask is not None:
                return region, mask
        return None, None


def list_photos(folder: Path) -> list[Path]:
    """List the photos in a folder and its folders, sorted. Raises InputError if there are none."""
    photos = sorted(path for path in folder.rglob("*") if is_photo(path)) if folder.is_dir() else []
    if not photos:
        raise InputError(f"{folder}: no photos there. Give a folder with {', '.join(sorted(PHOTO_ENDINGS))} files.")
    return photos


def is_photo(path: Path) -> bool:
    """Whether a file has a photo's ending."""
    return path.suffix.lower() in PHOTO_ENDINGS


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
    both = padded(both, crop)
    window = both[random_window(both, crop, rng)].astype(np.float32)
    return window[..., :3], window[..., 3:]


def padded(picture: npt.NDArray[Any], crop: CropSpec) -> npt.NDArray[Any]:
    """Mirror a picture that is too small for the crop at its lower and right edges."""
    missing = max(0, crop.height - picture.shape[0]), max(0, crop.width - picture.shape[1])
    return np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect") if any(missing) else picture


def random_window(picture: npt.NDArray[Any], crop: CropSpec, rng: random.Random) -> tuple[slice, slice]:
    """Draw the rows and the columns of a crop."""
    # In steps of 8: looks with a grid of their own (pixel art, engraving) keep their place in it.
    y = 8 * rng.randint(0, (picture.shape[0] - crop.height) // 8)
    x = 8 * rng.randint(0, (picture.shape[1] - crop.width) // 8)
    return slice(y, y + crop.height), slice(x, x + crop.width)


def _subject_files(photos: Sequence[Path], folder: Path | None) -> dict[str, Path]:
    """The masks in `folder` by the name, without ending, of their photo."""
    if folder is None:
        return {}
    names = {photo.stem for photo in photos}
    found = {path.stem: path for path in sorted(folder.glob("*")) if path.stem in names and is_photo(path)}
    if not found:
        raise InputError(f"{folder}: no mask there has the name of a training photo; give another folder of subjects.")
    return found
