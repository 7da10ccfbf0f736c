"""What is written comes back the same, with the model's own defaults, and replaces a model only when it is whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import find_model
from ip2p_cli.models.save import save_editor
from ip2p_cli.types import EditSettings

DEFAULTS = EditSettings(steps=7, cfg_text=3.5, cfg_image=1.1, sampler="ddim", resolution=192)


@pytest.fixture
def editor(tiny_editor: Editor) -> Editor:
    spec = replace(tiny_editor.spec, name="mine", description="a model", licence="MIT", multiple=32, defaults=DEFAULTS)
    return replace(tiny_editor, spec=spec)


def test_round_trip(editor: Editor, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = save_editor(editor, tmp_path / "model", card="# mine")
    assert capfd.readouterr() == ("", "")
    spec = find_model(str(folder))
    assert (spec.name, spec.description, spec.licence, spec.multiple) == ("mine", "a model", "MIT", 32)
    assert spec.size_mb == 3
    assert spec.defaults == DEFAULTS
    back = load_editor(spec, device="cpu", dtype="fp32")
    for part in ("unet", "vae", "text_encoder"):
        torch.testing.assert_close(getattr(back, part).state_dict(), getattr(editor, part).state_dict(), atol=0, rtol=0)
    assert back.tokenizer("a cat").input_ids == editor.tokenizer("a cat").input_ids
    assert editor.scheduler_config.items() <= back.scheduler_config.items()
    assert (folder / "README.md").read_text() == "# mine"


def test_half_precision_leaves_the_editor_alone(editor: Editor, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in editor.unet.state_dict().items()}
    folder = save_editor(editor, tmp_path / "model", card="", dtype=torch.float16)
    torch.testing.assert_close(dict(editor.unet.state_dict()), before, atol=0, rtol=0)
    assert {w.dtype for w in load_file(folder / "unet/diffusion_pytorch_model.safetensors").values()} == {torch.float16}
    assert find_model(str(folder)).size_mb == 1
    assert not (folder / "README.md").exists()


def test_published_names_and_no_paths(editor: Editor, tmp_path: Path) -> None:
    first = save_editor(editor, tmp_path / "first", card="")
    again = save_editor(load_editor(find_model(str(first)), device="cpu", dtype="fp32"), tmp_path / "again", card="")
    names = load_file(again / "text_encoder" / "model.safetensors").keys()
    assert names
    assert all(name.startswith("text_model.") for name in names)
    for config in again.rglob("*.json"):
        assert str(tmp_path) not in config.read_text()
    index = json.loads((again / "model_index.json").read_text())
    assert index["scheduler"] == ["diffusers", "EulerAncestralDiscreteScheduler"]


def test_diffusers_opens_it(editor: Editor, tmp_path: Path) -> None:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    folder = save_editor(editor, tmp_path / "model", card="")
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        str(folder), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    torch.testing.assert_close(
        dict(pipeline.text_encoder.state_dict()), dict(editor.text_encoder.state_dict()), atol=0, rtol=0
    )


def test_replaces_a_model_once_the_new_one_is_whole(
    editor: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_editor(editor, tmp_path / "model", card="first")
    with monkeypatch.context() as patch:
        patch.setattr(editor.tokenizer, "save_pretrained", fail)
        with pytest.raises(OSError, match="disk full"):
            save_editor(editor, folder, card="second")
    assert (folder / "README.md").read_text() == "first"
    (tmp_path / "model.old").mkdir()
    (tmp_path / "model.old" / "left over").touch()
    save_editor(editor, folder, card="third")
    assert (folder / "README.md").read_text() == "third"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def fail(*_: object) -> None:
    raise OSError("disk full")
