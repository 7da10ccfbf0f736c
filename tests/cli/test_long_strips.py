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
# A new process begins with the peak of the one that starts it: so a small one starts the command.
_RUN = """
import os, subprocess, sys
with open(sys.argv[1], "wb") as said:
    process = subprocess.Popen(sys.argv[2:], stdout=said, stderr=said)
    _, status, usage = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""


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
    command = [sys.executable, "-c", _RUN, str(folder / "said"), sys.executable, "-m", "ip2p_cli", *words]
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    code, most = map(int, done.stdout.split())
    return code, time.monotonic() - began, most * (1 if sys.platform == "darwin" else 1024)
