"""How values are spread, in memory that does not grow with their number: quantiles and histograms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate


@dataclass(kw_only=True)
class Spread:
    """Counts of values rounded to `step`: a score of -1 to 1 takes 2001 counts at most. none: how many were missing."""

    step: float = 0.001
    counts: Counter[int] = field(default_factory=Counter)
    none: int = 0

    def add(self, value: float | None) -> None:
        """Count a value."""
        if value is None:
            self.none += 1
        else:
            self.counts[round(value / self.step)] += 1

    @property
    def total(self) -> int:
        """How many values there are."""
        return self.counts.total()

    def quantile(self, share: float) -> float | None:
        """The value that `share` of the values, 0 to 1, are not above; None where there are none."""
        wanted = share * self.total
        for place, so_far in self._cumulated():
            if so_far >= wanted:
                return round(place * self.step, 4)
        return None

    def share(self, low: float, high: float) -> float:
        """The share of all, missing ones too, that lies in [low, high]."""
        count = sum(n for place, n in self.counts.items() if low <= round(place * self.step, 6) <= high)
        return count / max(1, self.total + self.none)

    def histogram(self, bins: int = 40) -> tuple[float, float, list[int]]:
        """(lowest, highest, the count in each of `bins` equal parts of the range)."""
        if not self.counts:
            return 0.0, 1.0, [0] * bins
        low, high = min(self.counts), max(self.counts)
        width = (high - low + 1) / bins
        heights = [0] * bins
        for place, count in self.counts.items():
            heights[min(bins - 1, int((place - low) / width))] += count
        return low * self.step, (high + 1) * self.step, heights

    def _cumulated(self) -> Iterator[tuple[int, int]]:
        places = sorted(self.counts)
        return zip(places, accumulate(self.counts[place] for place in places), strict=True)


def spread_of(name: str) -> Spread:
    """A spread as coarse as the score `name` may be seen: a change is a CIELAB distance, the others are in [-1, 1]."""
    return Spread(step=0.05 if name == "change" else 0.001)
