"""What a manifest remembers, whatever happened while it was written."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from ip2p_cli.io.manifest import Entry, file_digest, open_manifest

from ip2p_cli.errors import OutputError


def entry(output: str, state: str = "done", **more: object) -> Entry:
    return Entry(
        **{"output": output, "state": state, "input": "a.jpg", "instruction": "x", "settings": {"steps": 1}} | more  # type: ignore[arg-type]
    )


def test_what_was_noted_is_read_again(tmp_path: Path) -> None:
    made = entry("sub/ä.png", sha256="00", seconds=1.5)
    open_manifest(tmp_path).note(made)
    assert open_manifest(tmp_path).entries == {"sub/ä.png": made}


def test_done_needs_the_file(tmp_path: Path) -> None:
    open_manifest(tmp_path).note(entry("a.png"))
    assert not open_manifest(tmp_path).is_done("a.png")
    (tmp_path / "a.png").write_bytes(b"made")
    assert open_manifest(tmp_path).is_done("a.png")
    assert not open_manifest(tmp_path).is_done("b.png")


def test_a_result_published_by_a_process_that_died_then_counts(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"made")
    open_manifest(tmp_path).note(entry("a.png", "writing", sha256=file_digest(tmp_path / "a.png")))
    assert open_manifest(tmp_path).is_done("a.png")


def test_a_file_of_the_users_does_not(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"the user's own")
    open_manifest(tmp_path).note(entry("a.png", "writing", sha256="00"))
    assert not open_manifest(tmp_path).is_done("a.png")


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
    open_manifest(tmp_path).note(replace(entry("a.png", "failed"), settings={"steps": 2}))
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
