"""`ip2p chain` on many photos: the manifest, what a rerun does, what changed, what fails, shards, --dry-run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.ip2p import Run, some_photo

EDITS = ("--edit", "winter", "--edit", "night", "--seed", 1)


@pytest.fixture
def photos(ip2p: Run) -> Path:
    """Three photos in a tree."""
    for number, name in enumerate(("a.png", "b.png", "sub/a.png")):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        some_photo(97 if number % 2 else 65, 65, shift=number * 20).save(path)
    return Path("photos")


@pytest.fixture
def no_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any model that is loaded is an error."""
    monkeypatch.setattr("ip2p_cli.editing.model_choice.ModelChoice.load", lambda *_: pytest.fail("a model was loaded"))


def tree(folder: str) -> dict[str, bytes]:
    """All files that a user sees, but for the manifests."""
    found = (p for p in sorted(Path(folder).rglob("*")) if p.is_file() and ".ip2p-chain" not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found if p.suffix != ".jsonl"}


def entries(folder: str) -> dict[str, dict[str, object]]:
    """The last that the manifest says of each output."""
    items = [json.loads(line).get("item") for line in Path(folder, "ip2p-manifest.jsonl").read_text().splitlines()]
    return {item["name"]: item for item in items if item}


def noted_files(folder: str) -> list[dict[str, str]]:
    """The files that the manifest says were written."""
    lines = [json.loads(line) for line in Path(folder, "ip2p-manifest.jsonl").read_text().splitlines()]
    return [line["file"] for line in lines if "file" in line]


def test_the_manifest_says_what_was_made_of_what(ip2p: Run, photos: Path) -> None:
    done = ip2p("chain", photos, *EDITS, "-o", "out", "-r")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [f"out/{name}/final.png" for name in ("a", "b", "sub/a")]
    entry = entries("out")["sub/a"]
    assert (entry["state"], entry["input"]) == ("done", "../photos/sub/a.png")
    edits = entry["recipe"]["edits"]  # type: ignore[index]
    assert {number: edit["instruction"] for number, edit in edits.items()} == {"1": "winter", "2": "night"}
    assert all(entry[name] for name in ("input_sha256", "input_stamp", "seconds"))
    assert set(tree("out")) == {note["name"] for note in noted_files("out")}


def test_a_rerun_does_what_is_missing_and_nothing_else(ip2p: Run, photos: Path, request: pytest.FixtureRequest) -> None:
    ip2p("chain", photos, *EDITS, "-o", "out", "-r")
    before = tree("out")
    Path("out/b/01-winter.png").unlink()
    stamps = {p: p.stat().st_mtime_ns for p in Path("out").rglob("*.png")}
    done = ip2p("chain", photos, *EDITS, "-o", "out", "-r")
    assert "1 of 3 photos edited, 2 done before" in done.err
    assert tree("out") == before
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    (photos / "b.png").unlink()  # what is done needs its photo no more
    request.getfixturevalue("no_loading")
    done = ip2p("chain", photos / "a.png", photos / "b.png", *EDITS, "-o", "out")
    assert (done.code, "0 of 2 photos edited, 2 done before" in done.err) == (0, True), done.err


def test_without_the_manifest_files_are_the_users(ip2p: Run, photos: Path) -> None:
    ip2p("chain", photos, *EDITS, "-o", "out")
    before = tree("out")
    Path("out/ip2p-manifest.jsonl").unlink()
    done = ip2p("chain", photos, *EDITS, "-o", "out")
    assert (done.code, "exists already: use --overwrite" in done.err) == (4, True), done.err
    assert tree("out") == before
    assert ip2p("chain", photos, *EDITS, "-o", "out", "--overwrite").code == 0
    assert tree("out") == before


def test_other_settings_are_refused_or_redone(ip2p: Run, photos: Path) -> None:
    ip2p("chain", photos, *EDITS, "-o", "out")
    ip2p("chain", photos, *EDITS, "-o", "new", "--cfg-text", 5)
    before = tree("out")
    refused = ip2p("chain", photos, *EDITS, "-o", "out", "--cfg-text", 5)
    assert refused.code == 2
    assert "2 of 2 results were made otherwise (a: edit 1: cfg_text 7.5, now 5.0): give --redo" in refused.err
    assert tree("out") == before
    assert ip2p("chain", photos, *EDITS, "-o", "out", "--cfg-text", 5, "--redo").code == 0
    assert tree("out") == tree("new")
    longer = ip2p("chain", photos, *EDITS, "--edit", "fog", "-o", "out", "--cfg-text", 5)
    assert "a: edit 3 is new" in longer.err


def test_redo_does_not_replace_what_the_user_has_changed(ip2p: Run, photos: Path) -> None:
    ip2p("chain", photos / "a.png", *EDITS, "-o", "out")
    some_photo(20, 20).save("out/a/final.png")
    mine = Path("out/a/final.png").read_bytes()
    done = ip2p("chain", photos / "a.png", *EDITS, "-o", "out", "--cfg-text", 5, "--redo")
    assert done.code == 4
    assert "out/a/final.png exists already" in done.err
    assert Path("out/a/final.png").read_bytes() == mine
    assert ip2p("chain", photos / "a.png", *EDITS, "-o", "out", "--cfg-text", 5, "--redo", "--overwrite").code == 0
    assert Path("out/a/final.png").read_bytes() == Path("out/a/02-night.png").read_bytes()


def test_a_photo_that_changed_is_noticed(ip2p: Run, photos: Path) -> None:
    ip2p("chain", photos, *EDITS, "-o", "out")
    some_photo(65, 65, shift=99).save(photos / "a.png")
    done = ip2p("chain", photos, *EDITS, "-o", "out")
    assert (done.code, "../photos/a.png has changed" in done.err) == (2, True), done.err
    done = ip2p("chain", photos, *EDITS, "-o", "out", "--redo")
    assert "1 of 2 photos edited, 1 done before" in done.err


def test_the_drawn_seed_belongs_to_the_folder(ip2p: Run, photos: Path) -> None:
    one = ("chain", photos / "a.png", "--edit", "winter", "-o", "out")
    assert "seed" not in ip2p(*one).err.split("out/a")[0]
    both = ip2p("chain", photos, "--edit", "winter", "-o", "out")
    assert "as before in out" in both.err
    assert "1 of 2 photos edited, 1 done before" in both.err
    seeds = {json.loads(p.read_text())["edits"][0]["seed"] for p in Path("out").rglob("index.json")}
    assert len(seeds) == 1


def test_failures_are_noted_and_tried_again(ip2p: Run, photos: Path) -> None:
    (photos / "bad.png").write_text("no picture")
    done = ip2p("chain", photos, photos / "gone.png", *EDITS, "-o", "out")
    assert (done.code, "2 of 4 photos failed" in done.err) == (3, True), done.err
    failed = {name: one for name, one in entries("out").items() if one["state"] == "failed"}
    assert sorted(failed) == ["bad", "gone"]
    assert "bad.png" in str(failed["bad"]["reason"])
    some_photo(65, 65, shift=7).save(photos / "bad.png")
    done = ip2p("chain", photos, *EDITS, "-o", "out")
    assert (done.code, "1 of 3 photos edited, 2 done before" in done.err) == (0, True), done.err


def test_shards_together_make_the_whole(ip2p: Run, photos: Path) -> None:
    ip2p("chain", photos, *EDITS, "-o", "whole", "-r")
    for part in ("2/2", "1/2"):
        assert ip2p("chain", photos, *EDITS, "-o", "parts", "-r", "--shard", part).code == 0
    assert tree("parts") == tree("whole")
    assert "0 of 3 photos edited, 3 done before" in ip2p("chain", photos, *EDITS, "-o", "parts", "-r").err
    assert ip2p("chain", photos, *EDITS, "-o", "parts", "--shard", "3/2").code == 2


def test_dry_run_tells_all_and_does_nothing(ip2p: Run, photos: Path, no_loading: None) -> None:
    (photos / "bad.png").write_text("no picture")
    words = ("chain", photos, *EDITS, "-o", "out", "--best-of", 3, "--dry-run")
    done = ip2p(*words)
    assert done.code == 0, done.err
    assert "to do        65x65  photos/a.png -> out/a" in done.out
    assert "to do   unreadable  photos/bad.png -> out/bad" in done.out
    assert "best of seeds 1 to 3" in done.err
    assert "3 of 3 to do, in 3 batches: about" in done.err
    assert not Path("out").exists()
    said = [json.loads(line) for line in ip2p(*words, "--json").out.splitlines()]
    assert [one["size"] for one in said] == [[65, 65], [97, 65], None]
    second = said[0]["edits"][1]
    assert (second["instruction"], second["seeds"], second["steps"]) == ("night", [1, 2, 3], 2)


def test_dry_run_knows_what_is_done(ip2p: Run, photos: Path) -> None:
    ip2p("chain", photos / "a.png", *EDITS, "-o", "out")
    done = ip2p("chain", photos, *EDITS, "-o", "out", "--dry-run")
    assert "skip         65x65  photos/a.png -> out/a" in done.out
    assert "1 of 2 to do" in done.err


def test_edit_and_chain_share_a_folder(ip2p: Run, photos: Path) -> None:
    ip2p("chain", photos, *EDITS, "-o", "out")
    done = ip2p("edit", photos, "winter", "-o", "out/", "--seed", 1)
    assert (done.code, done.out.splitlines()) == (0, ["out/a-winter.png", "out/b-winter.png"]), done.err
    assert "0 of 2 photos edited, 2 done before" in ip2p("chain", photos, *EDITS, "-o", "out").err


def test_the_output_is_a_folder(ip2p: Run, photos: Path) -> None:
    done = ip2p("chain", photos, *EDITS, "-o", "out.jpg")
    assert (done.code, "name a folder" in done.err) == (2, True)


def test_the_cache_can_be_left_out_and_is_bounded(ip2p: Run, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ip2p("chain", photos / "a.png", *EDITS, "-o", "out", "--no-cache").code == 0
    assert not Path("out/.ip2p-chain").exists()
    with_cache = ip2p("chain", photos, *EDITS, "-o", "kept")
    assert with_cache.code == 0
    used = set(Path("kept/.ip2p-chain").iterdir())
    assert len(used) == 4
    from ip2p_cli.editing.step_cache import StepCache

    monkeypatch.setattr(StepCache.prune, "__defaults__", (0,))
    assert ip2p("chain", photos / "a.png", *EDITS, "-o", "kept", "--cfg-text", 5, "--redo").code == 0
    left = set(Path("kept/.ip2p-chain").iterdir())
    assert len(left) == 4
    assert len(left & used) == 2  # those of b; what a's first chain left is dropped
