"""Verdicts on the command line: which ones the user names, and how they are counted and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, get_args

from ip2p_cli.errors import UsageError, VerdictError
from ip2p_cli.suggest import did_you_mean
from ip2p_cli.types import VerdictName

_ALL: tuple[str, ...] = get_args(VerdictName)


def read_verdicts(text: str | None, flag: str) -> frozenset[str]:
    """Return the verdicts that a flag names, separated by commas; raises UsageError for others."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if text is not None and not names:
        raise UsageError(f"{flag}: name at least one verdict: {', '.join(_ALL)}")
    for name in names:
        if name not in _ALL:
            raise UsageError(f"{flag} {name}: no such verdict.{did_you_mean(name, _ALL)} Verdicts: {', '.join(_ALL)}")
    return frozenset(names)


class VerdictCount:
    """Counts verdicts."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, facts: Mapping[str, Any]) -> None:
        """Count what is said of a result, if anything is."""
        if isinstance(facts.get("verdict"), str):
            self._counts[facts["verdict"]] += 1

    def __str__(self) -> str:
        """As in "12 ok, 2 no-change"; "" where nothing was counted."""
        return self._words([name for name in ("ok", *_ALL) if self._counts[name]])

    def check(self, unwanted: frozenset[str]) -> None:
        """Raise VerdictError if a verdict is among the `unwanted`."""
        found = [name for name in _ALL if name in unwanted and self._counts[name]]
        if found:
            total = sum(self._counts.values())
            raise VerdictError(f"--fail-on: {self._words(found)} of {total} results. They are written.")

    def _words(self, names: list[str]) -> str:
        return ", ".join(f"{self._counts[name]} {name}" for name in dict.fromkeys(names))


def in_words(facts: Mapping[str, Any]) -> str:
    """Return the end of a result's line: ", ok", or ": no-change: lower --cfg-image to 1.2"; "" without a verdict."""
    name, advice = facts.get("verdict"), facts.get("advice")
    if not isinstance(name, str):
        return ""
    if name == "ok":
        return ", ok"
    edit = f" (edit {facts['verdict_of_edit']})" if "verdict_of_edit" in facts else ""
    return f": {name}{edit}" + (f": {advice}" if isinstance(advice, str) and advice else "")
