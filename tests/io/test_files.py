"""Files written whole or not at all, and what killed processes leave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

from ip2p_cli.errors import OutputError
from ip2p_cli.io import files
from ip2p_cli.io.files import sweep_temporary, write_whole
from tests.faults import MODES, Killed, Mode, fault

OLD = b"old"


@pytest.fixture
def dead_process() -> int:
    """The number of a process that ran and has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def left_behind(folder: Path, process: int, monkeypatch: pytest.MonkeyPatch, host: str | None = None) -> Path:
    """The temporary file of a process that was killed while it wrote."""
    before = set(folder.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: process)
        if host is not None:
            patch.setattr(files.platform, "node", lambda: host)
        with fault(at=2, mode="killed"), pytest.raises(Killed):
            write_whole(folder / "a.png", b"made", overwrite=False)
    [path] = set(folder.iterdir()) - before
    return path


def test_files_of_dead_processes_are_swept(tmp_path: Path, dead_process: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        left_behind(tmp_path, dead_process, monkeypatch)
    assert sweep_temporary(tmp_path) == 2
    assert list(tmp_path.iterdir()) == []
    assert sweep_temporary(tmp_path) == 0


def test_files_of_running_processes_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = left_behind(tmp_path, os.getpid(), monkeypatch)
    assert sweep_temporary(tmp_path) == 0
    assert path.exists()


def test_files_of_other_machines_stay_for_a_day(
    tmp_path: Path, dead_process: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a shared folder another machine's process has a number that means nothing here."""
    path = left_behind(tmp_path, dead_process, monkeypatch, host="another")
    assert sweep_temporary(tmp_path) == 0
    yesterday = time.time() - 25 * 3600
    os.utime(path, (yesterday, yesterday))
    assert sweep_temporary(tmp_path) == 1


def test_other_files_stay(tmp_path: Path) -> None:
    yesterday = time.time() - 25 * 3600
    for name in ("a.png", ".hidden.tmp", "ip2p-a.tmp", ".ip2p-a.png", ".ip2p-chain"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (yesterday, yesterday))
    (tmp_path / ".ip2p-odd.tmp").touch()  # not old, and of no process that is known
    assert sweep_temporary(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 6


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    assert sweep_temporary(tmp_path / "none") == 0


def test_what_cannot_be_deleted_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.rmtree", mock.Mock(side_effect=OSError))
    yesterday = time.time() - 25 * 3600
    for name in ("a", "b", "c"):
        (tmp_path / f".ip2p-{name}.tmp").touch()
    (tmp_path / ".ip2p-b.tmp").unlink()
    (tmp_path / ".ip2p-b.tmp").mkdir()
    for path in tmp_path.iterdir():
        os.utime(path, (yesterday, yesterday))
    assert sweep_temporary(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == [".ip2p-b.tmp"]


@pytest.mark.parametrize("hard_links", [True, False])
@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_whole_or_not_at_all(tmp_path: Path, mode: Mode, overwrite: bool, hard_links: bool) -> None:
    for at in range(1, 20):
        path = tmp_path / f"{at}.png"
        if overwrite:
            path.write_bytes(OLD)
        try:
            with fault(at=at, mode=mode, hard_links=hard_links) as faults:
                write_whole(path, b"made", overwrite=overwrite)
        except (OutputError, Killed):
            data = path.read_bytes() if path.exists() else None
            assert data == (OLD if overwrite else None) or (data == b"" and mode == "killed" and not hard_links)
        else:
            assert path.read_bytes() == b"made"
        if mode != "killed":
            assert not list(tmp_path.glob(".ip2p-*"))
        if not faults.has_struck:
            break
    assert 3 < at < 19
