"""The pass over a source: each caption once, the same shards however often it is stopped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ip2p_cli.datagen.captions import CaptionSettings, source_of, write_captions
from ip2p_cli.errors import InputError, OutputError, UsageError
from ip2p_cli.io.shards import Shards

WORDS = (
    "red blue old new cat dog tree house river mountain bridge boat under over near with quiet storm lamp chair".split()  # noqa: SIM905
)


def some_captions(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [f"a {' '.join(draw.choices(WORDS, k=7))} {number}" for number in range(count)]


def bytes_of(data: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((data / "captions").glob("*.jsonl"))}


def test_what_is_dropped_is_counted(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("a cat on a roof\nA cat on a roof!\ndog\n\na small cat on a roof in the old town\n"
                      "a small cat on a roof in the old towns\n" + "word " * 80 + "\nдва кота на крыше\n")  # fmt: skip
    ((marker, there),) = write_captions(source_of(str(source)), tmp_path / "d", CaptionSettings())
    assert not there
    assert marker.counts == {"duplicate": 1, "too short": 1, "empty": 1, "near duplicate": 1, "too long": 1,
                             "other language": 1}  # fmt: skip
    rows = list(Shards(folder=tmp_path / "d" / "captions").rows(0))
    assert [row["caption"] for row in rows] == ["a cat on a roof", "a small cat on a roof in the old town"]
    assert rows[0].keys() == {"key", "caption", "image"}
    assert not list((tmp_path / "d" / "captions").glob(".seen*"))


@pytest.mark.parametrize("stop_at", [1, 3])
def test_a_pass_that_stopped_goes_on(tmp_path: Path, stop_at: int) -> None:
    source = tmp_path / "a.txt"
    lines = some_captions(50)
    source.write_text("\n".join(lines + lines[:30] + some_captions(30, 1)))
    settings = CaptionSettings(language="any", rows=10)
    whole = list(write_captions(source_of(str(source)), tmp_path / "whole", settings))
    part = write_captions(source_of(str(source)), tmp_path / "part", settings)
    for _ in range(stop_at):
        next(part)
    part.close()
    rest = list(write_captions(source_of(str(source)), tmp_path / "part", settings))
    assert [there for _, there in rest] == [True] * stop_at + [False] * (8 - stop_at)
    assert bytes_of(tmp_path / "part") == bytes_of(tmp_path / "whole")
    assert [m.counts for m, _ in rest] == [m.counts for m, _ in whole]
    assert sum(m.counts.get("duplicate", 0) for m, _ in rest) == 30
    assert all(there for _, there in write_captions(source_of(str(source)), tmp_path / "part", settings))


def test_a_shard_that_was_deleted_comes_back(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("\n".join(some_captions(30)))
    settings = CaptionSettings(language="any", rows=10)
    list(write_captions(source_of(str(source)), tmp_path, settings))
    before = bytes_of(tmp_path)
    Shards(folder=tmp_path / "captions").path(1).unlink()
    list(write_captions(source_of(str(source)), tmp_path, settings))
    assert bytes_of(tmp_path) == before


def test_another_source_is_refused_or_redone(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("\n".join(some_captions(30)))
    list(write_captions(source_of(str(source)), tmp_path, CaptionSettings(language="any", rows=10)))
    source.write_text("\n".join(some_captions(12, 5)))
    with pytest.raises(UsageError, match="fingerprint"):
        list(write_captions(source_of(str(source)), tmp_path, CaptionSettings(language="any", rows=10)))
    made = list(write_captions(source_of(str(source)), tmp_path, CaptionSettings(language="any", rows=10), redo=True))
    assert [m.rows for m, _ in made] == [10, 2]
    assert len(bytes_of(tmp_path)) == 2


def test_two_runs_at_once(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("\n".join(some_captions(30)))
    settings = CaptionSettings(language="any", rows=10)
    one = write_captions(source_of(str(source)), tmp_path, settings)
    next(one)
    with pytest.raises(OutputError, match="wait for the other run"):
        list(write_captions(source_of(str(source)), tmp_path, settings))
    assert len(list(one)) == 2


def test_a_limit(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("\n".join(some_captions(30)))
    made = list(write_captions(source_of(str(source)), tmp_path, CaptionSettings(language="any", rows=10, limit=20)))
    assert [m.rows for m, _ in made] == [10, 10]
    with pytest.raises(InputError, match="no such file"):
        list(write_captions(source_of("nowhere.txt"), tmp_path / "x", CaptionSettings()))


def test_photos_are_the_same_only_where_their_bytes_are(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "in").mkdir(parents=True)
    for name, data in {"IMG_1.jpg": b"1", "IMG_2.png": b"2", "in/red-fox.jpg": b"3", "in/z.jpg": b"1"}.items():
        (folder / name).write_bytes(data)
    (folder / "IMG_2.txt").write_text("A quiet lake in the mountains\n")
    ((marker, _),) = write_captions(source_of(f"photos:{folder}"), tmp_path / "d", CaptionSettings())
    rows = list(Shards(folder=tmp_path / "d" / "captions").rows(0))
    assert [row["caption"] for row in rows] == ["a photo", "A quiet lake in the mountains", "a photo of a red fox"]
    assert [row["image"] for row in rows] == [str(folder / n) for n in ("IMG_1.jpg", "IMG_2.png", "in/red-fox.jpg")]
    assert marker.counts == {"duplicate photo": 1}


@pytest.mark.slow
def test_kill_9(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("\n".join(some_captions(6000)))
    words = [sys.executable, "-m", "ip2p_cli", "gen-data", "captions", str(source), "--rows-per-shard", "300", "-o"]
    kills = 0
    for _ in range(3):
        process = subprocess.Popen([*words, str(tmp_path / "killed")], stdout=subprocess.DEVNULL)
        shards = Shards(folder=tmp_path / "killed" / "captions")
        before, until = len(shards.done()), time.monotonic() + 60
        while len(shards.done()) < before + 2 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills
    subprocess.run([*words, str(tmp_path / "killed")], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*words, str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL)
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "whole")
    assert len(bytes_of(tmp_path / "whole")) == 20
