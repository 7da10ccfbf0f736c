"""Quantiles and histograms as numpy has them, to within the step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ip2p_cli.datagen.histogram import Spread, spread_of

VALUES = st.lists(st.floats(-1, 1), min_size=1, max_size=60)


@given(VALUES, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_quantiles(values: list[float], share: float) -> None:
    spread = spread_of("clip_image")
    for value in values:
        spread.add(value)
    expected = float(np.quantile(values, share, method="inverted_cdf"))
    assert spread.quantile(share) == pytest.approx(expected, abs=0.00051)


@given(VALUES)
def test_histogram(values: list[float]) -> None:
    spread = Spread()
    for value in (*values, None):
        spread.add(value)
    low, high, heights = spread.histogram(7)
    assert sum(heights) == spread.total == len(values)
    assert low <= min(values) + 0.001
    assert high >= max(values) - 0.001
    assert spread.none == 1


def test_nothing() -> None:
    assert Spread().quantile(0.5) is None
    assert Spread().histogram(3) == (0.0, 1.0, [0, 0, 0])
