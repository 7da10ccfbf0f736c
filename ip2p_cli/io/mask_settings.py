"""Reads what people write about masks: in flags, recipes, job files and records."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, get_args

from ip2p_cli.errors import UsageError
from ip2p_cli.types import MaskSettings, MaskSteps

if TYPE_CHECKING:
    from PIL.Image import Image

MASK_SETTINGS = tuple(field.name for field in fields(MaskSettings))
_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(px|%)?", re.IGNORECASE)
_MOST_BOXES = 1000
_LONGEST_REGION = 200  # characters
_YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_mask_settings(values: Mapping[str, Any], where: str, *, flags: bool = False) -> MaskSettings:
    """Make mask settings from values by name; numbers may be written as text.

    Args:
        values: Values by the names of MaskSettings; None is unsaid.
        where: What messages begin with, such as the file and the row; may be empty.
        flags: Whether messages call the settings as the command line does.

    Raises:
        UsageError: A value is not possible.
    """

    def named(name: str) -> str:
        return f"{where}: {name}" if where else f"--{name.replace('_', '-')}" if flags else name

    said = {name: value for name, value in values.items() if value is not None}
    return MaskSettings(**{name: _READERS[name](said[name], named(name)) for name in MASK_SETTINGS if name in said})


def checked_mask(mask: str | PathLike[str] | Image | MaskSettings | None) -> MaskSettings:
    """Return what a caller from Python says of a mask as settings; raises UsageError as `read_mask_settings`."""
    if not isinstance(mask, MaskSettings):
        return MaskSettings(mask=mask)
    values = {name: value for name, value in vars(mask).items() if name != "mask"}
    return needs_area(replace(read_mask_settings(values, "MaskSettings"), mask=mask.mask), "MaskSettings")


def needs_area(settings: MaskSettings, where: str = "") -> MaskSettings:
    """Return `settings`; raises UsageError where something is said of a mask, and there is no area that it is of."""
    said = [name for name in MASK_SETTINGS if getattr(settings, name) not in (None, ()) and name != "auto_mask"]
    if settings.region_model is not None and settings.region is None:
        raise UsageError(f"{_needs('region_model', ('region',), where)}: say what is looked for")
    if said and not settings.has_area:
        raise UsageError(f"{_needs(said[0], ('mask', 'box', 'region'), where)}: say which part of the photo may change")
    return settings


def _needs(name: str, others: Sequence[str], where: str) -> str:
    """The text "name needs one of others"; without a place in a file the names are flags."""
    first, *rest = (one if where else f"--{one.replace('_', '-')}" for one in (name, *others))
    listed = " or ".join(filter(None, [", ".join(rest[:-1]), rest[-1]]))
    return f"{where}: {first} needs {listed}" if where else f"{first} needs {listed}"


def length_in_pixels(length: float | str | None, size: tuple[int, int]) -> int:
    """Return a length such as 12 or "2%" (of the shorter side) in whole pixels of a picture of `size`."""
    value, is_percent = _number(0 if length is None else length, "length")
    return round(value * min(size) / 100 if is_percent else value)


def box_in_pixels(box: str, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return a box "x,y,width,height" as left, top, right, bottom, cut off at the borders of a picture of `size`.

    Raises:
        UsageError: Nothing of it is in the picture.
    """
    width, height = size
    numbers = [_number(part, f"box {box}") for part in box.split(",")]
    x, y, w, h = (
        value * side / 100 if is_percent else value
        for (value, is_percent), side in zip(numbers, (width, height, width, height), strict=True)
    )
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise UsageError(f"box {box} lies outside the photo of {width} x {height}")
    # Half a pixel rounds up, and what is smaller than a pixel is one.
    left, top = (min(max(math.floor(at + 0.5), 0), side - 1) for at, side in ((x, width), (y, height)))
    right, bottom = min(math.floor(x + w + 0.5), width), min(math.floor(y + h + 0.5), height)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _yes_no(value: object, name: str) -> bool:
    answer = _YES_NO.get(str(value).strip().lower())
    if answer is None:
        raise UsageError(f"{name}: {value!r} is neither true nor false")
    return answer


def _path(value: object, name: str) -> str:
    text = os.fspath(value) if isinstance(value, PathLike) else value
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise UsageError(f"{name}: {value!r} is not the name of a file or folder")
    return text.strip()


def _region(value: object, name: str) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not any(letter.isalnum() for letter in text) or len(text) > _LONGEST_REGION or not text.isprintable():
        raise UsageError(f"{name}: {value!r} names no part of a photo: give words, for example “the sky”")
    return text


def _boxes(value: object, name: str) -> tuple[str, ...]:
    """A box as text or as four numbers, or several of these in a list or, as text, separated by semicolons."""
    many: Sequence[object]
    if isinstance(value, str):
        many = [part for part in value.split(";") if part.strip()]
    elif isinstance(value, list | tuple):
        is_one = len(value) == 4 and not any(isinstance(one, list | tuple) or "," in str(one) for one in value)
        many = [value] if is_one else value
    else:
        raise UsageError(f"{name}: {value!r} is not possible: give x,y,width,height, for example 10%,20%,50%,40%")
    if len(many) > _MOST_BOXES:
        raise UsageError(f"{name}: more than {_MOST_BOXES} boxes: use a mask")
    return tuple(_box(one, name) for one in many)


def _box(value: object, name: str) -> str:
    parts = [str(one) for one in value] if isinstance(value, list | tuple) else str(value).split(",")
    try:
        if len(parts) != 4:
            raise UsageError("four numbers")
        numbers = [_number(part, name) for part in parts]
    except UsageError:
        shown = ",".join(parts)
        raise UsageError(
            f"{name}: {shown} is not possible: give x,y,width,height in pixels or per cent, for example 10%,20%,50%,40%"
        ) from None
    if min(numbers[2][0], numbers[3][0]) <= 0:
        raise UsageError(f"{name}: {','.join(parts)} has no area: width and height must be above 0")
    return ",".join(f"{number:g}{'%' if is_percent else ''}" for number, is_percent in numbers)


def _length(value: object, name: str) -> float | str:
    number, is_percent = _number(value, name)
    if is_percent:
        return f"{number:g}%"
    return int(number) if number.is_integer() else number


def _number(value: object, name: str) -> tuple[float, bool]:
    """A number, and whether it is in per cent."""
    match = _NUMBER.fullmatch(str(value).strip()) if isinstance(value, str | int | float) else None
    if match is None or isinstance(value, bool) or not abs(float(match[1])) <= 1e6:
        raise UsageError(f"{name}: {value!r} is not possible: give pixels or per cent, for example 12 or 2%")
    return float(match[1]), match[2] == "%"


def _feather(value: object, name: str) -> float | str:
    feather = _length(value, name)
    if str(feather).startswith("-"):
        raise UsageError(f"{name}: {feather} is less than 0: give a width such as 12 or 2%")
    return feather


def _mask_steps(value: object, name: str) -> MaskSteps:
    steps: MaskSteps | None = next((one for one in get_args(MaskSteps) if one == value), None)
    if steps is None:
        raise UsageError(f"{name}: {value!r} is not possible: use all or last")
    return steps


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "mask": _path,
    "box": _boxes,
    "region": _region,
    "region_model": _path,
    "auto_mask": _yes_no,
    "invert_mask": _yes_no,
    "grow": _length,
    "feather": _feather,
    "mask_steps": _mask_steps,
}
