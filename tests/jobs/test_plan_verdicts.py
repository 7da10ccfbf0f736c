"""What --redo-verdict makes again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ip2p_cli.errors import UsageError
from ip2p_cli.jobs.item import Request
from ip2p_cli.jobs.manifest import open_manifest
from tests.jobs.fake_work import plan, request_for, run_job


def judged(folder: Path, requests: list[Request], verdicts: list[str]) -> None:
    """Do them, and note a verdict on each."""
    assert {outcome.state for outcome in run_job(folder, requests)} == {"done"}
    manifest = open_manifest(folder)
    for item, verdict in zip(plan(folder, requests).items, verdicts, strict=True):
        manifest.note(replace(manifest.entries[item.name], verdicts=({"verdict": verdict},)))


def test_a_verdict_decides_what_is_made_again(photos: list[Path], out: Path) -> None:
    judged(out, [request_for(photo) for photo in photos], ["ok", "no-change", "over-edit"])
    changed = [request_for(photo, steps=5) for photo in photos]
    with pytest.raises(UsageError, match="--redo"):
        plan(out, changed)
    made = plan(out, changed, redo_verdicts={"no-change"})
    assert [item.state for item in made.items] == ["done", "redo", "done"]
    assert [item.verdicts for item in made.items] == [({"verdict": "ok"},), None, ({"verdict": "over-edit"},)]


def test_what_would_come_out_the_same_is_refused(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos]
    judged(out, requests, ["ok", "no-change", "over-edit"])
    with pytest.raises(UsageError, match="would come out the same"):
        plan(out, requests, redo_verdicts={"no-change"})
    assert plan(out, requests, redo_verdicts={"off-target"}).to_do == []


def test_an_interrupted_job_of_verdicts_goes_on(photos: list[Path], out: Path) -> None:
    """The first was made again before it stopped, and is no better."""
    judged(out, [request_for(photo) for photo in photos], ["no-change", "no-change", "ok"])
    changed = [request_for(photo, steps=5) for photo in photos]
    run_job(out, changed[:1], redo=True)
    manifest = open_manifest(out)
    name = plan(out, changed[:1]).items[0].name
    manifest.note(replace(manifest.entries[name], verdicts=({"verdict": "no-change"},)))
    made = plan(out, changed, redo_verdicts={"no-change"})
    assert [item.state for item in made.items] == ["done", "redo", "done"]


def test_a_changed_photo_is_refused_whatever_its_verdict(photos: list[Path], out: Path) -> None:
    judged(out, [request_for(photo) for photo in photos], ["ok"] * 3)
    Image.new("RGB", (8, 6), (9, 9, 9)).save(photos[0])
    with pytest.raises(UsageError, match="1 of 3 results were made otherwise"):
        plan(out, [request_for(photo, steps=5) for photo in photos], redo_verdicts={"no-change"})
