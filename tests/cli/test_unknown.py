"""`--unknown do|skip|fail` with nano, for thresholds of any value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ip2p_cli.models.nano import look_matcher
from tests.cli.ip2p import Run, pixels

pytestmark = pytest.mark.slow

SAMPLE = Path(__file__).parents[2] / "samples" / "cat.jpg"
ODD = "please let there be quite some winter"
SMALL = ("--resolution", 64, "--seed", 1, "--model", "nano")


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but a wording is known, and everything is near enough."""
    monkeypatch.setattr(look_matcher, "KNOWN", 2.0)
    monkeypatch.setattr(look_matcher, "NEAR", -1.0)


def test_the_nearest_look_is_done_and_replayed(ip2p: Run, near: None, monkeypatch: pytest.MonkeyPatch) -> None:
    done = ip2p("edit", SAMPLE, ODD, "-o", "a.png", *SMALL, tiny=False)
    assert done.code == 0, done.err
    assert "was not trained for" in done.err
    record = json.loads(ip2p("show", "a.png", "--json", tiny=False).out)
    assert record["instruction"] == ODD
    plain = ip2p("edit", SAMPLE, record["done_as"], "-o", "b.png", *SMALL, tiny=False)
    assert "was not trained for" not in plain.err
    assert (pixels("a.png") == pixels("b.png")).all()
    monkeypatch.setattr(look_matcher, "KNOWN", -1.0)  # replay does what was done then, whatever nano knows now
    again = ip2p("replay", "a.png", "-o", "c.png", tiny=False)
    assert "c.png: the same pixels\n" in again.err, again.err


def test_skip_leaves_out_and_fail_fails(ip2p: Run, near: None) -> None:
    words = ("variants", SAMPLE, "make it winter", "--instruction", ODD, *SMALL)
    done = ip2p(*words, "-o", "some", "--unknown", "skip", tiny=False)
    assert done.code == 0, done.err
    assert "1 of 2 variants edited, 1 skipped" in done.err
    items = [json.loads(line).get("item", {}) for line in Path("some/ip2p-manifest.jsonl").read_text().splitlines()]
    assert {(item["title"], item["state"]) for item in items if item.get("state") in ("done", "skipped")} == {
        ("make it winter", "done"),
        (ODD, "skipped"),
    }
    failed = ip2p(*words, "-o", "some", "--unknown", "fail", tiny=False)
    assert failed.code == 3
    assert "1 of 2 variants failed" in failed.err
    now = ip2p(*words, "-o", "some", tiny=False)
    assert now.code == 0
    assert "1 of 2 variants edited, 1 done before" in now.err


def test_nothing_but_what_is_left_out_is_an_error(ip2p: Run, near: None) -> None:
    for command in ("edit", "variants"):
        done = ip2p(command, SAMPLE, ODD, *SMALL, "--unknown", "skip", "-o", f"{command}/", tiny=False)
        assert done.code == 3
        assert "left out" in done.err
    chain = ip2p("chain", SAMPLE, "--edit", "make it night", "--edit", ODD, *SMALL, "--unknown", "skip", tiny=False)
    assert chain.code == 3
    assert "left out" in chain.err
