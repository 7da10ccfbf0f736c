"""What painting pairs would take."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_cli.datagen.pairs.plan import plan_pairs
from ip2p_cli.datagen.pairs.settings import PairSettings
from ip2p_cli.datagen.pairs.write import MakePairs
from ip2p_cli.errors import InputError
from ip2p_cli.io.shards import Shards
from ip2p_cli.models.registry import find_model
from tests.tiny import save_editor, tiny_painter


def test_the_papers_size(tmp_path: Path) -> None:
    spec = find_model(str(save_editor(tiny_painter(), tmp_path / "painter")))
    settings = PairSettings(painter="prompt2prompt", candidates=100, steps=2, side=64)
    shards = Shards(folder=tmp_path / "triplets")
    make = MakePairs(triplets=shards, pairs=Shards(folder=tmp_path), settings=settings, spec=spec, device="cpu")
    plan = plan_pairs(make, 454_445, 2)
    assert (plan.pairs, plan.evaluations) == (45_444_500, 45_444_500 * 2 * 4)
    assert plan.hours == pytest.approx(plan.pairs * plan.seconds / 7200)
    assert 0.5 < plan.kilobytes < 50
    with pytest.raises(InputError, match="--triplets N"):
        plan_pairs(make, None, 1)
