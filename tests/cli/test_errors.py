"""Each kind of error, raised through a command: its exit code, and one line on stderr that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ip2p_cli import errors
from ip2p_cli.errors import Ip2pError
from tests.cli.ip2p import Run

RECIPES = Path(__file__).parents[2] / "recipes"

# error -> (the command's words, exit code, what the line says)
CASES: dict[str, tuple[list[str], int, str]] = {
    "UsageError": (["edit", "photo.png", "winter", "--sampler", "eular_a"], 2, "Did you mean euler_a"),
    "InputError": (["edit", "phto.png", "winter"], 3, "did you mean photo.png?"),
    "UnknownInstructionError": (
        ["edit", "photo.png", "add a cat", "--model", "nano", "--unknown", "fail"],
        3,
        "nano",
    ),
    "LeftOutError": (["edit", "photo.png", "add a cat", "--model", "nano", "--unknown", "skip"], 3, "nano"),
    "OutputError": (["edit", "photo.png", "winter", "-o", "photo.png"], 4, "use --overwrite or another -o"),
    "ModelError": (["edit", "photo.png", "winter", "--model", "nanoo"], 5, "Did you mean nano"),
    "DeviceError": (["edit", "photo.png", "winter", "--offload", "model", "--device", "cpu"], 6, "leave it out"),
    "TrainingError": (
        ["train", "-c", f"{RECIPES}/train-tiny.yaml", "-o", "run", "--data", "looks:."],
        7,
        "another --out",
    ),
    "VerdictError": (
        ["edit", "photo.png", "winter", "--model", "nano", "--fail-on", "ok,no-change,over-edit,off-target"],
        8,
        "1",
    ),
    "InterruptionError": (["edit", "photo.png", "winter"], 130, "interrupted: 0 of 1 photos done"),
}


def _subclasses(kind: type[Ip2pError]) -> Iterator[str]:
    for inner in kind.__subclasses__():
        yield inner.__name__
        yield from _subclasses(inner)


def test_every_kind_is_here() -> None:
    ours = {name for name in _subclasses(Ip2pError) if hasattr(errors, name)}
    assert set(CASES) == ours
    assert {getattr(errors, name).exit_code for name in CASES} == {code for _, code, _ in CASES.values()}


@pytest.mark.parametrize("kind", CASES)
def test_a_command_ends_with_its_code_and_one_line(
    ip2p: Run, photo: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    words, code, said = CASES[kind]
    raised: list[str] = []
    begin = Ip2pError.__init__

    def noted(self: Ip2pError, *arguments: Any, **more: Any) -> None:
        raised.append(type(self).__name__)
        begin(self, *arguments, **more)

    monkeypatch.setattr(Ip2pError, "__init__", noted)
    if kind == "InterruptionError":

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("ip2p_cli.editing.model_choice.ModelChoice.load", stop)
    if kind == "TrainingError":
        Path("run").mkdir()
        Path("run/recipe.json").write_text("not ours")
    done = ip2p(*words, tiny=False)
    assert done.code == code, done.err
    assert raised[-1] == kind
    *_, line = done.err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    if kind == "VerdictError":  # its files are written
        assert done.out
        return
    # nano introduces itself, in a line of its own.
    assert len([line for line in done.err.splitlines() if not line.startswith("Using nano")]) == 1
    assert not done.out


def test_a_message_is_one_line_whatever_is_in_it() -> None:
    error = errors.InputError("a\nb\r\x1b[2J\u2028\udcff.png: no such file")
    assert str(error) == r"a\nb\r\x1b[2J\u2028\udcff.png: no such file"
