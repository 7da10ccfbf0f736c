"""Loading SDXL-shaped folders as diffusers writes them, and naming what does not fit together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import EDMEulerScheduler

from ip2p_cli.diffusion.samplers import make_scheduler
from ip2p_cli.errors import ModelError
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import COSXL_DEFAULTS, SDXL_DEFAULTS, find_model
from ip2p_cli.models.save import save_editor
from ip2p_cli.types import ModelUse
from tests.edits import one_edit
from tests.tiny_xl import XL_SCHEDULER, rewrite, save_xl_editor, tiny_xl_editor


def load(folder: Path, dtype: str = "fp32", use: ModelUse = "edit") -> Editor:
    return load_editor(find_model(str(folder)), device="cpu", dtype=dtype, use=use)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scheduler = make_scheduler("euler", XL_SCHEDULER, 4)
    return save_xl_editor(tiny_xl_editor(), tmp_path_factory.mktemp("xl") / "model", scheduler)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    copy = tmp_path / "copy"
    shutil.copytree(saved, copy)
    return copy


def test_what_diffusers_saves_comes_back(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    editor, expected = load(saved), tiny_xl_editor()
    assert capfd.readouterr().err == ""
    assert editor.zero_null_text
    assert not editor.scaled_condition
    assert editor.condition_factor == 1
    assert editor.tokenizer_2("a").input_ids == expected.tokenizer_2("a").input_ids
    assert editor.tokenizer_2.pad_token == "!"
    torch.testing.assert_close(one_edit(editor), one_edit(expected), atol=1e-4, rtol=0)


def test_cosxl_is_told_by_its_noise_levels(tmp_path: Path) -> None:
    expected = tiny_xl_editor(cosxl=True)
    config = {key: value for key, value in expected.scheduler_config.items() if key[0] != "_"}
    folder = save_xl_editor(expected, tmp_path / "model", EDMEulerScheduler(**config))
    # diffusers does not save the flag; once it does, this is what it will look like.
    assert "is_cosxl_edit" not in json.loads((folder / "model_index.json").read_text())
    editor = load(folder)
    assert editor.scaled_condition
    assert editor.condition_factor == 0.18215
    torch.testing.assert_close(one_edit(editor), one_edit(expected), atol=1e-4, rtol=0)
    rewrite(folder / "model_index.json", is_cosxl_edit=False)
    assert not load(folder).scaled_condition


def test_said_flags(folder: Path) -> None:
    rewrite(folder / "model_index.json", force_zeros_for_empty_prompt=False, is_cosxl_edit=True)
    editor = load(folder)
    assert not editor.zero_null_text
    assert editor.scaled_condition


def test_fp16_keeps_the_vae_that_asks_for_it_in_float32(folder: Path) -> None:
    rewrite(folder / "vae" / "config.json", force_upcast=True)
    editor = load(folder, "fp16")
    assert (editor.text_encoder_2.dtype, editor.vae.dtype) == (torch.float16, torch.float32)


@pytest.mark.parametrize(
    "missing", ["text_encoder_2/config.json", "text_encoder_2/model.safetensors", "tokenizer_2/tokenizer.json"]
)
def test_a_missing_second_part_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=missing):
        load(folder)


def test_parts_that_do_not_fit(folder: Path) -> None:
    rewrite(folder / "unet" / "config.json", addition_time_embed_dim=16)
    with pytest.raises(ModelError, match=r"takes 72 numbers .* give 120"):
        load(folder)
    rewrite(folder / "unet" / "config.json", addition_embed_type=None)
    with pytest.raises(ModelError, match="addition_embed_type"):
        load(folder)


def test_one_encoder_too_few(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"text_encoder_2": [None, None]}))
    with pytest.raises(ModelError, match="no text_encoder_2"):
        load(folder)


def test_no_training_of_sdxl(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="training starts from"):
        load(saved, use="train")
    with pytest.raises(ModelError, match="SDXL"):
        save_editor(tiny_xl_editor(), tmp_path / "out", card="")
    assert not list(tmp_path.iterdir())


def test_a_folder_has_defaults_of_its_shape(folder: Path) -> None:
    assert find_model(str(folder)).defaults == SDXL_DEFAULTS
    rewrite(folder / "model_index.json", scheduler=["diffusers", "EDMEulerScheduler"])
    assert find_model(str(folder)).defaults == COSXL_DEFAULTS
    (folder / "ip2p.json").write_text(json.dumps({"defaults": {"steps": 7}}))
    defaults = find_model(str(folder)).defaults
    assert (defaults.steps, defaults.sampler) == (7, "euler")


def test_a_vae_with_statistics_of_its_own(folder: Path) -> None:
    rewrite(folder / "vae" / "config.json", latents_mean=[0.0] * 4)
    with pytest.raises(ModelError, match="latents_mean"):
        load(folder)
