"""Verdicts as a user meets them: in the lines, in JSON, as an exit code, and as what is made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ip2p_cli.editing.verdict import Evidence
from ip2p_cli.io.provenance import read_record
from ip2p_cli.jobs.manifest import open_manifest
from tests.cli.ip2p import Run, pixels, some_photo

Say = Callable[..., None]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Makes the verdicts come in a given order, the last one for ever; a tiny model's own mean nothing."""

    def set_verdicts(*names: str) -> None:
        rest: Iterator[str] = iter(names)

        def judge(evidence: Evidence) -> tuple[str, dict[str, float]]:
            return next(rest, names[-1]), {"change": 1.0}

        monkeypatch.setattr("ip2p_cli.editing.judging.judge", judge)

    return set_verdicts


@pytest.fixture
def photos(ip2p: Run) -> Path:
    """A folder of three photos."""
    Path("in").mkdir()
    for number in range(3):
        some_photo(shift=number * 20).save(f"in/{number}.png")
    return Path("in")


def manifest_verdicts(folder: str) -> dict[str, str]:
    entries = open_manifest(Path(folder)).entries
    return {name: (entry.verdicts or ({},))[0].get("verdict", "") for name, entry in entries.items()}


def test_a_result_says_whether_it_worked(ip2p: Run, photo: Path, say: Say) -> None:
    say("no-change")
    done = ip2p("edit", photo, "winter", "-o", "a.png", "--seed", 1, "--json")
    data = json.loads(done.out)
    assert (data["verdict"], data["advice"]) == ("no-change", "lower --cfg-image to 1.2")
    assert data["measures"] == {"change": 1.0}
    assert "s: no-change: lower --cfg-image to 1.2" in done.err
    record = read_record(Path("a.png"))
    assert record is not None
    assert "verdict" not in record  # it decides no byte of the picture
    say("ok")
    assert "s, ok" in ip2p("edit", photo, "winter", "-o", "b.png", "--seed", 1).err
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_it_is_judged_by_what_is_in_the_picture(ip2p: Run, photo: Path) -> None:
    done = ip2p("edit", photo, "winter", "-o", "a.png", "--seed", 1, "--json", "--box", "0,0,30,30")
    measures = json.loads(done.out)["measures"]
    assert set(measures) == {"change", "strongest", "structure", "burnt"}
    assert measures["change"] > 5  # in the box; a random model changes what it sees


@pytest.mark.parametrize("command", ["edit", "variants", "chain"])
def test_fail_on_ends_with_its_exit_code_and_the_files(ip2p: Run, photo: Path, say: Say, command: str) -> None:
    words = [command, photo, "winter"] if command != "chain" else [command, photo, "--edit", "winter"]
    words += ["-o", "out", "--seed", 1]
    say("over-edit")
    failed = ip2p(*words, "--fail-on", "no-change,over-edit")
    assert failed.code == 8
    assert "--fail-on: 1 over-edit of 1 results" in failed.err
    assert list(Path("out").rglob("*.png"))
    assert "index.json" in {path.name for path in Path("out").rglob("*")} or command == "edit"
    # Once more: it is done, and still over-edited.
    assert ip2p(*words, "--fail-on", "over-edit").code == 8
    assert ip2p(*words, "--fail-on", "no-change,off-target").code == 0


def test_a_verdict_that_does_not_exist_is_one_line(ip2p: Run, photo: Path) -> None:
    for flag in ("--fail-on", "--redo-verdict"):
        done = ip2p("edit", photo, "winter", "-o", "out", flag, "no-chance")
        assert done.code == 2
        assert "Did you mean no-change?" in done.err
        assert len(done.err.strip().splitlines()) == 1
    assert not list(Path().rglob("*winter*"))


def test_verdicts_are_counted_and_noted(ip2p: Run, photos: Path, say: Say) -> None:
    say("ok", "no-change", "ok")
    done = ip2p("edit", photos, "winter", "-o", "out", "--seed", 1, "--report")
    assert "3 of 3 photos edited: out (2 ok, 1 no-change)" in done.err
    assert sorted(manifest_verdicts("out").values()) == ["no-change", "ok", "ok"]
    listed = json.loads(Path("out/index.json").read_text())["results"]
    assert sorted(one["verdict"] for one in listed) == ["no-change", "ok", "ok"]
    assert "no-change: lower --cfg-image to 1.2" in Path("out/report.html").read_text()
    again = ip2p("edit", photos, "winter", "-o", "out", "--seed", 1)
    assert "3 done before: out (2 ok, 1 no-change)" in again.err


def test_only_what_got_a_verdict_is_made_again(ip2p: Run, photos: Path, say: Say) -> None:
    say("ok", "no-change", "ok")
    assert ip2p("edit", photos, "winter", "-o", "out", "--seed", 1).code == 0
    before = {path.name: path.read_bytes() for path in Path("out").glob("*.png")}
    [bad] = [name for name, verdict in manifest_verdicts("out").items() if verdict == "no-change"]
    same = ip2p("edit", photos, "winter", "-o", "out", "--seed", 1, "--redo-verdict", "no-change")
    assert (same.code, "would come out the same" in same.err) == (2, True)
    say("ok")
    done = ip2p("edit", photos, "winter", "-o", "out", "--seed", 2, "--redo-verdict", "no-change,over-edit")
    assert done.code == 0, done.err
    assert "1 of 3 photos edited, 2 done before: out (3 ok)" in done.err
    after = {path.name: path.read_bytes() for path in Path("out").glob("*.png")}
    assert {name for name in before if before[name] != after[name]} == {bad}
    record = read_record(Path("out", bad))
    assert record is not None
    assert record["seed"] == 2


def test_without_it_other_settings_are_still_refused(ip2p: Run, photos: Path, say: Say) -> None:
    say("ok")
    assert ip2p("edit", photos, "winter", "-o", "out", "--seed", 1).code == 0
    assert ip2p("edit", photos, "winter", "-o", "out", "--seed", 2).code == 2
    assert ip2p("edit", photos, "winter", "-o", "a.png", "--redo-verdict", "ok").code == 2


def test_each_edit_of_a_chain_gets_one(ip2p: Run, photo: Path, say: Say) -> None:
    say("ok", "over-edit", "ok")
    edits = ["--edit", "winter", "--edit", "night", "--edit", "fog"]
    done = ip2p("chain", photo, *edits, "-o", "out", "--seed", 1, "--json")
    assert (json.loads(done.out)["verdict"], json.loads(done.out)["verdict_of_edit"]) == ("over-edit", 2)
    assert "over-edit (edit 2): raise --cfg-image to 1.9" in done.err
    index = json.loads(Path("out/photo/index.json").read_text())
    assert [edit["verdict"] for edit in index["edits"]] == ["ok", "over-edit", "ok"]


def tried(picture: str) -> list[dict[str, Any]]:
    record = read_record(Path(picture))
    assert record is not None
    found: list[dict[str, Any]] = record["auto_tune"]["tries"]
    return found


def test_auto_tune_keeps_what_is_ok_and_replay_makes_it(ip2p: Run, photo: Path, say: Say, tiny_folder: Path) -> None:
    say("no-change", "no-change", "ok")
    words = ("edit", photo, "winter", "--seed", 1, "--auto-tune", "--max-tries", 4)
    done = ip2p(*words, "-o", "out", "--json")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert [(one["cfg_image"], one["verdict"]) for one in tried(data["output"])] == [
        (1.5, "no-change"), (1.2, "no-change"), (1.0, "ok"),
    ]  # fmt: skip
    assert data["cfg_image"] == 1.0
    assert data["verdict"] == "ok"
    entry = next(iter(open_manifest(Path("out")).entries.values()))
    assert entry.verdicts is not None
    assert len(entry.verdicts[0]["auto_tune"]["tries"]) == 3
    # The same pixels from the settings alone, and from the record.
    assert ip2p("edit", photo, "winter", "--seed", 1, "--cfg-image", 1.0, "-o", "plain.png").code == 0
    assert (pixels("plain.png") == pixels(data["output"])).all()
    replayed = ip2p("replay", data["output"], "-o", "again.png", "--model", tiny_folder, tiny=False)
    assert "the same pixels" in replayed.err + replayed.out, replayed.err
    say("no-change", "no-change", "ok")
    assert ip2p(*words, "-o", "b.png").code == 0
    assert (pixels("b.png") == pixels(data["output"])).all()


def test_auto_tune_of_an_edit_that_is_ok_is_the_edit(ip2p: Run, photo: Path, say: Say) -> None:
    say("ok")
    assert ip2p("edit", photo, "winter", "--seed", 1, "--auto-tune", "-o", "a.png").code == 0
    assert ip2p("edit", photo, "winter", "--seed", 1, "-o", "b.png").code == 0
    assert (pixels("a.png") == pixels("b.png")).all()
    assert len(tried("a.png")) == 1


def test_auto_tune_in_a_chain(ip2p: Run, photo: Path, say: Say, tiny_folder: Path) -> None:
    say("no-change", "ok")
    words = ("chain", photo, "--edit", "winter", "--edit", "night", "--seed", 1, "--auto-tune", "-o", "out")
    assert ip2p(*words).code == 0
    edits = json.loads(Path("out/photo/index.json").read_text())["edits"]
    assert [len(edit["auto_tune"]["tries"]) for edit in edits] == [2, 1]
    assert [edit["cfg_image"] for edit in edits] == [1.2, 1.5]
    replayed = ip2p("replay", "out/photo/final.png", "-o", "again.png", "--model", tiny_folder, tiny=False)
    assert "the same pixels" in replayed.err + replayed.out, replayed.err


def test_flags_that_have_no_effect_are_refused(ip2p: Run, photo: Path) -> None:
    assert ip2p("edit", photo, "winter", "--max-tries", 3).code == 2
    both = ip2p("chain", photo, "--edit", "winter", "--auto-tune", "--best-of", 2, "-o", "out")
    assert (both.code, "--best-of and --auto-tune" in both.err) == (2, True)
