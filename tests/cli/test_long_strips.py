"""Photos of extreme shapes: edited or refused in bounded memory and time, whatever their header says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MAX_BYTES, MAX_SECONDS = 2_000_000_000, 60


@pytest.mark.parametrize("size", [(1_000_000, 3), (3, 1_000_000), (100_000, 2), (2, 100_000)])
def test_a_strip_is_edited_or_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "strip.png", compress_level=1)
    code, seconds, most = measured(tmp_path, "edit", "strip.png", "make it winter", "-o", "out.png", "--model", "nano")
    said = (tmp_path / "said").read_text()
    assert most < MAX_BYTES, said
    assert seconds < MAX_SECONDS, said
    if code == 0:
        with Image.open(tmp_path / "out.png") as image:
            assert image.size == size
    else:
        assert code == 3, said
        assert len(said.splitlines()) == 1
        assert said.startswith("error: strip.png")


def measured(folder: Path, *words: str) -> tuple[int, float, int]:
    """Run the command; return its exit code, its seconds, and the most bytes of memory that it held."""
    environment = {
        **os.environ,
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "IP2P_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    began = time.monotonic()
    with (folder / "said").open("wb") as said:
        command = [sys.executable, "-m", "ip2p_cli", *words]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return process.returncode, time.monotonic() - began, usage.ru_maxrss * unit
