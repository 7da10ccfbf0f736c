"""A folder that one process at a time writes into."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ip2p_cli.errors import OutputError
from ip2p_cli.io.locks import LOCK, locked_folder

HOLDER = """
import sys
from pathlib import Path
from ip2p_cli.io.locks import locked_folder

with locked_folder(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(OutputError, match=f"process {holder.pid} on .* writes here: give another --out"):
        locked_folder(folder, "give another --out").__enter__()
    holder.kill()
    holder.communicate()
    assert (folder / LOCK).exists()
    with locked_folder(folder):
        assert str(os.getpid()) in (folder / LOCK).read_text()
    assert list(folder.iterdir()) == []


def test_a_link_or_pipe_as_lock(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / LOCK).symlink_to("victim")
    with pytest.raises(OutputError, match="link"):
        locked_folder(tmp_path).__enter__()
    assert (tmp_path / "victim").read_text() == "mine"
