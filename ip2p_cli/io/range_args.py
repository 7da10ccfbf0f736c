"""Reads lists and ranges of the command line: `3,5,8`, `10..17`, `5,7.5,10`, `6..9`."""

from __future__ import annotations

import math
import re

from ip2p_cli.errors import UsageError

MAX_VALUES = 1000  # of an axis, and of all combinations: more are a slip of the finger
_MAX_SEED = 2**63 - 1
_WHOLE = re.compile(r"\d{1,19}")
_RANGE = re.compile(r"\s*(\S+?)\s*\.\.\s*(\S+)\s*")


def read_seeds(text: str, first: int = 0) -> tuple[int, ...]:
    """Read seeds, each once.

    Args:
        text: A number of seeds (`8`), a list (`3,5,8`; `8,` is the seed 8), a range with both ends (`10..17`), or a
            list of seeds and ranges.
        first: The first seed where `text` is a number of seeds.

    Raises:
        UsageError: The text is something else, or names more than MAX_VALUES seeds or one above 2**63 - 1.
    """
    if _WHOLE.fullmatch(text.strip()):
        count = int(text)
        if not 1 <= count <= MAX_VALUES:
            raise UsageError(f"--seeds {text}: so many seeds are not possible: give 1 to {MAX_VALUES}, or name them.")
        ranges = [(first, first + count - 1)]
    else:
        ranges = [_seed_range(part, text) for part in _parts(text, "--seeds")]
    seeds: dict[int, None] = {}
    for low, high in ranges:
        if high > _MAX_SEED:
            raise UsageError(f"--seeds {text}: {high} is too large for a seed: they go to {_MAX_SEED}.")
        if high - low >= MAX_VALUES - len(seeds):
            raise UsageError(f"--seeds {text}: these are more than {MAX_VALUES} seeds.")
        seeds |= dict.fromkeys(range(low, high + 1))
    return tuple(seeds)


def read_numbers(text: str, flag: str, *, whole: bool = False) -> tuple[float, ...]:
    """Read a list of numbers, such as `5,7.5,10`, each once. Raises UsageError, which names `flag`."""
    return tuple(dict.fromkeys(_number(part, flag, whole) for part in _parts(text, flag)))


def read_range(text: str, flag: str) -> tuple[float, float]:
    """Read a range: `6..9` is (6.0, 9.0), `7.5` is (7.5, 7.5). Raises UsageError, which names `flag`."""
    match = _RANGE.fullmatch(text)
    low, high = (_number(end.strip(), flag, False) for end in (match.groups() if match else (text, text)))
    if low > high:
        raise UsageError(f"{flag} {text}: a range goes from the smaller to the larger number, for example 6..9.")
    return low, high


def read_names(text: str, flag: str) -> tuple[str, ...]:
    """Read a list of names, such as `a,b`, each once. Raises UsageError, which names `flag`."""
    return tuple(dict.fromkeys(_parts(text, flag)))


def plain(number: float) -> str:
    """The shortest text that gives the number back: 7.5, 8, 1e-09."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _parts(text: str, flag: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if parts[-1] == "" and len(parts) > 1:  # a comma at the end makes it a list, as in Python
        parts.pop()
    if not all(parts):
        raise UsageError(f"{flag} {text!r}: a value is missing; give values with commas between them.")
    if len(parts) > MAX_VALUES:
        raise UsageError(f"{flag}: {len(parts)} values are too many: give at most {MAX_VALUES}.")
    return parts


def _seed_range(part: str, text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(part)
    low, high = match.groups() if match else (part, part)
    if not (_WHOLE.fullmatch(low) and _WHOLE.fullmatch(high)) or int(low) > int(high):
        raise UsageError(f"--seeds {text}: give a number of seeds (8), a list (3,5,8) or a range (10..17).")
    return int(low), int(high)


def _number(text: str, flag: str, whole: bool) -> float:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{flag}: {text!r} is not {kind}; give values with commas between them, for example 5,7.5.")
    return number
