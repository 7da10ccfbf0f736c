"""The command in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.ip2p import Run, runner, some_photo


@pytest.fixture
def ip2p(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_folder: Path) -> Run:
    """Runs `ip2p` in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return runner(monkeypatch, capsys, tmp_path / "home", tiny_folder)


@pytest.fixture
def photo(ip2p: Run) -> Path:
    """A photo in the current folder, 97 x 65."""
    some_photo().save("photo.png")
    return Path("photo.png")
