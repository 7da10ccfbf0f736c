"""Signals and readers that go away, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A command that cleans up slowly when it is interrupted, and a destructor that raises.
SLOW = """
import sys, time
from ip2p_cli.cli import app

class Broken:
    def __del__(self):
        raise OSError("no space left")

def slow() -> None:
    Broken()
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("cleaning up", flush=True)
        time.sleep(float(sys.argv[2]))

app.app.command("slow")(slow)
app.app.registered_commands[-1].context_settings = {"ignore_unknown_options": True, "allow_extra_args": True}
app.main()
"""


def begun(tmp_path: Path, seconds: float) -> subprocess.Popen[str]:
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, str(script), "slow", str(seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n", process.communicate()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "cleaning up\n"
    return process


def test_one_ctrl_c_cleans_up_and_destructors_are_silent(tmp_path: Path) -> None:
    process = begun(tmp_path, 0.1)
    process.send_signal(signal.SIGINT)  # of the same press
    errors = process.communicate(timeout=30)[1]
    assert (process.returncode, errors) == (130, "error: interrupted.\n")


def test_a_second_ctrl_c_ends_the_process_at_once(tmp_path: Path) -> None:
    process = begun(tmp_path, 60)
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=10)[1]
    assert (process.returncode, errors) == (-signal.SIGINT, "")


@pytest.mark.parametrize("words", [["edit", "--help"], ["models", "list", "--json"]])
def test_a_reader_that_has_gone_is_141(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IP2P_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "ip2p_cli", *words],
        stdout=writer, stderr=subprocess.PIPE, env=environment, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
