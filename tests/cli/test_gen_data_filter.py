"""`ip2p gen-data filter` as users run it, on small pairs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ip2p_cli.io.shards import Shards
from tests.answering import Answers, serving
from tests.cli.ip2p import Run
from tests.gen_pairs import make_pairs, two_pictures
from tests.tiny_clip import save_classifier, save_clip, save_dino

ROOT = Path(__file__).parents[2]


@pytest.fixture
def answering() -> Iterator[Answers]:
    with serving() as server:
        yield server


def data_bytes(data: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(data)): path.read_bytes()
        for stage in ("scores", "kept")
        for path in sorted((data / stage).glob("*.jsonl"))
    }


def kept(data: Path) -> list[str]:
    shards = Shards(folder=data / "kept")
    return [row["key"] for number in shards.done() for row in shards.rows(number)]


def filtered(ip2p: Run, *words: object) -> dict[str, object]:
    done = ip2p("gen-data", "filter", *words, "--json", tiny=False)
    assert done.code == 0, done.err
    told: dict[str, object] = json.loads(done.out.splitlines()[-1])
    return told


def test_offline(ip2p: Run, tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data", damaged=True)
    told = filtered(ip2p, data)
    # Of six triplets candidate 0 does not change; one picture is broken, which costs its pair alone.
    assert (told["measure"], told["pairs"], told["kept"], told["triplets"]) == ("offline", 17, 11, 6)
    assert told["dropped"] == {"change below 2.3": 6, "damaged picture": 1}
    assert Shards(folder=data / "scores").about() == {"measure": "offline"}
    assert not any(key.endswith("-0") for key in kept(data))
    before = data_bytes(data)
    assert filtered(ip2p, data) == told
    assert data_bytes(data) == before


def test_bounds_change_without_scoring_again(ip2p: Run, tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data")
    filtered(ip2p, data)
    stamps = {path: path.stat().st_mtime_ns for path in (data / "scores").iterdir()}
    told = filtered(ip2p, data, "--keep", 1, "--max-change", 30)
    assert (told["kept"], told["kept_triplets"]) == (6, 6)
    assert {path: path.stat().st_mtime_ns for path in (data / "scores").iterdir()} == stamps
    assert all(key.endswith("-1") for key in kept(data))
    assert filtered(ip2p, data, "--keep", 1)["dropped"] == {"change below 2.3": 6, "more than 1 of a triplet": 6}


def test_clip(ip2p: Run, tmp_path: Path) -> None:
    data, clip = make_pairs(tmp_path / "data", damaged=True), save_clip(tmp_path / "clip")
    told = filtered(ip2p, data, "--clip", clip, "--min-image", -1, "--min-direction", -1, "--min-text", -1, "--keep", 2)
    assert (told["measure"], told["kept"]) == ("clip", 12)
    rows = list(Shards(folder=data / "scores").rows(0))
    assert [name for name in rows[0] if name.startswith("clip")] == [
        "clip_image", "clip_direction", "clip_text_original", "clip_text_edited",
    ]  # fmt: skip
    triplet = [row for row in rows if row["triplet"] == rows[0]["triplet"]]
    best = sorted(triplet, key=lambda row: -row["clip_direction"])[:2]
    assert {row["key"] for row in best} <= set(kept(data))
    # Without saying --clip again the scores stay; a higher bound counts what it drops by its name.
    again = filtered(ip2p, data, "--min-image", 1.1)
    assert again["measure"] == "clip"
    assert again["dropped"] == {"clip_image below 1.1": 17, "damaged picture": 1}
    done = ip2p("gen-data", "filter", data, "--clip", clip, "--dino", save_dino(tmp_path / "dino"), tiny=False)
    assert done.code == 2
    assert "make it again with --redo" in done.err


def test_more_gates(ip2p: Run, tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data", shards=1, triplets=2)
    models = ("--dino", save_dino(tmp_path / "dino"), "--safety", save_classifier(tmp_path / "safety"))
    told = filtered(ip2p, data, *models, "--min-dino", -1, "--max-unsafe", 1, "--min-change", 0)
    assert told["kept"] == 6
    rates = told["rates"]
    assert isinstance(rates, dict)
    assert set(rates) >= {"dino ≥ -1", "unsafe ≤ 1", "all gates", "kept"}
    assert filtered(ip2p, data, "--max-unsafe", 0)["kept"] == 0
    rows = list(Shards(folder=data / "scores").rows(0))
    assert all(0 < row["unsafe"] < 1 and -1 <= row["dino"] <= 1 for row in rows)


def test_the_judge_is_asked(ip2p: Run, tmp_path: Path, answering: Answers) -> None:
    data = make_pairs(tmp_path / "data", shards=1, triplets=1)
    address = f"http://127.0.0.1:{answering.server_port}/v1"
    told = filtered(ip2p, data, "--judge", address, "--judge-model", "eyes")
    assert told["kept"] == 2
    assert len(answering.asked) == 3
    assert filtered(ip2p, data, "--min-judge", 0.9)["dropped"] == {"change below 2.3": 1, "judge below 0.9": 2}
    assert len(answering.asked) == 3
    about = Shards(folder=data / "scores").about() or {}
    assert (about["measure"], about["judge"]["model"], about["judge"]["url"]) == ("offline", "eyes", address)


def test_the_report(ip2p: Run, tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data")
    filtered(ip2p, data)
    html = (data / "report" / "filter.html").read_text("utf-8")
    assert "waves number 0 &lt;&amp;&gt;" in html
    assert "<&>" not in html
    assert html.count("<article>") == 18
    assert len(re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="(?:before|after): [^"]+"', html)) == 36
    assert "change below 2.3" in html
    assert "it knows nothing of the words" in html
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    assert "<script" not in html


def test_changed_pairs_are_noticed(ip2p: Run, tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data")
    filtered(ip2p, data)
    original, edited = two_pictures(9, 60)
    with Shards(folder=data / "pairs", format="tar").writing(1) as writer:
        row = {"key": "t-0", "triplet": "t", "instruction": "x"}
        writer.add(row, {"original.jpg": original, "edited.jpg": edited})
    done = ip2p("gen-data", "filter", data, tiny=False)
    assert done.code == 2
    assert "made from data that has changed" in done.err
    assert filtered(ip2p, data, "--redo")["pairs"] == 10
    assert "t-0" in kept(data)


def test_nothing_to_filter(ip2p: Run, tmp_path: Path) -> None:
    done = ip2p("gen-data", "filter", tmp_path / "none", tiny=False)
    assert done.code == 3
    assert "run the stage before first" in done.err


def test_a_damaged_shard_fails_alone(ip2p: Run, tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data")
    (data / "pairs" / "00000.tar").write_bytes(b"no tar" * 200)
    done = ip2p("gen-data", "filter", data, tiny=False)
    assert done.code == 3
    assert "00000.tar is damaged" in done.err
    assert list(Shards(folder=data / "scores").done()) == [1]


@pytest.mark.slow
def test_workers_and_parts_give_the_same(ip2p: Run, tmp_path: Path) -> None:
    one, two, three = (make_pairs(tmp_path / name, shards=3) for name in ("one", "two", "three"))
    filtered(ip2p, one)
    filtered(ip2p, two, "--workers", 2)
    for part in ("2/2", "1/2"):
        assert ip2p("gen-data", "filter", three, "--shard", part, tiny=False).code == 0
    assert data_bytes(one) == data_bytes(two) == data_bytes(three)
    reports = {(data / "report" / "filter.html").read_bytes() for data in (one, two)}
    assert len(reports) == 1


@pytest.mark.slow
def test_on_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    one, two = (make_pairs(tmp_path / name) for name in ("one", "two"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "IP2P_OFFLINE": "1"}
    for data, words in ((one, ()), (two, ("--engine", "ray", "--workers", "2"))):
        command = [sys.executable, "-m", "ip2p_cli", "gen-data", "filter", str(data), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert data_bytes(one) == data_bytes(two)


@pytest.mark.slow
def test_killed_and_run_again(ip2p: Run, tmp_path: Path) -> None:
    one, other = (make_pairs(tmp_path / name, shards=60, triplets=1, candidates=2) for name in ("one", "other"))
    kill_when(
        [*sys.orig_argv[:1], "-m", "ip2p_cli", "gen-data", "filter", str(one)], one / "scores" / "00003.done.json"
    )
    done = len(Shards(folder=one / "scores").done())
    assert 3 <= done < 60
    filtered(ip2p, one)
    filtered(ip2p, other)
    assert data_bytes(one) == data_bytes(other)


def kill_when(command: list[str], there: Path) -> None:
    """Run a command, and kill it -9 as soon as a file is there."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "IP2P_OFFLINE": "1"}
    command[0] = sys.executable
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not there.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
