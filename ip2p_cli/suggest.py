"""Nearest names for error messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Find at most `count` of the `known` names that resemble `name`, whatever its case, the nearest first."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    return [by_lower[match] for match in get_close_matches(name.lower(), by_lower, n=count, cutoff=0.5)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean X or Y?", or an empty string where nothing resembles `name`."""
    matches = nearest(name, known)
    return f" Did you mean {' or '.join(matches)}?" if matches else ""
