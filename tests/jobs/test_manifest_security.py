"""A manifest that somebody else wrote changes no file outside its folder."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from ip2p_cli.errors import InputError, OutputError, UsageError
from ip2p_cli.io.files import name_inside, path_inside
from ip2p_cli.jobs.manifest import Entry, file_digest, open_manifest


def line(name: object, **more: object) -> str:
    item = {"name": name, "state": "failed", "input": "a.jpg", "recipe": {}} | more
    return json.dumps({"item": item}) + "\n"


def file_line(name: object, **more: object) -> str:
    return json.dumps({"file": {"name": name, "key": "k", "sha256": "00"} | more}) + "\n"


def earlier_line(output: object) -> str:
    """A line as ip2p 0.1 wrote it."""
    item = {"output": output, "state": "done", "input": "a.jpg", "instruction": "x", "settings": {}}
    return json.dumps({"item": item}) + "\n"


OUTSIDE = [
    "../victim.png",
    "sub/../../victim.png",
    "/tmp/victim.png",
    "C:\\victim.png",
    "..\\victim.png",
    "",
    ".",
    "a\0b",
]


@pytest.mark.parametrize("name", [*OUTSIDE, 7, None, ["a.png"]])
def test_names_that_lead_out_are_refused(name: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="inside the output folder"):
        name_inside(name)
    (tmp_path / "ip2p-manifest.jsonl").write_text(line(name) + file_line(name) + earlier_line(name))
    manifest = open_manifest(tmp_path)
    assert manifest.entries == {}
    assert manifest.files == {}
    assert manifest.earlier_inputs == {}


@pytest.mark.parametrize("name", ["a.png", "sub/a.png", "sub/deep/ä b.png", "..a.png", "a..b/c.png"])
def test_names_inside_are_taken(name: str, tmp_path: Path) -> None:
    assert name_inside(name) == name
    assert path_inside(tmp_path, name) == tmp_path / name


def test_a_file_outside_is_never_taken_for_a_result(tmp_path: Path) -> None:
    folder, victim = tmp_path / "out", tmp_path / "victim.png"
    folder.mkdir()
    victim.write_bytes(b"precious")
    (folder / "a.png").symlink_to(victim)
    (folder / "ip2p-manifest.jsonl").write_text(file_line("a.png", sha256=file_digest(victim)))
    manifest = open_manifest(folder)
    assert not manifest.is_ours("a.png")
    assert not manifest.has("a.png", "k")


def test_a_linked_subfolder_does_not_lead_out(tmp_path: Path) -> None:
    folder, outside = tmp_path / "out", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "sub").symlink_to(outside)
    with pytest.raises(UsageError, match="link"):
        path_inside(folder, "sub/a.png")
    (folder / "near").mkdir()
    (folder / "link").symlink_to(folder / "near")  # this one stays in the folder
    assert path_inside(folder, "link/a.png") == folder / "link" / "a.png"


def test_a_linked_manifest_is_neither_read_nor_appended_to(tmp_path: Path) -> None:
    folder, victim = tmp_path / "out", tmp_path / "victim.txt"
    folder.mkdir()
    victim.write_text("precious\n")
    (folder / "ip2p-manifest.jsonl").symlink_to(victim)
    with pytest.raises(InputError, match="link"):
        open_manifest(folder)
    manifest = open_manifest(folder / "other")
    manifest.own = folder / "ip2p-manifest.jsonl"
    entry = Entry(name="a.png", state="done", input="a.jpg", recipe={})
    with pytest.raises(OutputError, match="link"):
        manifest.note(entry)
    assert victim.read_text() == "precious\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_a_pipe_as_manifest_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ip2p-manifest.jsonl")
    found: list[Exception] = []

    def read() -> None:
        try:
            open_manifest(tmp_path)
        except InputError as error:
            found.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert found


@pytest.mark.parametrize(
    "more",
    [
        {"input_sha256": 7},
        {"recipe": []},
        {"state": None},
        {"seconds": "1"},
        {"else": 1},
        {"input": None},
        {"title": 1},
    ],
)
def test_wrong_types_are_passed_over(tmp_path: Path, more: dict[str, object]) -> None:
    (tmp_path / "ip2p-manifest.jsonl").write_text(line("a.png", **more))
    assert open_manifest(tmp_path).entries == {}


@pytest.mark.parametrize("more", [{"sha256": 7}, {"key": None}, {"else": 1}])
def test_wrong_types_of_files_are_passed_over(tmp_path: Path, more: dict[str, object]) -> None:
    (tmp_path / "ip2p-manifest.jsonl").write_text(file_line("a.png", **more))
    assert open_manifest(tmp_path).files == {}


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", True, None])
def test_wrong_seeds_are_passed_over(tmp_path: Path, seed: object) -> None:
    (tmp_path / "ip2p-manifest.jsonl").write_text(json.dumps({"seed": seed}) + "\n")
    assert open_manifest(tmp_path).seed is None
