"""Which mask a step has for a photo: found by the photo's name, known by its content, found again from a record."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from ip2p_cli.editing.auto_masks import AUTO_VERSION
from ip2p_cli.editing.masks import make_mask, mask_from_picture
from ip2p_cli.editing.region_masks import RegionFinder, found_region, region_finder
from ip2p_cli.errors import InputError, Ip2pError
from ip2p_cli.io.files import check_regular_file
from ip2p_cli.io.images import Picture, picture_from_image, read_image
from ip2p_cli.io.inputs import PHOTO_ENDINGS, InputPhoto, user_path
from ip2p_cli.io.mask_settings import MASK_SETTINGS, read_mask_settings
from ip2p_cli.io.names import printable
from ip2p_cli.jobs.manifest import file_digest
from ip2p_cli.types import MaskSettings, MaskSteps

DEFAULT_MASK_STEPS: MaskSteps = "all"


_SOFT = "1%"  # the border of a region that an instruction names


@dataclass(frozen=True, kw_only=True)
class StepMask:
    """The mask of a step.

    Attributes:
        settings: What was said.
        file: The mask of this photo, an absolute path; None for rectangles alone, for a picture in memory, and before
            `for_photo`.
        sha256: Of the mask's content; None without one.
        region: Finds the region of the settings' words; None without any.
        problem: Why this photo has no mask. The photo then fails in its turn.
    """

    settings: MaskSettings
    file: Path | None = None
    sha256: str | None = None
    region: RegionFinder | None = None
    problem: str = ""

    @property
    def mask_steps(self) -> MaskSteps:
        """When the rest is held in place while the model works."""
        return self.settings.mask_steps or DEFAULT_MASK_STEPS

    @property
    def facts(self) -> dict[str, Any]:
        """Everything that decides the mask of a photo, as plain JSON values."""
        said, region = self.settings, self.region
        words = {} if region is None else {"region": region.words, "region_by": region.made_by}
        return {
            "sha256": self.sha256,
            "box": list(said.box),
            **words,
            **({"auto_mask": True, "auto_by": f"version {AUTO_VERSION}"} if self.is_auto else {}),
            "invert_mask": bool(said.invert_mask),
            "grow": said.grow or 0,
            "feather": said.feather or 0,
            "mask_steps": self.mask_steps,
        }

    @property
    def is_auto(self) -> bool:
        """Whether the model finds it."""
        return bool(self.settings.auto_mask)

    def for_photo(self, photo: InputPhoto) -> StepMask:
        """Find the mask of a photo; what is wrong with it becomes its `problem`."""
        mask = self.settings.mask
        if mask is None:
            return self
        try:
            if isinstance(mask, Image.Image):
                return replace(self, sha256=picture_from_image(mask).digest)
            path = user_path(os.fspath(mask))
            file = _in_folder(path, photo) if path.is_dir() else path
            return replace(self, file=file.absolute(), sha256=_digest(file))
        except Ip2pError as error:
            return replace(self, problem=str(error))

    def read(self, photo: Picture, auto: Image.Image | None = None) -> Image.Image:
        """Make the mask of a photo.

        Args:
            photo: The photo.
            auto: Where the model would edit it, if that is asked for and the edit is not global.

        Raises:
            InputError: It cannot be read, does not fit, changed since it was found, the photo has no such region, or
                nothing may change.
            ModelError: What finds the region cannot be loaded.
            UsageError: A rectangle lies outside the photo.
        """
        if self.problem:
            raise InputError(self.problem)
        mask, name = self._picture()
        found = [found_region(self.region, photo)] if self.region is not None else []
        found += [auto] if auto is not None else []
        return make_mask(self.settings, mask, photo.rgb.size, name, found)

    def _picture(self) -> tuple[Image.Image | None, str]:
        """The mask's picture, if there is one, and what messages call it."""
        if isinstance(self.settings.mask, Image.Image):
            return mask_from_picture(picture_from_image(self.settings.mask)), "mask"
        if self.file is None:
            return None, self.words()
        picture, shown = read_image(self.file), printable(self.file)
        if picture.digest != self.sha256:
            raise InputError(f"{shown}: the mask changed while this ran: run the command again")
        return mask_from_picture(picture), shown

    def record(self, folder: Path | None) -> dict[str, Any]:
        """Return what a picture's record holds; folder: that of the picture, for the path to the mask."""
        if self.file is None:
            return self.facts
        where = {"path": _relative(self.file, folder)} if folder is not None else {}
        return {"file": self.file.name, **where, **self.facts}

    def for_command(self) -> MaskSettings:
        """Return the settings with the mask of this photo, for a command that makes the edit again."""
        return self.settings if self.file is None else replace(self.settings, mask=str(self.file))

    def other_makers(self, record: Mapping[str, Any]) -> list[str]:
        """Describe what found the mask that a record is of, where now another finds it."""
        now = {name: value for name, value in self.facts.items() if name in ("region_by", "auto_by")}
        return [f"{name}: {record.get(name)} then, {by} now" for name, by in now.items() if record.get(name) != by]

    def words(self) -> str:
        """Return a short description for people."""
        said = self.settings
        name = "a picture" if isinstance(said.mask, Image.Image) else str(said.mask)
        parts = [f"mask {name}"] if said.mask is not None else []
        parts += [f"region {said.region}"] if said.region is not None else []
        parts += [f"box {box}" for box in said.box]
        parts += ["where the model edits"] if said.auto_mask else []
        parts += ["inverted"] if said.invert_mask else []
        parts += [f"{name} {value}" for name, value in (("grow", said.grow), ("feather", said.feather)) if value]
        return ", ".join(parts)


def step_mask(settings: MaskSettings | None) -> StepMask | None:
    """Return a step's mask, before its photo is known; None where everything may change.

    Raises:
        ModelError: The words for a region need a model that is not on this machine.
    """
    if settings is None or not settings.has_area:
        return None
    region = region_finder(settings.region, settings.region_model) if settings.region is not None else None
    return StepMask(settings=settings, region=region)


def in_region(mask: StepMask | None, words: str) -> StepMask | None:
    """Return a step's mask, narrowed to a region that its instruction names, unless it says of itself where that is."""
    settings = mask.settings if mask is not None else MaskSettings()
    if settings.region is not None or settings.auto_mask or settings.invert_mask:
        return mask
    soft = _SOFT if settings.feather is None else settings.feather
    settings = replace(settings, region=words, feather=soft)
    region = region_finder(words)
    return (
        StepMask(settings=settings, region=region) if mask is None else replace(mask, settings=settings, region=region)
    )


def recorded_mask(
    record: Mapping[str, Any], picture: Path, named: Path | None, region_model: Path | None = None
) -> StepMask | None:
    """Return the mask that a record names.

    Args:
        record: Of one edit.
        picture: The picture that holds it.
        named: The mask, or a folder with it, if the user named one.
        region_model: CLIPSeg's folder, if the user named one: a record names none.

    Raises:
        InputError: The record's mask was not found.
        ModelError: What found its region is not on this machine.
        UsageError: What the record says of it is not possible.
    """
    said = record.get("mask")
    if not isinstance(said, dict):
        return None
    values = {name: said.get(name) for name in MASK_SETTINGS if name not in ("mask", "region_model")}
    settings = read_mask_settings(values, f"{printable(picture)}: mask")
    settings = replace(settings, region_model=region_model if settings.region is not None else None)
    if said.get("sha256") is None:
        return step_mask(settings)
    file = _recorded_file(said, picture, named)
    mask = step_mask(replace(settings, mask=str(file)))
    return replace(mask, file=file.absolute(), sha256=_digest(file)) if mask is not None else None


def _recorded_file(said: Mapping[str, Any], picture: Path, named: Path | None) -> Path:
    existing = [place for place in _places(said, picture, named) if os.path.isfile(place)]  # noqa: PTH113
    for place in existing:
        if _digest(place) == said["sha256"]:
            return place
    if existing:
        return existing[0]
    what = printable(named) if named else f"the mask {printable(str(said.get('file') or 'it was made with'))}"
    raise InputError(f"{what}: not found: name it, or the folder that it is in, with --mask")


def _places(said: Mapping[str, Any], picture: Path, named: Path | None) -> Iterator[Path]:
    names = [name for name in (said.get("path"), said.get("file")) if isinstance(name, str) and name]
    names = [name for name in names if "\0" not in name]
    if named is not None:
        yield named
        yield from (named / PurePath(name).name for name in names)
        return
    for name in names:
        yield picture.parent / name
        yield Path(name)


def _in_folder(folder: Path, photo: InputPhoto) -> Path:
    """The mask of a photo in a folder: under the photo's own folder there, or in the folder itself."""
    places = dict.fromkeys([folder / photo.folder, folder])
    for place in places:
        found = _by_stem(place, _stamp(place)).get(photo.path.stem, ())
        if len(found) > 1:
            names = ", ".join(printable(path.name) for path in found)
            raise InputError(f"{printable(place)}: several masks for {printable(photo.path.name)}: {names}: keep one")
        if found:
            return found[0]
    name, stem = printable(photo.path.name), printable(photo.path.stem)
    raise InputError(f"{printable(folder)}: no mask for {name}: add a picture called {stem}, for example {stem}.png")


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=64)
def _by_stem(folder: Path, changed: int) -> dict[str, tuple[Path, ...]]:
    found: dict[str, tuple[Path, ...]] = {}
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in PHOTO_ENDINGS and not path.name.startswith("."):
                found[path.stem] = (*found.get(path.stem, ()), path)
    except OSError:
        return {}
    return found


def _digest(file: Path) -> str:
    check_regular_file(file)
    status = file.stat()
    return _digest_of(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4096)
def _digest_of(file: Path, changed: int, length: int) -> str:
    try:
        return file_digest(file)
    except OSError as error:
        raise InputError(f"{printable(file)}: cannot be read ({error.strerror}): check its permissions") from error


def _relative(file: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # another drive
        return file.name
