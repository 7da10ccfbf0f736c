"""The stage with the grammar: the same bytes whoever writes, filters counted, the command as a user gives it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from ip2p_cli.datagen.stages import WorkerConfig, total_counts
from ip2p_cli.datagen.triplets import TripletSettings, write_triplets
from ip2p_cli.datagen.triplets.draft import Draft
from ip2p_cli.datagen.triplets.filters import passing, read_blocklist, unchanged
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.shards import Marker, Shards
from ip2p_cli.types import Caption, Triplet
from tests.cli.ip2p import Run, runner

ABOUT = ["a dog in a garden", "a red car on a street", "a man riding a horse", "a house by a lake", "a bowl of apples"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return captions(tmp_path, 4, 25)


def captions(folder: Path, shards: int, rows: int) -> Path:
    for number in range(shards):
        with Shards(folder=folder / "captions").writing(number) as writer:
            for n in range(rows):
                caption = f"{ABOUT[n % 5]} in town {number}-{n}"
                writer.add({"key": f"{number}-{n}", "caption": caption, "image": None})
    return folder


@pytest.fixture
def ip2p(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    run = runner(monkeypatch, capsys, tmp_path / "home", tmp_path)
    return lambda *words: run("gen-data", *words, tiny=False)


def write(data: Path, settings: TripletSettings, workers: WorkerConfig | None = None) -> list[Marker]:
    made = write_triplets(data, settings, workers=workers)
    return [marker for _, marker, _ in made if isinstance(marker, Marker)]


def bytes_of(data: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((data / "triplets").glob("*.jsonl"))}


def test_rows_are_triplets(data: Path) -> None:
    markers = write(data, TripletSettings(per_caption=3))
    rows = [row for number in range(4) for row in Shards(folder=data / "triplets").rows(number)]
    assert sum(marker.rows for marker in markers) == len(rows) == 300
    assert all(list(row) == [field.name for field in fields(Triplet)] for row in rows)
    assert len({row["key"] for row in rows}) == 300
    assert not any(unchanged(row["caption"], row["edited_caption"]) for row in rows)


@pytest.mark.slow
def test_the_same_bytes_by_any_workers(data: Path, tmp_path: Path) -> None:
    settings = TripletSettings(per_caption=2, seed=5)
    write(data, settings)
    for name, configs in {
        "two": [WorkerConfig(workers=2)],
        "ray": [WorkerConfig(engine="ray", workers=2)],
        "parts": [WorkerConfig(part=(2, 2)), WorkerConfig(part=(1, 2))],
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "captions").symlink_to(data / "captions")
        for config in configs:
            write(tmp_path / name, settings, config)
        assert bytes_of(tmp_path / name) == bytes_of(data)


def test_other_settings_are_refused(data: Path) -> None:
    write(data, TripletSettings())
    with pytest.raises(UsageError, match="seed 0, now 1"):
        write_triplets(data, TripletSettings(seed=1))
    with pytest.raises(InputError, match="run the stage before first"):
        write_triplets(data / "nowhere", TripletSettings())
    with pytest.raises(UsageError, match="about the grammar"):
        write_triplets(data, TripletSettings(writer="local", model="x", looks_only=True))


def test_filters() -> None:
    one, other = Caption(key="1", caption="A dog."), Caption(key="2", caption="A dog.", image="/x.jpg")

    def draft(instruction: str, edited: str) -> Draft:
        return Draft(instruction=instruction, edited_caption=edited, kind="animal")

    drafts: list[tuple[Caption, Draft | str]] = [
        (one, draft("make it a cat", "A cat.")),
        (one, draft("Make it a cat!", "a tomcat")),
        (one, draft("turn it", "a cat")),
        (other, draft("make it a cat", "A cat.")),
        (one, draft("no", "a  DOG!?")),
        (one, draft("make it a gun", "a gun")),
        (one, draft("gunmetal", "a gunmetal dog")),
        (one, draft(" .", "a fox")),
        (one, draft("x" * 400, "a fox")),
        (one, "no answer"),
    ]  # fmt: skip

    judged = passing(drafts, blocked=re.compile(r"\bgun\b"), moderate=None)
    said = [draft if isinstance(draft, str) else "kept" for _, draft in judged]
    assert said == ["kept", "seen before", "seen before", "kept", "caption unchanged", "blocklist", "kept", "empty",
                    "too long", "no answer"]  # fmt: skip


def test_a_blocklist(data: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("# a comment\nDog\nred   car # both\n")
    assert read_blocklist(words).search("the red car") is not None
    assert read_blocklist(words).search("dogma, red carpet") is None
    markers = write(data, TripletSettings(blocklist=words))
    assert total_counts(markers) == {"blocklist": 40}
    with pytest.raises(InputError, match="check the path of --blocklist"):
        read_blocklist(tmp_path / "none.txt")


@pytest.mark.slow
def test_the_commands(ip2p: Run, tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("a dog in a garden\na red car on a street\n")
    made = ip2p("captions", source, "-o", tmp_path / "d")
    assert made.code == 0
    assert made.out.strip().endswith("00000.jsonl")
    done = ip2p("triplets", tmp_path / "d", "--per-caption", "2", "--looks-only", "--json")
    assert done.code == 0
    assert json.loads(done.out)["rows"] == 4
    assert all(row["look"] for row in Shards(folder=tmp_path / "d" / "triplets").rows(0))
    again = ip2p("triplets", tmp_path / "d", "--per-caption", "2", "--looks-only")
    assert again.out == ""
    assert "1 done before" in again.err
    assert ip2p("triplets", tmp_path / "d").code == 2
    assert ip2p("triplets", tmp_path / "d", "--redo", "--quiet").err == ""
    assert ip2p("triplets", tmp_path / "d", "--writer", "endpoint").code == 2
    assert ip2p("captions", tmp_path / "none.txt", "-o", tmp_path / "e").code == 3


@pytest.mark.parametrize("form", ["prompt-completion", "chat"])
def test_prepare_finetune(ip2p: Run, tmp_path: Path, form: str) -> None:
    out = tmp_path / "examples.jsonl"
    assert ip2p("prepare-finetune", "-o", out, "--format", form).code == 0
    assert ip2p("prepare-finetune", "-o", out).code == 4
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) >= 60
    if form == "chat":
        assert [message["role"] for message in rows[0]["messages"]] == ["system", "user", "assistant"]
    else:
        assert all(row["prompt"].endswith("\n##\n") and row["completion"][0] == " " for row in rows)
    released = tmp_path / "released.jsonl"
    released.write_text('{"input": "a", "edit": "b", "output": "c"}\n{"caption": "d", "edit": "e", "output": "f"}\n')
    assert ip2p("prepare-finetune", "-o", out, "--from", released, "--overwrite").code == 0
    if form == "prompt-completion":
        assert out.read_text() == (
            '{"prompt": "a\\n##\\n", "completion": " b\\n%%\\nc\\nEND"}\n'
            '{"prompt": "d\\n##\\n", "completion": " e\\n%%\\nf\\nEND"}\n'
        )
    released.write_text('{"caption": "d"}\n')
    assert ip2p("prepare-finetune", "-o", out, "--from", released, "--overwrite").code == 3


@pytest.mark.slow
def test_kill_9(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    captions(whole, 10, 40)
    killed.mkdir()
    (killed / "captions").symlink_to(whole / "captions")
    words = [sys.executable, "-m", "ip2p_cli", "gen-data", "triplets", "--workers", "2"]
    process = subprocess.Popen([*words, str(killed)], stdout=subprocess.DEVNULL, start_new_session=True)
    shards, until = Shards(folder=killed / "triplets"), time.monotonic() + 60
    while len(shards.done()) < 2 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < len(shards.done()) < 10
    subprocess.run([*words, str(killed)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*words[:5], str(whole)], check=True, stdout=subprocess.DEVNULL)
    assert bytes_of(killed) == bytes_of(whole)
