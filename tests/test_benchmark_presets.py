"""The script behind the presets runs on an SD1.5-shaped model too; its reference is as near to itself as can be."""

from __future__ import annotations

import numpy as np

from benchmarks.presets import measure
from ip2p_cli.models.loader import Editor


def test_a_row_for_each(tiny_editor: Editor) -> None:
    photo = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)
    wanted = [("unipc", 2), ("euler_a_original", 2), ("dpmpp_2m", 5)]
    rows = list(
        measure(
            tiny_editor,
            [photo],
            cfg_text=7.5,
            cfg_image=1.5,
            wanted=wanted,
            names=["sepia"],
            reference=("dpmpp_2m", 5),
        )
    )
    assert [(row.sampler, row.steps) for row in rows] == [("dpmpp_2m", 5), *wanted]
    same, rough, noisy, again = (row.to_reference for row in rows)
    assert noisy is None
    assert same == again
    assert same is not None
    assert rough is not None
    assert rough < same - 20
    assert all(0 < row.to_look < 60 and row.seconds > 0 for row in rows)
