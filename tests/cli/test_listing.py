"""`--sampler help`, `--preset help`, and what a shell is offered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.app import app
from ip2p_cli.diffusion.samplers import SAMPLERS
from ip2p_cli.models.registry import MODELS
from ip2p_cli.presets import PRESETS

HEAVY = ("torch", "diffusers", "transformers", "numpy", "PIL", "cv2")
# The command itself is not needed to test the option.
PRESET_APP = """
import typer
from ip2p_cli.cli import options as opt
app = typer.Typer()
@app.command()
def edit(words: list[str], preset: opt.Preset = None) -> None:
    print(preset)
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("presets: {mine: {steps: 20, cfg_text: 5.5}}\n")
    monkeypatch.setenv("IP2P_CONFIG", str(path))
    return path


def test_samplers_are_listed_on_stdout() -> None:
    done = CliRunner().invoke(app, ["edit", "--sampler", "help"])
    assert done.exit_code == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(SAMPLERS)
    assert "k-diffusion" in lines[list(SAMPLERS).index("euler_a_original")]


def test_presets_are_listed_on_stdout_and_the_users_own_with_their_settings(config: Path) -> None:
    small = typer.Typer()

    @small.command()
    def edit(words: list[str], preset: opt.Preset = None) -> None:
        raise AssertionError("not reached")

    done = CliRunner().invoke(small, ["--preset", "help"])
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [*PRESETS, "mine"]
    assert "steps 20, cfg_text 5.5" in done.stdout


def test_json_gives_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ip2p", "edit", "--sampler", "help", "--json"])
    done = CliRunner().invoke(app, sys.argv[1:])
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == list(SAMPLERS)


def completed(words: str, setup: str = "from ip2p_cli.cli.app import app\n") -> list[str]:
    """What bash is offered after `words`; fails if something heavy was imported for it."""
    code = (
        "import sys, atexit, os\n"
        "sys.argv = ['ip2p']\n" + setup + f"heavy = {HEAVY!r}\n"
        "try:\n    app(prog_name='ip2p')\n"
        "finally:\n    assert not set(heavy) & set(sys.modules), sys.modules.keys()\n"
    )
    environment = {
        **os.environ,
        "_IP2P_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.slow
class TestCompletion:
    """The protocol of a shell, in a process of its own."""

    def test_models(self) -> None:
        assert completed("ip2p edit --model ") == list(MODELS)
        assert completed("ip2p edit --model ins") == ["instruct-pix2pix"]

    def test_samplers(self) -> None:
        assert completed("ip2p edit --sampler euler_a") == ["euler_a", "euler_a_original"]
        assert completed("ip2p edit --sampler x") == []

    def test_presets(self, config: Path) -> None:
        assert completed("ip2p --preset ", PRESET_APP) == [*PRESETS, "mine"]

    def test_a_broken_config_file_gives_nothing_and_no_error(self, config: Path) -> None:
        config.write_text("presets: 3\n")
        assert completed("ip2p --preset ", PRESET_APP) == []
