"""Which pairs are kept: what passes every gate, and of a triplet the best."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ip2p_cli.datagen.selection import Gate, Thresholds, decide, score_of

CLIP = Thresholds().gates({"measure": "clip"})
SCORE = st.none() | st.floats(-1, 1)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"triplet": st.sampled_from("abc")}
        | dict.fromkeys(("clip_image", "clip_direction", "clip_text_original", "clip_text_edited"), SCORE)
    ),
    max_size=20,
)


@given(ROWS, st.integers(1, 3))
def test_kept_pairs_pass_and_are_the_best(rows: list[dict[str, Any]], keep: int) -> None:
    why = decide(rows, CLIP, keep)
    passing = [row for row in rows if all(gate.passes(row) for gate in CLIP)]
    for triplet in "abc":
        kept = [row for row, reason in zip(rows, why, strict=True) if reason is None and row["triplet"] == triplet]
        there = sorted((score_of(row) for row in passing if row["triplet"] == triplet), reverse=True)
        assert sorted(map(score_of, kept), reverse=True) == there[:keep]
    for row, reason in zip(rows, why, strict=True):
        assert row in passing or reason != f"more than {keep} of a triplet"


def test_the_papers_thresholds() -> None:
    assert [str(gate) for gate in CLIP] == [
        "clip_image ≥ 0.7", "clip_direction ≥ 0.2", "clip_text_original ≥ 0.2", "clip_text_edited ≥ 0.2",
    ]  # fmt: skip


def test_reasons() -> None:
    row = {"triplet": "a", "change": 5.0}
    assert Gate(score="change", bound=9).why_not(row) == "change below 9"
    assert Gate(score="change", bound=2, most=True).why_not(row) == "change above 2"
    assert Gate(score="judge", bound=0.5).why_not(row) == "no judge"
    assert not Gate(score="judge", bound=0.5).passes({"judge": None})


def test_offline_order_is_visible_change_times_structure() -> None:
    strong, weak, lost = ({"change": c, "structure": s} for c, s in ((30.0, 0.9), (3.0, 0.99), (60.0, 0.3)))
    assert score_of(strong) > score_of(lost) > score_of(weak)
