"""A batch that is killed, split, or run twice at once ends with the bytes of an undisturbed run. On nano."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "samples"
COUNT, KILLS = 30, 10
COMMAND = [sys.executable, "-m", "ip2p_cli", "edit", "photos", "make it winter", "--model", "nano", "--seed", "5", "-q"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 30 small photos, and what an undisturbed run makes of them in `whole`."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "photos").mkdir()
    samples = sorted(SAMPLES.glob("*.jpg"))
    for number in range(COUNT):
        with Image.open(samples[number % len(samples)]) as image:
            size = (96, 64) if number % 3 else (64, 80)
            image.convert("RGB").resize(size).rotate(number).save(folder / "photos" / f"{number:02}.png")
    assert run(folder, "-o", "whole/").wait() == 0
    assert len(results(folder / "whole")) == COUNT
    return folder


def run(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "HOME": str(folder), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    return subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        # Where the tests run in a shell's background Ctrl-C is ignored, and so would it be here.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def wait_for(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and len(list(folder.glob("*.png"))) < count:
        time.sleep(0.02)


def test_killed_ten_times_it_ends_the_same(here: Path) -> None:
    rng, kills = random.Random(0), 0
    out = here / "killed"
    for turn in range(KILLS):
        process = run(here, "-o", "killed/", "--batch-size", "1")
        wait_for(out, (turn + 1) * (COUNT - 6) // KILLS + 1, process)
        time.sleep(rng.random() * 0.3)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        for path in out.glob("*.png"):  # never half a picture
            with Image.open(path) as image:
                image.load()
    assert kills == KILLS
    assert run(here, "-o", "killed/", "--batch-size", "1").wait() == 0
    assert results(out) == results(here / "whole")


def test_shards_killed_and_run_again_end_the_same(here: Path) -> None:
    shards = [run(here, "-o", "shards/", "--shard", f"{part}/2") for part in (1, 2)]
    wait_for(here / "shards", 8, shards[0])
    shards[0].send_signal(signal.SIGKILL)
    assert shards[1].wait() == 0
    shards[0].wait()
    assert len(results(here / "shards")) < COUNT
    assert run(here, "-o", "shards/", "--shard", "1/2").wait() == 0
    assert results(here / "shards") == results(here / "whole")


def test_two_processes_on_one_folder(here: Path) -> None:
    both = [run(here, "-o", "both/") for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert results(here / "both") == results(here / "whole")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_it_cleanly(here: Path, number: signal.Signals, code: int) -> None:
    name = f"stopped-{int(number)}"
    process = run(here, "-o", f"{name}/")
    wait_for(here / name, 4, process)
    process.send_signal(number)
    assert process.wait() == code
    assert not [path for path in (here / name).iterdir() if path.suffix == ".tmp"]
    assert 0 < len(results(here / name)) < COUNT
    assert run(here, "-o", f"{name}/").wait() == 0
    assert results(here / name) == results(here / "whole")


def test_on_ray_with_two_workers(here: Path) -> None:
    pytest.importorskip("ray")
    assert run(here, "-o", "ray/", "--engine", "ray", "--workers", "2").wait() == 0
    assert results(here / "ray") == results(here / "whole")
    assert len(list((here / "ray").glob("ip2p-manifest.ray-*.jsonl"))) == 2
