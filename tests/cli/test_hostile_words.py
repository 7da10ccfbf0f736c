"""Names and instructions that nothing can be done with end in one line, before any work."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ip2p_cli.diffusion.text import truncated_words
from ip2p_cli.models.loader import Editor
from tests.cli.ip2p import Run

LONG = "x" * 300


@pytest.mark.parametrize("out", [f"{LONG}.png", LONG, f"{LONG}/a.png", f"out/{LONG}", "\u00e9" * 120, "a\0b"])
@pytest.mark.parametrize("command", [["edit"], ["variants"], ["chain"]])
def test_an_output_that_no_disk_can_hold(ip2p: Run, photo: Path, command: list[str], out: str) -> None:
    what = ["--edit", "winter"] if command == ["chain"] else ["winter"]
    done = ip2p(*command, photo, *what, "-o", out)
    assert done.code in (2, 4)
    assert len(done.err.strip().splitlines()) == 1
    assert "unexpected" not in done.err
    assert os.listdir() == ["photo.png"]  # noqa: PTH208 - names only


@pytest.mark.parametrize("flag", ["--model", "--lora", "--vae"])
@pytest.mark.parametrize("value", [LONG, "a\0b", "~nobody-of-that-name/a"])
def test_a_model_that_no_disk_can_hold(ip2p: Run, photo: Path, flag: str, value: str) -> None:
    done = ip2p("edit", photo, "winter", flag, value, tiny=False)
    assert done.code in (2, 5)
    assert len(done.err.strip().splitlines()) == 1
    assert "unexpected" not in done.err


@pytest.mark.parametrize("instruction", ["make it \udcff", "word " * 14_000, " ", "x" * 10_001])
@pytest.mark.parametrize("way", ["edit", "variants", "chain", "jobs", "replay"])
def test_an_instruction_that_no_model_can_take(ip2p: Run, photo: Path, instruction: str, way: str) -> None:
    if way == "jobs" and "\udcff" in instruction:
        return  # a job file is UTF-8
    Path("jobs.csv").write_text(f'input,instruction\nphoto.png,"{instruction}"\n' if way == "jobs" else "")
    words: dict[str, list[Any]] = {
        "edit": ["edit", photo, instruction, "-o", "out.png"],
        "variants": ["variants", photo, instruction, "-o", "out"],
        "chain": ["chain", photo, "--edit", instruction, "-o", "out"],
        "jobs": ["edit", "--jobs", "jobs.csv", "-o", "out"],
        "replay": ["replay", "out.png", "--set", f"instruction={instruction}", "-o", "again.png"],
    }
    if way == "replay":
        ip2p("edit", photo, "winter", "-o", "out.png", "--model", "nano", tiny=False)
    done = ip2p(*words[way], tiny=False)
    assert done.code == 2
    assert "instruction" in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert len(done.err) < 1000 or way == "jobs"
    assert not Path("again.png").exists()
    assert not list(Path("out").glob("*.png"))


@pytest.mark.parametrize("name", ["/dev/zero", "pipe.csv", "gone.csv", "folder.csv", f"{LONG}.csv", "empty.csv"])
def test_a_job_file_that_is_none(ip2p: Run, name: str) -> None:
    os.mkfifo("pipe.csv")
    Path("folder.csv").mkdir()
    Path("empty.csv").touch()
    done = ip2p("edit", "--jobs", name, "-o", "out")
    assert done.code == 3
    assert len(done.err.strip().splitlines()) == 1
    assert not Path("out").exists()


def test_words_that_do_not_fit_are_found_at_once(tiny_editor: Editor) -> None:
    text = "word " * 2000
    started = time.monotonic()
    lost = truncated_words(tiny_editor, text)
    assert time.monotonic() - started < 5
    assert lost == ["word"] * (2000 - 18)  # 4 tokens a word, and two more
    assert truncated_words(tiny_editor, "make it winter") == []
