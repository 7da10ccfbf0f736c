"""The script behind docs/speed.md: the full run is the measure of itself, and each saving saves what it should."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality_cost import measure, settings
from ip2p_cli.models.loader import Editor


def test_a_row_for_each_setting(tiny_editor: Editor) -> None:
    photo = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)
    how = {"steps": 4, "sampler": "euler", "cfg_text": [7.5], "cfg_image": [1.5]}
    rows = {row.name: row for row in measure(tiny_editor, [photo], ["sepia"], how)}
    assert list(rows) == list(settings())
    full, half, reuse = rows["full"], rows["--guidance-interval 0-0.5"], rows["--feature-reuse 2"]
    assert (full.evaluations, full.work, full.mean) == (1, 1, 100)
    assert half.evaluations == pytest.approx(2 / 3)  # two steps of three rows, two of one
    assert half.work == pytest.approx(2 / 3, abs=0.01)
    assert reuse.evaluations == 1
    assert 0.5 < reuse.work < 0.95
    assert all(0 < row.work <= 1 and 0 < row.worst <= row.mean for row in rows.values())
