"""`--preview`: each kind of terminal gets what it understands, on stderr, and never stdout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ip2p_cli.cli.output import Output
from ip2p_cli.cli.preview import check_preview, preview, rendered
from ip2p_cli.errors import UsageError

NAMES = (
    "TERM",
    "TERM_PROGRAM",
    "LC_TERMINAL",
    "COLORTERM",
    "KITTY_PID",
    "KITTY_WINDOW_ID",
    "VTE_VERSION",
    "TMUX",
    "STY",
)


@pytest.fixture
def picture() -> Image.Image:
    return Image.linear_gradient("L").convert("RGB").resize((64, 48))


@pytest.mark.parametrize(
    ("terminal", "begins"),
    [
        ({"TERM": "xterm-kitty", "KITTY_PID": "1"}, b"\x1b_G"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app", "LC_TERMINAL": "iTerm2"}, b"\x1b]1337;File="),
        ({"TERM": "mlterm"}, b"\x1bP"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, b"\x1b["),
    ],
    ids=["kitty", "iterm2", "sixel", "blocks"],
)
def test_terminals(
    terminal: dict[str, str], begins: bytes, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in terminal.items():
        monkeypatch.setenv(name, value)
    drawn = rendered(picture, 20, 10)
    assert begins in drawn[:40]
    assert len(drawn) > 200


def test_blocks_keep_the_shape(picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert len(rendered(picture, 24, 99).splitlines()) == 9  # 24 cells across of 8 pixels: 144 down, 16 a cell


def test_without_a_terminal_nothing_is_drawn_and_it_is_said(
    picture: Image.Image, capsys: pytest.CaptureFixture[str]
) -> None:
    preview(picture, Output())
    said = capsys.readouterr()
    assert said.out == ""
    assert "nothing was drawn" in said.err
    assert "\x1b_G" not in said.err


def test_a_missing_library_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chafa", None)
    with pytest.raises(UsageError, match=r"pip install 'ip2p\[preview\]'"):
        check_preview()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_in_a_terminal_it_is_drawn_on_stderr_alone(tmp_path: Path) -> None:
    import pty

    code = (
        "from PIL import Image; from ip2p_cli.cli.output import Output; from ip2p_cli.cli.preview import preview\n"
        "preview(Image.linear_gradient('L'), Output())"
    )
    reader, writer = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-kitty", "KITTY_PID": "1"}
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=out, stderr=writer, env=environment)
        os.close(writer)
        drawn = b""
        while True:
            try:
                part = os.read(reader, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            drawn += part
        assert process.wait(60) == 0
    os.close(reader)
    assert b"\x1b_G" in drawn
    assert (tmp_path / "out").read_bytes() == b""
