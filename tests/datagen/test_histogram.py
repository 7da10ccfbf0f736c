"""Quantiles and histograms as numpy has them, to within the step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ip2p_cli.datagen.histogram import Distribution, Distributions

VALUES = st.lists(st.floats(-1, 1), min_size=1, max_size=60)


@given(VALUES, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_quantiles(values: list[float], share: float) -> None:
    distribution = Distributions()["clip_image"]
    for value in values:
        distribution.add(value)
    expected = float(np.quantile(values, share, method="inverted_cdf"))
    assert distribution.quantile(share) == pytest.approx(expected, abs=0.00051)


@given(VALUES)
def test_histogram(values: list[float]) -> None:
    distribution = Distribution()
    for value in values:
        distribution.add(value)
    low, high, heights = distribution.histogram(7)
    assert sum(heights) == distribution.counts.total() == len(values)
    assert low <= min(values) + 0.001
    assert high >= max(values) - 0.001


def test_nothing() -> None:
    assert Distribution().quantile(0.5) is None
    assert Distribution().histogram(3) == (0.0, 1.0, [0, 0, 0])
