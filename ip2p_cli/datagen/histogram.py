"""Distributions of values in memory that does not grow with their number: quantiles and histograms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from ip2p_cli.datagen.dataset.columns import is_score


@dataclass(kw_only=True)
class Distribution:
    """Counts of values that are rounded to multiples of `step`: at most 2001 counts for a score of -1 to 1."""

    step: float = 0.001
    counts: Counter[int] = field(default_factory=Counter)

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[round(value / self.step)] += 1

    def quantile(self, share: float) -> float | None:
        """The smallest value that at least `share`, 0 to 1, of the values do not exceed; None without values."""
        steps = sorted(self.counts)
        for step, count in zip(steps, accumulate(self.counts[step] for step in steps), strict=True):
            if count >= share * self.counts.total():
                return round(step * self.step, 4)
        return None

    def histogram(self, bins: int = 40) -> tuple[float, float, list[int]]:
        """The range of the values, (low, high), and how many are in each of `bins` equal parts of it."""
        if not self.counts:
            return 0.0, 1.0, [0] * bins
        low, high = min(self.counts), max(self.counts)
        width = (high - low + 1) / bins
        heights = [0] * bins
        for step, count in self.counts.items():
            heights[min(bins - 1, int((step - low) / width))] += count
        return low * self.step, (high + 1) * self.step, heights


class Distributions(dict[str, Distribution]):
    """The distribution of each score, by name."""

    def __missing__(self, name: str) -> Distribution:
        """Begin the distribution of a score."""
        # A change is a CIELAB distance of 0 to 100 or more; other scores are in [-1, 1].
        self[name] = Distribution(step=0.05 if name == "change" else 0.001)
        return self[name]

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Count every score of a row."""
        for name, value in row.items():
            if is_score(name, value):
                self[name].add(value)
