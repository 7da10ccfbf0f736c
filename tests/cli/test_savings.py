"""Settings that save evaluations: in the record, the manifest's identity and replay; off, they leave no trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ip2p_cli.io.provenance import read_record
from tests.cli.ip2p import Run, pixels

SAVINGS = {"guidance-interval": "0-0.5", "adaptive-guidance": 0.9, "feature-reuse": 2}


@pytest.mark.parametrize(("flag", "value"), SAVINGS.items(), ids=SAVINGS)
def test_a_saving_is_recorded_and_replayed(
    ip2p: Run, photo: Path, tiny_folder: Path, flag: str, value: str | float
) -> None:
    words = ("edit", photo, "make it winter", "--seed", 3)
    plain = ip2p(*words, "-o", "plain.png")
    assert plain.code == 0, plain.err
    name = flag.replace("-", "_")
    assert name not in (read_record(Path("plain.png")) or {})
    done = ip2p(*words, f"--{flag}", value, "-o", "a.png", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[name] == value
    assert (pixels("a.png") != pixels("plain.png")).any()
    again = ip2p("replay", "a.png", "-o", "b.png", "--model", tiny_folder, tiny=False)
    assert "the same pixels" in again.err
    assert (pixels("a.png") == pixels("b.png")).all()


def test_a_manifest_knows_savings_and_an_older_one_has_none(ip2p: Run, photo: Path) -> None:
    words = ("edit", photo, "make it winter", "--seed", 3, "-o", "out")
    assert ip2p(*words).code == 0
    off = ("--guidance-interval", "0-1", "--feature-reuse", 1, "--adaptive-guidance", 0)
    assert "1 done before" in ip2p(*words, *off).err
    other = ip2p(*words, "--feature-reuse", 2)
    assert "feature_reuse" in other.err
    assert "1 done before" not in other.err
    assert ip2p(*words, "--feature-reuse", 2, "--redo").code == 0
    assert "1 done before" in ip2p(*words, "--feature-reuse", 2).err


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--guidance-interval", "0.6-0.2", "two shares of the steps"),
        ("--adaptive-guidance", "-0.1", "a number from 0 to 1"),
        ("--adaptive-guidance", "nan", "a number from 0 to 1"),
        ("--feature-reuse", "0", "a number from 1 to 10"),
    ],
)
def test_impossible_values(ip2p: Run, photo: Path, flag: str, value: str, said: str) -> None:
    done = ip2p("edit", photo, "winter", flag, value, "-o", "a.png")
    assert done.code != 0
    assert said in done.err
    assert flag in done.err
    assert not Path("a.png").exists()


def test_a_chain_and_a_recipe_take_them(ip2p: Run, photo: Path) -> None:
    edits = "edits: [winter, {instruction: night, feature_reuse: 2}]"
    Path("two.yaml").write_text(f"name: two\ndefaults: {{guidance_interval: 0-0.5}}\n{edits}\n")
    done = ip2p("chain", photo, "two.yaml", "--check", "--json", "--adaptive-guidance", 0.01)
    assert done.code == 0, done.err
    first, second = map(json.loads, done.out.splitlines())
    assert (first["guidance_interval"], second["guidance_interval"]) == ("0-0.5", "0-0.5")
    assert "feature_reuse" not in first
    assert second["feature_reuse"] == 2
    assert second["adaptive_guidance"] == 0.01
