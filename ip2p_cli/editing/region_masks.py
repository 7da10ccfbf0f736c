"""Masks from words: the regions that ip2p knows, the subject, and by CLIPSeg what other words name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import torch
from PIL import Image, ImageChops

from ip2p_cli.editing.guided_filter import MOST, refined, small_pixels
from ip2p_cli.errors import InputError, ModelError
from ip2p_cli.io.images import Picture
from ip2p_cli.io.names import printable
from ip2p_cli.looks.base import Pixels, Plane
from ip2p_cli.looks.region_words import named_region
from ip2p_cli.looks.regions import REGIONS
from ip2p_cli.looks.tones import smoothstep
from ip2p_cli.models.clipseg import HOW_TO_GET, clipseg_weights, find_clipseg, load_clipseg
from ip2p_cli.models.fingerprint import files_fingerprint
from ip2p_cli.models.segmentation import subject_mask, subject_model
from ip2p_cli.suggest import did_you_mean

_VERSION = 1  # of how masks are made: results that were made with another one count as made otherwise
_DETECTED_SIDE = 256  # shorter side, in pixels, at which the regions that ip2p knows are found
# How far off the border of a mask may be, in pixels of a photo whose shorter side has 256; colours and tones are exact.
_REACH = {"sky": 11.0, "not_sky": 11.0, "subject": 3.0, "background": 3.0}
_REACH_OF_THINGS = 6.0  # CLIPSeg's
_LEAST = 0.003  # share of the photo that a region must have
_ALL_BUT = "everything but "


@dataclass(frozen=True, kw_only=True)
class RegionFinder:
    """Finds a region of photos.

    Attributes:
        words: What was said.
        made_by: What finds the region, with its version or the fingerprint of its weights.
        name: The region in REGIONS; None if CLIPSeg finds it.
        thing: The words for CLIPSeg.
        inverted: Whether the rest of the photo is meant.
        folder: CLIPSeg's.
    """

    words: str
    made_by: str
    name: str | None = None
    thing: str = ""
    inverted: bool = False
    folder: Path | None = None

    def find(self, picture: Picture) -> Image.Image:
        """Return the mask of the region in a photo, mode L, at the photo's size.

        Raises:
            InputError: The photo has no such region.
            ModelError: What finds it cannot be loaded.
        """
        photo = picture.rgb
        if self.name is not None and REGIONS[self.name].is_place:
            mask = REGIONS[self.name].detect(small_pixels(photo, MOST, _DETECTED_SIDE), None)
            assert mask is not None
            image = Image.fromarray((mask * 255 + 0.5).astype(np.uint8)).resize(photo.size, Image.Resampling.BICUBIC)
            return ImageChops.invert(image) if self.inverted else image
        guide = small_pixels(photo, MOST)
        mask = self._detected(photo, guide)
        if mask is None or float(mask.mean()) < _LEAST:
            name = printable(picture.path) if picture.path.name else "the photo"
            raise InputError(f"{name}: “{self.words}” was not found in it: name another part, or give --mask or --box")
        scale = min(guide.shape[:2]) / _DETECTED_SIDE
        reach = _REACH_OF_THINGS if self.name is None else _REACH.get(self.name, 0.0)
        wide = cv2.resize(mask, guide.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        wide = 1 - wide if self.inverted else wide
        radius = max(2, round(max(4.0, 2 * reach) * scale))
        return refined(wide, guide, photo, radius=radius, reach=round(reach * scale))

    def _detected(self, photo: Image.Image, guide: Pixels) -> Plane | None:
        """The region, at any size; None where the photo has none."""
        if self.name is None:
            assert self.folder is not None
            likely = load_clipseg(self.folder).mask(torch.from_numpy(guide).permute(2, 0, 1), self.thing).numpy()
            return smoothstep(likely, 0.35, 0.65) if float(likely.max()) > 0.5 else None
        if self.name in ("subject", "background"):
            subject = subject_mask(guide)
            return subject if subject is None or self.name == "subject" else 1 - subject
        return REGIONS[self.name].detect(small_pixels(photo, MOST, _DETECTED_SIDE), None)


def region_finder(words: str, model: str | PathLike[str] | None = None) -> RegionFinder:
    """Decide what finds the region that words name.

    Args:
        words: Such as “the sky”, “left”, “everything but the car”.
        model: CLIPSeg's folder; None for that in the hub's cache.

    Raises:
        ModelError: The words need a model that is not on this machine.
    """
    found, inverted = named_region(words), False
    if found.unknown is not None and found.unknown.startswith(_ALL_BUT):
        found, inverted = named_region(found.unknown.removeprefix(_ALL_BUT)), True
    if found.name in ("subject", "background"):
        return RegionFinder(
            words=words, name=found.name, inverted=inverted, made_by=f"{subject_model()}, version {_VERSION}"
        )
    if found.name is not None:
        return RegionFinder(words=words, name=found.name, inverted=inverted, made_by=f"version {_VERSION}")
    thing = found.unknown or words
    folder = find_clipseg(model)
    if folder is None:
        hint = did_you_mean(thing.removeprefix("the "), [name for name in REGIONS if not name.startswith("not_")])
        raise ModelError(
            f"the region “{words}” needs CLIPSeg, which is not on this machine.{hint} To get it, {HOW_TO_GET}"
        )
    made_by = f"clipseg {files_fingerprint([clipseg_weights(folder)])}, version {_VERSION}"
    return RegionFinder(words=words, thing=thing, inverted=inverted, folder=folder, made_by=made_by)


def found_region(finder: RegionFinder, picture: Picture) -> Image.Image:
    """Return what `finder.find` gives; the last two masks are kept, for the many variants of a photo."""
    with _lock:  # photos are read in several threads
        return _found(finder, _ByDigest(picture))


_lock = Lock()


class _ByDigest:
    """A photo, equal to itself read again."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByDigest) and other.picture.digest == self.picture.digest

    def __hash__(self) -> int:
        return hash(self.picture.digest)


@lru_cache(maxsize=2)
def _found(finder: RegionFinder, photo: _ByDigest) -> Image.Image:
    return finder.find(photo.picture)
