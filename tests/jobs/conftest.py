"""Fixtures of the tests of plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.fake_work import some_photos


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return some_photos(tmp_path / "photos")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
