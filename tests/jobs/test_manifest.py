"""What a manifest remembers, whatever happened while it was written."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ip2p_cli.errors import OutputError
from ip2p_cli.jobs.manifest import Entry, FileNote, file_digest, file_stamp, open_manifest, photo_changed


def entry(name: str, state: str = "done", **more: object) -> Entry:
    return Entry(**{"name": name, "state": state, "input": "a.jpg", "recipe": {"steps": 1}} | more)  # type: ignore[arg-type]


def note(name: str, data: bytes, key: str = "k") -> FileNote:
    return FileNote(name=name, key=key, sha256=hashlib.sha256(data).hexdigest())


def test_what_was_noted_is_read_again(tmp_path: Path) -> None:
    made = entry("sub/ä.png", input_sha256="00", seconds=1.5, title="make it “winter”")
    file = note("sub/ä.png", b"made")
    manifest = open_manifest(tmp_path)
    manifest.note_file(file)
    manifest.note(made)
    again = open_manifest(tmp_path)
    assert again.entries == {"sub/ä.png": made}
    assert again.files == {"sub/ä.png": [file]}


def test_a_file_is_ours_if_it_is_what_was_noted(tmp_path: Path) -> None:
    manifest = open_manifest(tmp_path)
    manifest.note_file(note("a.png", b"made"))
    assert not open_manifest(tmp_path).is_ours("a.png")  # the process died before the file got its name
    (tmp_path / "a.png").write_bytes(b"made")
    assert open_manifest(tmp_path).is_ours("a.png")
    assert not open_manifest(tmp_path).is_ours("b.png")


def test_a_file_of_the_users_is_not(tmp_path: Path) -> None:
    open_manifest(tmp_path).note_file(note("a.png", b"made"))
    (tmp_path / "a.png").write_bytes(b"the user's own")
    manifest = open_manifest(tmp_path)
    assert not manifest.is_ours("a.png")
    assert not manifest.has("a.png", "k")


def test_a_file_counts_for_its_key_only(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"made")
    open_manifest(tmp_path).note_file(note("a.png", b"made", key="then"))
    manifest = open_manifest(tmp_path)
    assert manifest.has("a.png", "then")
    assert not manifest.has("a.png", "now")
    manifest.note_file(note("a.png", b"made anew", key="now"))  # and the process dies before the file gets its name
    assert manifest.is_ours("a.png")
    assert not manifest.has("a.png", "now")
    assert manifest.has("a.png", "then")


def test_two_keys_of_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"made")
    manifest = open_manifest(tmp_path)
    for key in ("then", "now"):
        manifest.note_file(note("a.png", b"made", key=key))
    assert manifest.has("a.png", "then")
    assert manifest.has("a.png", "now")


def test_a_photo_that_was_touched_is_not_changed(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"photo")
    made = entry("a.png", input_sha256=file_digest(photo), input_stamp=file_stamp(photo))
    assert not photo_changed(made, photo)
    os.utime(photo, (1, 1))
    assert not photo_changed(made, photo)
    photo.write_bytes(b"other")
    assert photo_changed(made, photo)
    photo.unlink()
    assert not photo_changed(made, photo)


@pytest.mark.parametrize("cut", range(2, 40, 3))
def test_a_line_cut_short_costs_only_itself(tmp_path: Path, cut: int) -> None:
    manifest = open_manifest(tmp_path)
    manifest.note(entry("a.png"))
    manifest.note(entry("b.png"))
    manifest.own.write_bytes(manifest.own.read_bytes()[:-cut])
    again = open_manifest(tmp_path)
    assert set(again.entries) == {"a.png"}
    again.note(entry("c.png"))
    assert set(open_manifest(tmp_path).entries) == {"a.png", "c.png"}


def test_shards_write_apart_and_are_read_together(tmp_path: Path) -> None:
    parts = [open_manifest(tmp_path, f"{i}-of-3") for i in (1, 2, 3)]
    for number, part in enumerate(parts):
        part.note(entry(f"{number}.png"))
    assert len({part.own for part in parts}) == 3
    parts[0].refresh()
    assert set(parts[0].entries) == {"0.png", "1.png", "2.png"}


def test_the_first_drawn_seed_holds_for_the_folder(tmp_path: Path) -> None:
    first, second = open_manifest(tmp_path), open_manifest(tmp_path)
    assert first.note_seed(5) == 5
    assert second.note_seed(6) == 5
    assert open_manifest(tmp_path).seed == 5


def test_a_late_failure_does_not_undo_a_success(tmp_path: Path) -> None:
    manifest = open_manifest(tmp_path)
    manifest.note(entry("a.png"))
    open_manifest(tmp_path).note(entry("a.png", "failed", reason="exists"))
    assert open_manifest(tmp_path).entries["a.png"].state == "done"
    open_manifest(tmp_path).note(replace(entry("a.png", "failed"), recipe={"steps": 2}))
    assert open_manifest(tmp_path).entries["a.png"].state == "failed"


def test_many_threads_and_processes_append_whole_lines(tmp_path: Path) -> None:
    manifests = [open_manifest(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: manifests[i % 4].note(entry(f"{i}.png", reason="r" * 500)), range(200)))
    assert len(open_manifest(tmp_path).entries) == 200
    for line in manifests[0].own.read_text("utf-8").splitlines():
        assert not line or json.loads(line)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="-o"):
        open_manifest(tmp_path / "file" / "sub").note(entry("a.png"))


def test_lines_of_another_version_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "ip2p-manifest.jsonl").write_text('{"item": {"future": 1}}\n{"other": 2}\nnonsense\n[]\n')
    assert open_manifest(tmp_path).entries == {}
