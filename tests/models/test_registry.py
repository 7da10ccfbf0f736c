"""Names become ModelSpecs, and wrong ones become one helpful line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ip2p_cli.errors import ModelError
from ip2p_cli.models.registry import MODELS, PAPER_DEFAULTS, find_model
from ip2p_cli.suggest import did_you_mean, nearest


@pytest.mark.parametrize("name", MODELS)
def test_table(name: str) -> None:
    spec = find_model(name)
    assert spec.name == name
    assert spec.licence
    defaults = spec.defaults
    assert None not in (defaults.steps, defaults.cfg_text, defaults.cfg_image, defaults.sampler, defaults.resolution)


def test_default_samplers_exist() -> None:
    from ip2p_cli.diffusion.samplers import SAMPLERS

    assert {spec.defaults.sampler for spec in MODELS.values()} <= set(SAMPLERS)


def test_hub_ids() -> None:
    assert find_model("timbrooks/instruct-pix2pix") is MODELS["instruct-pix2pix"]
    spec = find_model("someone/their-model_v1.5")
    assert spec.source == spec.name == "someone/their-model_v1.5"
    assert spec.defaults == PAPER_DEFAULTS


def test_unknown_name_suggests() -> None:
    with pytest.raises(ModelError, match=r"unknown model 'magicbrsh'. Did you mean magicbrush\?") as caught:
        find_model("magicbrsh")
    assert "nano" in str(caught.value)


@pytest.mark.parametrize("name", ["", "zzzz", "./missing", "/no/such/folder", "a/b/c"])
def test_names_that_are_nothing(name: str) -> None:
    with pytest.raises(ModelError, match="hub id"):
        find_model(name)


def test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"no model_index\.json"):
        find_model(str(folder))
    (folder / "model_index.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    spec = find_model("mine")
    assert (spec.name, spec.source, spec.defaults) == ("mine", str(folder), PAPER_DEFAULTS)


def test_folder_with_wishes(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    wishes = tmp_path / "ip2p.json"
    wishes.write_text(json.dumps({"name": "own", "multiple": 32, "defaults": {"steps": 8, "sampler": "ddim"}}))
    spec = find_model(str(tmp_path))
    assert (spec.name, spec.multiple, spec.source) == ("own", 32, str(tmp_path))
    assert (spec.defaults.steps, spec.defaults.sampler, spec.defaults.cfg_text) == (8, "ddim", 7.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "JSON"), ("[]", "JSON object"), ('{"defaults": 3}', "JSON object"), ('{"colour": 1}', "unknown field")],
)
def test_folder_with_wrong_wishes(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "ip2p.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        find_model(str(tmp_path))


def test_suggestions() -> None:
    assert nearest("NANOO", ["nano", "magicbrush"]) == ["nano"]
    assert did_you_mean("qqq", ["nano"]) == ""


def test_imports_no_torch() -> None:
    code = "import sys, ip2p_cli.models.registry, ip2p_cli.models.device; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["checkpoint-500", "step-0000100"])
def test_a_training_checkpoint_is_told_from_a_model(tmp_path: Path, name: str) -> None:
    (tmp_path / name / "unet").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"training checkpoint: give the model that the run wrote, such as RUN/model"):
        find_model(str(tmp_path / name))
