"""The tests of OpenVINO, in a process of their own: one that has used OpenVINO may crash when it is forked later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")
HERE = Path(__file__).parent


def test_openvino() -> None:
    cases = [str(path) for path in HERE.glob("*/openvino_cases.py")]
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *cases]
    done = subprocess.run(words, cwd=HERE.parent, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
