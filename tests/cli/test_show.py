"""`ip2p show` as a user meets it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ip2p_cli.cli.app import main
from tests.io.pictures import write_image

RECORD: dict[str, Any] = {
    "ip2p": "0.1.0",
    "model": "nano",
    "weights": None,
    "instruction": "make it\nwinter \x1b[31m",
    "seed": 7,
    "size": [640, 480],
    "parents": [{"ip2p": "0.1.0", "instruction": "make it old"}],
}
Shown = Callable[..., tuple[int, str, str]]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ip2p", "show", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


def made(path: Path, record: dict[str, Any] | None) -> Path:
    write_image(Image.new("RGB", (8, 8)), path, overwrite=False, record=record)
    return path


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_lines_for_people(show: Shown, tmp_path: Path, ending: str) -> None:
    code, out, err = show(made(tmp_path / f"a.{ending}", RECORD))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "ip2p         0.1.0",
        "model        nano",
        r"instruction  make it\nwinter \x1b[31m",
        "seed         7",
        "size         640 x 480",
        "",
        "parent 1",
        "ip2p         0.1.0",
        "instruction  make it old",
    ]


def test_json_for_programs(show: Shown, tmp_path: Path) -> None:
    code, out, err = show(made(tmp_path / "a.webp", RECORD), "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == RECORD
    assert len(out.splitlines()) == 1


@pytest.mark.parametrize("words", [[], ["--json"], ["--quiet"]])
def test_a_picture_that_says_nothing(show: Shown, tmp_path: Path, words: list[str]) -> None:
    code, out, err = show(made(tmp_path / "a.png", None), *words)
    assert (code, out) == (3, "")
    assert "a.png has no record of how it was made" in err
    assert len(err.strip().splitlines()) == 1


def test_what_is_no_picture(show: Shown, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("text")
    for name, said in (
        ("a.png", "is not a picture of a known format"),
        ("b.png", "did you mean"),
        (".", "is a folder"),
    ):
        code, out, err = show(tmp_path / name)
        assert (code, out) == (3, "")
        assert said in err
        assert len(err.strip().splitlines()) == 1
