"""Several processes on one folder, as users start them by mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RECIPE = """
captions: {source: captions.txt, language: any, rows_per_shard: 5}
triplets: {}
"""


def start(*words: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IP2P_OFFLINE": "1"}
    command = [sys.executable, "-m", "ip2p_cli", "gen-data", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".done.json"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def end(processes: list[subprocess.Popen[str]]) -> list[int]:
    codes = []
    for process in processes:
        errors = process.communicate(timeout=200)[1]
        codes.append(process.returncode)
        # One of several writers is told that another one writes here; nothing else goes wrong.
        assert process.returncode == 0 or (process.returncode == 4 and "writes here: wait" in errors), errors
        assert "unexpected" not in errors
        assert "Traceback" not in errors
    return codes


@pytest.mark.slow
def test_several_runs_on_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("captions.txt").write_text("".join(f"a red boat on lake number {n}\n" for n in range(60)))
    Path("recipe.yaml").write_text(RECIPE)
    assert end([start("run", "recipe.yaml", "-o", "alone")]) == [0]
    assert 0 in end([start("run", "recipe.yaml", "-o", "shared") for _ in range(3)])
    assert end([start("run", "recipe.yaml", "-o", "shared")]) == [0]
    assert contents(Path("shared")) == contents(Path("alone"))


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["original", "webdataset"])
def test_several_exports_into_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    from tests.gen_pairs import make_pairs

    monkeypatch.chdir(tmp_path)
    make_pairs(Path("data"), shards=12, triplets=1, candidates=2)
    assert end([start("filter", "data")]) == [0]
    words = ["export", "data", "--format", layout, "--per-file", 1]
    assert end([start(*words, "-o", "alone")]) == [0]
    assert end([start(*words, "-o", "shared") for _ in range(3)]) == [0, 0, 0]
    assert contents(Path("shared")) == contents(Path("alone"))
