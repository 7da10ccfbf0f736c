"""Lists as people write them on the command line: `3,5,8`, `10..17`, `5,7.5,10`, `6..9`."""

from __future__ import annotations

import math
import re

from ip2p_cli.errors import UsageError

# Of one axis, and of a whole product: enough for an evening's work, too little for a slip of the finger.
MAX_VALUES = 1000
_MAX_SEED = 2**63 - 1
_WHOLE = re.compile(r"\d{1,19}")
_RANGE = re.compile(r"\s*(\S+?)\s*\.\.\s*(\S+)\s*")


def read_seeds(text: str, first: int = 0) -> tuple[int, ...]:
    """`8` is eight seeds from `first` on; `3,5,8` and `10..17` (both ends included) are those, `8,` is 8 alone.

    A list may hold ranges; a seed that is named twice counts once. Raises UsageError for anything else, for more than
    MAX_VALUES seeds, and for a seed beyond 2**63 - 1.
    """
    if _WHOLE.fullmatch(text.strip()):
        count = int(text)
        if not 1 <= count <= MAX_VALUES:
            raise UsageError(f"--seeds {text}: so many seeds are not possible: give 1 to {MAX_VALUES}, or name them.")
        return tuple(_checked_seed(first + step, text) for step in range(count))
    seeds: dict[int, None] = {}
    for part in _parts(text, "--seeds"):
        first_of, last = _seed_range(part, text)
        if last - first_of >= MAX_VALUES - len(seeds):
            raise UsageError(f"--seeds {text}: these are more than {MAX_VALUES} seeds.")
        seeds |= dict.fromkeys(range(first_of, last + 1))
    return tuple(seeds)


def read_numbers(text: str, flag: str, *, whole: bool = False) -> tuple[float, ...]:
    """`5,7.5,10` as numbers, each once, in this order; whole: as whole numbers. Raises UsageError, naming `flag`."""
    parts = _parts(text, flag)
    return tuple(dict.fromkeys(_number(part, flag, whole) for part in parts))


def read_range(text: str, flag: str) -> tuple[float, float]:
    """`6..9` as (6.0, 9.0), `7.5` as (7.5, 7.5); UsageError for another text, or where the ends are the wrong way."""
    match = _RANGE.fullmatch(text)
    low, high = (match[1], match[2]) if match else (text, text)
    ends = _number(low.strip(), flag, False), _number(high.strip(), flag, False)
    if ends[0] > ends[1]:
        raise UsageError(f"{flag} {text}: a range goes from the smaller to the larger number, for example 6..9.")
    return ends


def read_names(text: str, flag: str) -> tuple[str, ...]:
    """`a,b` as names, each once, in this order."""
    return tuple(dict.fromkeys(_parts(text, flag)))


def plain(number: float) -> str:
    """A number as short as it can be told apart from its neighbours: 7.5, 8, 1e-09."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _parts(text: str, flag: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if parts[-1] == "" and len(parts) > 1:  # a comma at the end says "a list", as in Python
        parts.pop()
    if not all(parts):
        raise UsageError(f"{flag} {text!r}: a value is missing; give values with commas between them.")
    if len(parts) > MAX_VALUES:
        raise UsageError(f"{flag}: {len(parts)} values are too many: give at most {MAX_VALUES}.")
    return parts


def _seed_range(part: str, text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(part)
    ends = (match[1], match[2]) if match else (part, part)
    if not all(_WHOLE.fullmatch(end) for end in ends) or int(ends[0]) > int(ends[1]):
        raise UsageError(f"--seeds {text}: give a number of seeds (8), a list (3,5,8) or a range (10..17).")
    return _checked_seed(int(ends[0]), text), _checked_seed(int(ends[1]), text)


def _checked_seed(seed: int, text: str) -> int:
    if seed > _MAX_SEED:
        raise UsageError(f"--seeds {text}: {seed} is too large for a seed: they go to {_MAX_SEED}.")
    return seed


def _number(text: str, flag: str, whole: bool) -> float:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{flag}: {text!r} is not {kind}; give values with commas between them, for example 5,7.5.")
    return number
