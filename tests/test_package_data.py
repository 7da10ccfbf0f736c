"""Every file in the package that is no module is named in pyproject.toml: a wheel without it would not work."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_data_file_is_packaged() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = document["tool"]["setuptools"]["package-data"]["ip2p_cli"]
    package = ROOT / "ip2p_cli"
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    data = [path for path in package.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert data
    assert [path.relative_to(package).as_posix() for path in data if path not in packaged] == []
    assert all(any(package.glob(pattern)) for pattern in patterns), "a pattern that names no file"
