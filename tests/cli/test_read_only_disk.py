"""A disk that is mounted read-only: one clear line and an exit code, before any work is done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.ip2p import some_photo

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a photo, captions, and `disk`: a mount that is read-only and holds the photo and a folder."""
    folder = tmp_path_factory.mktemp("read-only")
    disk = folder / "disk"
    disk.mkdir()
    if not mounts("-t", "tmpfs", "tmpfs", str(disk)):
        pytest.skip("this user may not mount")
    try:
        for place in (folder, disk):
            some_photo().save(place / "a.png")
        (disk / "out").mkdir()
        (folder / "captions.txt").write_text("a cat on a sofa\na dog on the grass\n")
        if not mounts("-o", "remount,ro", str(disk)):
            pytest.skip("this user may not mount read-only")
        yield folder
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def mounts(*words: str) -> bool:
    try:
        return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0
    except OSError:  # no such command
        return False


def ip2p(here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HOME": str(here),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "IP2P_OFFLINE": "1",
    }
    command = [sys.executable, "-m", "ip2p_cli", *words]
    return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [
        "edit a.png winter -o disk/b.png",
        "edit a.png winter -o disk/out",
        "edit a.png winter -o disk/new",
        "edit a.png disk/a.png winter -o disk/out --seed 1",
        "chain a.png --edit winter --edit night -o disk/out --seed 1",
        "variants a.png winter --seeds 3 -o disk/out",
        "variants a.png winter --seeds 3 -o disk/new",
        "gen-data captions captions.txt -o disk/new",
        "gen-data captions captions.txt -o disk/out",
    ],
)
def test_nothing_can_be_written_there(here: Path, command: str) -> None:
    done = ip2p(here, *command.split())
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("error: disk/"), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "cannot be" in done.stderr or "read-only" in done.stderr
    assert "-o" in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_photos_can_be_read_there_and_home_may_lie_there(here: Path) -> None:
    done = ip2p(here, "edit", "disk/a.png", "winter", "-o", "b.png", "--model", "nano")
    assert (done.returncode, done.stdout) == (0, "b.png\n"), done.stderr
    (here / "c.png").unlink(missing_ok=True)
    words = ["edit", "a.png", "winter", "-o", "c.png", "--model", "nano"]
    environment = {**os.environ, "HOME": str(here / "disk"), "PYTHONPATH": str(ROOT), "IP2P_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "ip2p_cli", *words],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "c.png\n"), done.stderr
    assert "Traceback" not in done.stderr
