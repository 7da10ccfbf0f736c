"""Chains that are killed, split, or run twice at once end with the bytes of an undisturbed run. On nano."""

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

ROOT = Path(__file__).parents[2]
COUNT, KILLS = 4, 5
COMMAND = [sys.executable, "-m", "ip2p_cli", "chain", "photos", "r.yaml", "--model", "nano", "--seed", "5", "-q"]
SMALL = ["--resolution", "64", "--steps", "6", "--gif"]
RECIPE = """name: all of it
edits:
  - {instruction: make it winter, best_of: 2}
  - [make it night, {instruction: make it foggy, save: false}]
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small photos, a recipe, and what an undisturbed run makes of them in `whole`."""
    folder = tmp_path_factory.mktemp("chains")
    (folder / "photos").mkdir()
    (folder / "r.yaml").write_text(RECIPE)
    samples = sorted((ROOT / "samples").glob("*.jpg"))
    for number in range(COUNT):
        with Image.open(samples[number % len(samples)]) as image:
            image.convert("RGB").resize((96, 64)).rotate(number).save(folder / "photos" / f"{number:02}.png")
    assert run(folder, "whole").wait() == 0
    assert len(results(folder / "whole")) == COUNT * 8
    return folder


def run(folder: Path, out: str, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "HOME": str(folder), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*COMMAND, *SMALL, "-o", out, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        # Where the tests run in a shell's background Ctrl-C is ignored, and so would it be here.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def results(folder: Path) -> dict[str, bytes]:
    """The files of the chains; what was being written when a process was killed is hidden."""
    found = (path for path in folder.glob("[0-9]*/*") if not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def wait_for(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and len(list(folder.glob("[0-9]*/[!.]*"))) < count:
        time.sleep(0.01)


def test_killed_at_random_moments_it_ends_the_same(here: Path) -> None:
    rng, kills = random.Random(1), 0
    out, files = here / "killed", COUNT * 8
    for turn in range(KILLS):
        process = run(here, "killed")
        wait_for(out, turn * (files - 8) // KILLS + 1, process)
        time.sleep(rng.random() * 0.15)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        for path in [*out.glob("*/[!.]*.png"), *out.glob("*/[!.]*.gif")]:  # never half a picture
            with Image.open(path) as image:
                image.load()
    assert kills == KILLS
    assert run(here, "killed").wait() == 0
    assert results(out) == results(here / "whole")


def test_two_processes_on_one_folder(here: Path) -> None:
    both = [run(here, "both") for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert results(here / "both") == results(here / "whole")


def test_shards_at_once(here: Path) -> None:
    parts = [run(here, "shards", "--shard", f"{part}/2") for part in (1, 2)]
    assert [process.wait() for process in parts] == [0, 0]
    assert results(here / "shards") == results(here / "whole")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_it_cleanly(here: Path, number: signal.Signals, code: int) -> None:
    name = f"stopped-{int(number)}"
    process = run(here, name)
    wait_for(here / name, 10, process)
    process.send_signal(number)
    assert process.wait() == code
    assert not list((here / name).rglob("*.tmp"))
    assert 0 < len(results(here / name)) < COUNT * 8
    assert run(here, name).wait() == 0
    assert results(here / name) == results(here / "whole")


def test_on_ray_with_two_workers(here: Path) -> None:
    pytest.importorskip("ray")
    assert run(here, "ray", "--engine", "ray", "--workers", "2").wait() == 0
    assert results(here / "ray") == results(here / "whole")
    assert len(list((here / "ray").glob("ip2p-manifest.ray-*.jsonl"))) == 2
    assert run(here, "ray", "--engine", "ray").wait() == 0  # all is done: nothing is started
