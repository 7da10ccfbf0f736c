"""Printing: no control characters reach a terminal, and nothing that is wrong with a stream ends the work."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ip2p_cli.cli import app as command
from ip2p_cli.cli.app import main
from ip2p_cli.cli.output import BROKEN_PIPE, Output, safe
from ip2p_cli.errors import InputError

NASTY = "a\x1b[31m\x07\x9b2J\x7f\r\u202eb\u2066c\u2028d\udc80:smile: [red]é🙂"
SHOWN = r"a\x1b[31m\x07\x9b2J\x7f\r\u202eb\u2066c\u2028d\udc80:smile: [red]é🙂"


def run_code(code: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(command.__file__).parents[2]), **options.pop("env", {})}  # type: ignore[dict-item]
    setup = "from ip2p_cli.cli.output import Output\no = Output()\n"
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", setup + code], check=False, stderr=subprocess.PIPE, env=environment, **options
    )


def test_control_characters_are_escaped_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    for printed in (output.say, output.warn, output.error, output.text):
        printed(NASTY)
        both = capsys.readouterr()
        assert (both.out + both.err).removeprefix("error: ") == SHOWN + "\n"
    output.trace(f"{NASTY}\n")
    assert capsys.readouterr().err == SHOWN + "\n"
    output.data(NASTY, {})
    assert capsys.readouterr().out == SHOWN + "\n"
    output.result(NASTY, {"output": NASTY})
    assert capsys.readouterr() == (SHOWN + "\n", SHOWN + "\n")


def test_json_escapes_them_as_json_does(capsys: pytest.CaptureFixture[str]) -> None:
    Output(json=True).data("", {"output": NASTY})
    line = capsys.readouterr().out
    assert json.loads(line) == {"output": NASTY}
    assert r"\u009b2J\u007f" in line
    assert "é🙂" in line
    assert safe(line) == line


def test_lines_and_tabs_stay(capsys: pytest.CaptureFixture[str]) -> None:
    Output().text("a\tb\nc")
    assert capsys.readouterr().out == "a\tb\nc\n"


@given(st.text())
def test_what_is_safe_is_printable_or_space(text: str) -> None:
    assert not any((c < " " and c not in "\t\n") or "\x7f" <= c <= "\x9f" for c in safe(text))
    safe(text).encode()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_an_encoding_that_lacks_letters(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    Output().text("冬 é")
    Output().say("冬")
    Output(json=True).data("", {"a": "冬 🙂"})
    lines = out.buffer.getvalue().decode(encoding).splitlines()  # type: ignore[attr-defined]
    assert lines[0] == (r"\u51ac é" if encoding == "cp1252" else r"\u51ac \xe9")
    assert json.loads(lines[1]) == {"a": "冬 🙂"}
    assert err.buffer.getvalue() == rb"\u51ac" + b"\n"  # type: ignore[attr-defined]


ALL = "o.text('a'); o.say('b'); o.warn('c'); o.error('d'); o.data_only('e', {}); o.draw(b'f'); o.trace('g')\n"


@pytest.mark.parametrize(
    "spoiled",
    [
        "import sys; sys.stdout = sys.stderr = None",
        "import sys; sys.stdout.close(); sys.stderr.close()",
        "import os; os.close(1); os.close(2)",
    ],
)
def test_streams_that_are_not_there(spoiled: str) -> None:
    done = run_code(f"{spoiled}\n{ALL}with o.progress('h') as bar: bar(1, 2)\nimport os; os._exit(7)", stdout=-3)
    assert done.returncode == 7


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk() -> None:
    with Path("/dev/full").open("wb") as full:
        done = run_code(f"for _ in range(9999): o.text('x' * 99)\n{ALL}", stdout=full)
    assert done.returncode == 0
    assert done.stderr == b"stdout: No space left on device: nothing more is printed there\nb\nc\nerror: d\nfg"


def test_a_reader_that_has_gone_ends_the_command() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run_code(f"{ALL}o.say('not reached')", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, b"")


def test_a_command_whose_reader_has_gone() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run_code(
        "import sys; sys.argv = ['ip2p', 'recipes']\nfrom ip2p_cli.cli.app import main; main()", stdout=writer
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, b"")


def test_a_gone_reader_of_stderr_is_no_reason_to_stop() -> None:
    code = "import os; r, w = os.pipe(); os.close(r); os.dup2(w, 2)\n"
    done = run_code(f"{code}{ALL}o.text('done')", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"a\ne\ndone\n")


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_data_go_to_stdout_beside_a_bar_on_the_terminal(tmp_path: Path) -> None:
    import pty

    reader, writer = pty.openpty()
    code = "from ip2p_cli.cli.output import Output\no = Output()\nwith o.progress('x') as bar: o.data_only('a.png', {})"
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=out, stderr=writer, env={**os.environ, "TERM": "xterm"}
        )
        os.close(writer)
        assert process.wait(60) == 0
    os.close(reader)
    assert (tmp_path / "out").read_text() == "a.png\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("a.jpg\x1b is bad"), 3, r"error: a.jpg\x1b is bad"),
        (MemoryError(), 1, "error: not enough memory: close other programs"),
        (PermissionError(13, "Permission denied", "a.png"), 1, "error: a.png: permission denied: check the path"),
        (OSError(28, "No space left on device"), 1, "error: no space left on device: check"),
        (ZeroDivisionError("by\nzero"), 1, "error: unexpected: ZeroDivisionError: by (--debug shows where)"),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_every_error_is_a_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    line: str,
    debug: bool,
) -> None:
    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr(command, "app", fails)
    monkeypatch.setattr(sys, "argv", ["ip2p", *(["--debug"] if debug else [])])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == code
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(line)
    assert (len(lines) > 1) == debug
    assert "\x1b" not in "".join(lines)
