"""`ip2p doctor`: every line has a state, every fault a fix, and the edit at the end is a real one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ip2p_cli import doctor
from ip2p_cli.cli.app import main
from ip2p_cli.models import registry

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ip2p(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.setenv("IP2P_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("IP2P_OFFLINE", "1")
    monkeypatch.delenv("IP2P_MODEL", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ip2p", "doctor", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


def test_all_is_well(ip2p: Run, tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "blob").write_bytes(b"x" * 1000)
    code, out, err = ip2p("--json")
    assert (code, err) == (0, "")
    checks = {check["name"]: check for check in map(json.loads, out.splitlines())}
    wanted = ["python", "torch", "device", "dtype", "threads", "backend", "memory", "cache", "home", "network"]
    wanted += ["config"]
    assert list(checks) == [*wanted, *(f"extra {name}" for name in doctor.extras()), "edit"]
    assert not any(check["state"] == "fail" for check in checks.values())
    assert all(check["fix"] for check in checks.values() if check["state"] != "ok")
    assert checks["network"]["facts"] == {"offline": True}
    assert checks["cache"]["facts"]["models"] == {"path": str(tmp_path / "hub"), "bytes": 1000}
    assert 0 < checks["memory"]["facts"]["free"] < checks["memory"]["facts"]["total"]
    assert checks["edit"]["facts"]["edit_seconds"] > 0
    assert checks["config"]["facts"]["model"] == "nano"


def test_a_model_that_is_broken(ip2p: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = replace(registry.MODELS["nano"], source=str(tmp_path / "gone"))
    monkeypatch.setattr(doctor, "MODELS", {**registry.MODELS, "nano": broken})
    code, out, _ = ip2p()
    assert code == 1
    last = out.splitlines()[-1]
    assert last.startswith("fail  edit")
    assert str(tmp_path / "gone") in last
    assert " -> " in last


def test_a_config_that_is_broken(ip2p: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is said, the other checks go on, and the edit still works."""
    (tmp_path / "config.yaml").write_text("modle: x\n")
    code, out, _ = ip2p("--quiet")
    assert code == 0
    lines = [line for line in out.splitlines() if not line.startswith("warn")]
    assert len(lines) == 1
    assert lines[0].startswith("fail  config")
    assert "Did you mean model" in lines[0]


def test_a_cache_that_is_a_file_in_a_folder(ip2p: Run, tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("no folder")
    _, out, _ = ip2p()
    assert "(0.0 GB)" in next(line for line in out.splitlines() if " cache " in line)


def test_the_extras_are_those_of_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    import tomllib

    from ip2p_cli.doctor import _USES, _extra, extras

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    declared = project["optional-dependencies"]
    assert set(extras()) == set(_USES) == set(declared) - {"test"}
    for name in extras():
        packages = _extra(name).facts["packages"]
        assert [requirement.split(">")[0].split("[")[0] for requirement in declared[name]] == packages
    monkeypatch.setattr("ip2p_cli.doctor._is_installed", lambda requirement: False)
    check = _extra("data")
    assert check.fix == "if you want that: pip install 'ip2p[data]'"
    assert check.text.startswith("pyarrow not installed: reads and writes datasets")
