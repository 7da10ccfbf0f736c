"""How an edit can evaluate the model less than guidance at every step does. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ip2p_cli.errors import UsageError
from ip2p_cli.types import ResolvedEditSettings

_INTERVAL = re.compile(r"\s*(\d*\.?\d+)\s*-\s*(\d*\.?\d+)\s*")
_TOLERANCE = 1e-9  # 0.3 * 10 is more than 3


@dataclass(frozen=True, kw_only=True)
class Savings:
    """What an edit saves; the defaults save nothing.

    Attributes:
        interval: Shares of the steps, from and to: between them there is guidance (arXiv:2404.07724).
        agreement: Predictions agree where 1 - their cosine is at most this (arXiv:2312.12487); 0: they never do.
    """

    interval: tuple[float, float] = (0.0, 1.0)
    agreement: float = 0.0

    def is_guided(self, step: int, steps: int) -> bool:
        """Whether `step`, from 0, of `steps` has guidance."""
        first, last = (share * steps - _TOLERANCE for share in self.interval)
        return first <= step and (step < last or self.interval[1] >= 1)


def savings_of(settings: ResolvedEditSettings) -> Savings:
    """What an edit with these settings saves; raises UsageError for an interval that is not possible."""
    return Savings(interval=parse_interval(settings.guidance_interval), agreement=settings.adaptive_guidance)


def parse_interval(text: str) -> tuple[float, float]:
    """Parse the interval of the steps with guidance, `FROM-TO`.

    Raises:
        UsageError: They are no two shares from 0 to 1, the smaller first.
    """
    match = _INTERVAL.fullmatch(text)
    first, last = (float(match[1]), float(match[2])) if match else (1.0, 0.0)
    if not 0 <= first < last <= 1:
        raise UsageError(
            f"--guidance-interval {text} is not possible: give two shares of the steps, e.g. 0.25-1 for guidance in "
            "all but the first quarter"
        )
    return first, last
