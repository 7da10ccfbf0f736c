"""ip2p works without a home folder, with one that does not exist, and with one that cannot be written to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ip2p_cli.errors import ModelError
from ip2p_cli.folders import can_write, expand_home, user_folder
from ip2p_cli.models.hub import check_cache_folder
from tests.cli.ip2p import some_photo

# Runs commands one after the other, each as the command line does, and prints their exit codes.
_SCRIPT = """
import json, pwd, sys
def nobody(*_):
    raise KeyError("no such user")
pwd.getpwuid = pwd.getpwnam = nobody
from ip2p_cli.cli.app import main
codes = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["ip2p", *words]
    try:
        main()
    except SystemExit as end:
        codes.append(end.code or 0)
print("codes", codes)
"""
_COMMANDS = [
    ["edit", "photo.png", "make it winter", "-o", "out.png", "--seed", "1"],
    ["edit", "~/photo.png", "make it winter"],
    ["chain", "photo.png", "noir", "-o", "chain"],
    ["show", "out.png"],
    ["replay", "out.png", "-o", "again.png"],
    ["models", "list", "--json"],
    ["recipes"],
    ["doctor"],
    ["variants", "--seeds", "2"],
]


def _run(folder: Path, commands: list[list[str]], **environment: str) -> subprocess.CompletedProcess[str]:
    some_photo().save(folder / "photo.png")
    root = str(Path(__file__).parent.parent)
    known = {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "IP2P_OFFLINE": "1", "PATH": os.environ["PATH"]}
    # Without the capabilities of root, which may read and write what permissions forbid.
    words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*(words if shutil.which("setpriv") else []), sys.executable, "-c", _SCRIPT, json.dumps(commands)],
        cwd=folder,
        env={**known, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_command_works_without_a_home_folder(tmp_path: Path) -> None:
    done = _run(tmp_path, _COMMANDS)
    assert done.stdout.splitlines()[-1] == "codes [0, 3, 0, 0, 0, 0, 0, 0, 2]", done.stderr
    assert "unexpected" not in done.stdout + done.stderr
    assert "there is no home folder, so no models are kept" in done.stdout
    assert "there is no home folder -> set HOME" in done.stdout
    assert "so none is kept: set HOME or XDG_STATE_HOME" in done.stderr
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("home", ["closed", "readonly"])
def test_a_home_folder_in_which_nothing_can_be_made(tmp_path: Path, home: str) -> None:
    path = tmp_path / home
    path.mkdir(mode=0 if home == "closed" else 0o555)
    done = _run(tmp_path, [_COMMANDS[0], ["doctor", "--quiet"], ["variants", "--seeds", "2"]], HOME=str(path))
    assert done.stdout.splitlines()[-1] == "codes [0, 0, 2]", done.stderr
    assert "unexpected" not in done.stdout + done.stderr
    is_root = os.geteuid() == 0 and not shutil.which("setpriv")  # it may write to any folder
    assert is_root or f"cannot be written to: {path}/.local/state/ip2p, {path}/.cache/ip2p" in done.stdout


def test_folders_are_none_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(_: str) -> str:
        raise RuntimeError

    monkeypatch.setattr("ip2p_cli.folders.platformdirs.user_cache_dir", no_home)
    monkeypatch.setattr("ip2p_cli.folders.platformdirs.user_state_dir", lambda name: f"~/.local/state/{name}")
    assert user_folder("cache") is None
    assert user_folder("state") is None
    assert expand_home("~no-such-user/a.png") == Path("~no-such-user/a.png")


def test_whether_a_folder_can_be_written_to(tmp_path: Path) -> None:
    assert can_write(tmp_path / "not" / "yet")
    (tmp_path / "file").touch()
    assert not can_write(tmp_path / "file")
    assert not can_write(tmp_path / "file" / "in-it")


def test_nothing_is_downloaded_without_a_folder_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "~/.cache/huggingface/hub")
    with pytest.raises(ModelError, match="set HF_HOME"):
        check_cache_folder()


def test_a_memory_that_is_read_only_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ip2p_cli.models.fingerprint import files_fingerprint

    (tmp_path / "a").write_text("weights")
    monkeypatch.setattr("ip2p_cli.models.fingerprint.user_folder", lambda _: Path("/proc/ip2p"))
    first = files_fingerprint([tmp_path / "a"])
    shutil.copy(tmp_path / "a", tmp_path / "b")
    assert files_fingerprint([tmp_path / "b"]) == first
