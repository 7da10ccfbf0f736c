"""SDXL-shaped single files: what they hold is what the same model's folder holds, and CosXL is known by its levels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import EDMEulerScheduler
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_open_clip_checkpoint,
)
from safetensors.torch import save_file

from ip2p_cli.diffusion.samplers import make_scheduler
from ip2p_cli.errors import ModelError
from ip2p_cli.models import layout
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import COSXL_DEFAULTS, PAPER_DEFAULTS, SDXL_DEFAULTS, find_model
from ip2p_cli.models.sdxl import COSXL_SCHEDULER, SDXL_SCHEDULER
from tests import original, original_xl
from tests.edits import one_edit
from tests.tiny_xl import save_xl_editor

PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


@pytest.fixture(scope="session")
def whole() -> Editor:
    torch.set_num_threads(1)
    return original_xl.make_editor()


@pytest.fixture
def folder(whole: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both tokenizers in it; nothing is cached on this machine, and it is offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IP2P_OFFLINE", "1")
    (tmp_path / "models").mkdir()
    original_xl.save_tokenizers(whole, tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def file(whole: Editor, folder: Path) -> Path:
    save_file(original_xl.checkpoint(whole), folder / "model.safetensors")
    return folder / "model.safetensors"


def load(path: Path, dtype: str = "fp32", **rest: Any) -> Editor:
    return load_editor(find_model(str(path)), device="cpu", dtype=dtype, **rest)


def same(editor: Editor, other: Editor) -> None:
    for part in PARTS:
        ours, theirs = getattr(editor, part), getattr(other, part)
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), atol=0, rtol=0)


@pytest.mark.parametrize("ema", [True, False])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_everything_comes_out(
    whole: Editor, folder: Path, suffix: str, ema: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder / f"model{suffix}"
    tensors = original_xl.checkpoint(whole, ema=ema)
    save_file(tensors, path) if suffix == ".safetensors" else torch.save({"state_dict": tensors}, path)
    editor = load(path)
    same(editor, whole)
    assert capfd.readouterr().err == ""
    assert editor.zero_null_text
    assert not editor.scaled_condition
    assert editor.scheduler_config == SDXL_SCHEDULER
    assert (editor.vae_factor, editor.scaling_factor, editor.text_length) == (8, 0.13025, 77)
    assert (editor.tokenizer.pad_token, editor.tokenizer_2.pad_token) == ("<|endoftext|>", "!")
    assert find_model(str(path)).defaults == SDXL_DEFAULTS


def edm(config: dict[str, Any]) -> Any:
    return EDMEulerScheduler(**{key: value for key, value in config.items() if key[0] != "_"})


@pytest.mark.parametrize("cosxl", [False, True])
def test_an_edit_is_that_of_the_folder(folder: Path, cosxl: bool) -> None:
    expected = original_xl.make_editor(cosxl=cosxl)
    path = folder / "model.safetensors"
    save_file(original_xl.checkpoint(expected), path)
    config = dict(expected.scheduler_config)
    scheduler = edm(config) if cosxl else make_scheduler("euler", config, 4)
    theirs = load(save_xl_editor(expected, folder / "diffusers", scheduler))
    ours = load(path)
    assert find_model(str(path)).defaults == find_model(str(folder / "diffusers")).defaults
    assert (ours.scaled_condition, ours.condition_factor) == (theirs.scaled_condition, theirs.condition_factor)
    same(ours, theirs)
    if cosxl:
        assert ours.scheduler_config == {key: theirs.scheduler_config[key] for key in COSXL_SCHEDULER}
    # CosXL starts from noise of 120, which makes more of the last bits.
    torch.testing.assert_close(one_edit(ours), one_edit(theirs), atol=1e-4 if cosxl else 1e-5, rtol=0)


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_cosxl_is_told_by_its_noise_levels(folder: Path, suffix: str) -> None:
    path = folder / f"cosxl_edit{suffix}"
    tensors = original_xl.checkpoint(original_xl.make_editor(cosxl=True))
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    editor = load(path)
    assert editor.scaled_condition
    assert dict(editor.scheduler_config) == pytest.approx(COSXL_SCHEDULER)
    assert find_model(str(path)).defaults == COSXL_DEFAULTS


def test_a_files_own_noise_levels(whole: Editor, folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = original_xl.checkpoint(whole)
    save_file(tensors | {"edm_vpred.sigma_max": torch.tensor(80.0)}, path)
    config = load(path).scheduler_config
    assert (config["sigma_min"], config["sigma_max"], config["sigma_data"]) == (0.002, 80.0, 1.0)
    assert config["prediction_type"] == "v_prediction"
    save_file(tensors | {"edm_vpred.sigma_max": torch.tensor(float("nan"))}, path)
    with pytest.raises(ModelError, match="noise levels"):
        load(path)
    save_file(tensors | {"v_pred": torch.tensor([])}, path)
    assert load(path).scheduler_config == {**SDXL_SCHEDULER, "prediction_type": "v_prediction"}


# --- The names


def test_our_names_are_those_that_diffusers_knows(whole: Editor) -> None:
    """The judge of tests/original_xl.py as well as of `layout`."""
    tensors = original_xl.checkpoint(whole)
    theirs = convert_ldm_unet_checkpoint(dict(tensors), dict(whole.unet.config))
    prefix = "model.diffusion_model."
    ours = layout.unet_from_original({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
    assert set(theirs) == set(ours) == set(whole.unet.state_dict())
    assert all(theirs[name] is ours[name] for name in ours)


def bare(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix("text_model."): tensor for name, tensor in tensors.items() if "position_ids" not in name}


def test_the_text_encoders_names_are_those_that_diffusers_knows(whole: Editor) -> None:
    tensors = original_xl.checkpoint(whole)
    prefix = "conditioner.embedders.1.model."
    theirs = bare(convert_open_clip_checkpoint(whole.text_encoder_2, dict(tensors), prefix))
    ours = layout.openclip_from_original(
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    )
    # logit_scale, which the encoder has no place for, is in theirs under some versions.
    assert set(ours) == set(bare(whole.text_encoder_2.state_dict())) <= set(theirs)
    torch.testing.assert_close(ours, {name: theirs[name] for name in ours}, atol=0, rtol=0)
    first = bare(convert_ldm_clip_checkpoint(dict(tensors), "conditioner.embedders.0.transformer."))
    torch.testing.assert_close(first, bare(whole.text_encoder.state_dict()), atol=0, rtol=0)


def test_the_architecture_of_sdxl_is_read_off() -> None:
    """stable-diffusion-xl-base-1.0's, with eight channels."""
    from diffusers import UNet2DConditionModel

    published = {
        "block_out_channels": (320, 640, 1280),
        "layers_per_block": 2,
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "projection_class_embeddings_input_dim": 2816,
        "cross_attention_dim": 2048,
    }
    with torch.device("meta"):
        unet = original_xl.make_unet(**published)
        names = {original.unet_name(name, 2, lowest_attends=True): t for name, t in unet.state_dict().items()}
        read = layout.unet_from_original(names)
        again = UNet2DConditionModel.from_config(layout.unet_config(read))
    for name in (*published, "down_block_types", "up_block_types", "addition_embed_type", "addition_time_embed_dim"):
        ours, theirs = (tuple(value) if isinstance(value := u.config[name], list) else value for u in (again, unet))
        assert ours == theirs, name
    shapes = [{name: tensor.shape for name, tensor in u.state_dict().items()} for u in (again, unet)]
    assert shapes[0] == shapes[1]


# --- What is not in the file


@pytest.mark.parametrize("original_names", [True, False])
def test_a_unet_alone_is_completed_from_beside(whole: Editor, folder: Path, original_names: bool) -> None:
    path = folder / "unet.safetensors"
    tensors = original_xl.unet_tensors(whole.unet) if original_names else whole.unet.state_dict()
    prefix = "model.diffusion_model." if original_names else ""
    save_file({prefix + name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    assert find_model(str(path)).defaults == SDXL_DEFAULTS
    for part in PARTS[1:]:
        with pytest.raises(ModelError, match=rf"holds no {part.replace('_', ' ')}, .*stable-diffusion-xl.*beside"):
            load(path)
        getattr(whole, part).save_pretrained(folder / part)
    same(load(path), whole)
    editor = load(path, "fp16")
    assert (editor.unet.dtype, editor.vae.dtype) == (torch.float16, torch.float32)


def cached(root: Path, repository: str) -> Path:
    """The empty snapshot folder of a repository in the hub's cache."""
    home = root / "cache" / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("c" * 40)
    (home / "snapshots" / ("c" * 40)).mkdir(parents=True)
    return home / "snapshots" / ("c" * 40)


def test_the_tokenizers_are_found_in_the_cache(whole: Editor, file: Path, tmp_path: Path) -> None:
    for part in ("tokenizer", "tokenizer_2"):
        (file.parent / part).rename(tmp_path / part)
    with pytest.raises(ModelError, match=r"holds no tokenizer, .*offline.*tokenizer/ of stabilityai"):
        load(file)
    # Padded with the end mark, as CLIP's and OpenCLIP's own repositories have it: that must not matter.
    whole.tokenizer.save_pretrained(cached(tmp_path, "openai/clip-vit-large-patch14"))
    editor = load(file)
    assert (editor.tokenizer.pad_token, editor.tokenizer_2.pad_token) == ("<|endoftext|>", "!")
    torch.testing.assert_close(one_edit(editor), one_edit(whole), atol=1e-4, rtol=0)
    whole.tokenizer.save_pretrained(cached(tmp_path, "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k"))
    assert "laion" in load(file).tokenizer_2.name_or_path
    base = cached(tmp_path, "stabilityai/stable-diffusion-xl-base-1.0")
    original_xl.save_tokenizers(whole, base)
    editor = load(file)
    assert editor.tokenizer.name_or_path == str(base / "tokenizer")
    assert editor.tokenizer_2.name_or_path == str(base / "tokenizer_2")


def test_a_second_tokenizer_that_is_nowhere(file: Path) -> None:
    (file.parent / "tokenizer_2").rename(file.parent / "away")
    with pytest.raises(ModelError, match=r"holds no tokenizer 2, .*Put the folder tokenizer_2/ of stabilityai"):
        load(file)


# --- What does not fit


def test_fp16_keeps_the_vae_in_float32(file: Path) -> None:
    editor = load(file, "fp16")
    assert (editor.unet.dtype, editor.text_encoder_2.dtype, editor.vae.dtype) == (
        torch.float16,
        torch.float16,
        torch.float32,
    )


def test_no_training_of_sdxl(file: Path) -> None:
    with pytest.raises(ModelError, match="training starts from"):
        load(file, use="train")


def test_a_text_to_image_checkpoint(whole: Editor, folder: Path) -> None:
    path = folder / "sd_xl_base_1.0.safetensors"
    save_file(original_xl.checkpoint(replace(whole, unet=original_xl.make_unet(in_channels=4))), path)
    with pytest.raises(ModelError, match=r"is a text-to-image model.*sd_xl_base_1\.0\.safetensors"):
        load(path)


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("model.diffusion_model.label_emb.0.2.bias", "add_embedding.linear_2.bias"),
        ("conditioner.embedders.1.model.text_projection", "text_projection.weight"),
        ("conditioner.embedders.1.model.transformer.resblocks.1.attn.in_proj_bias", "self_attn.k_proj.bias"),
        ("conditioner.embedders.0.transformer.text_model.final_layer_norm.bias", "final_layer_norm.bias"),
        ("model_ema.diffusion_modellabel_emb02bias", "EMA"),
    ],
)
def test_a_missing_tensor_is_named(whole: Editor, folder: Path, lost: str, said: str) -> None:
    path = folder / "model.safetensors"
    tensors = original_xl.checkpoint(whole, ema="ema" in lost)
    del tensors[lost]
    save_file(tensors, path)
    with pytest.raises(ModelError, match=f"lacks .*{said}"):
        load(path)


def _deeper(tensors: dict[str, torch.Tensor]) -> None:
    name = "model.diffusion_model.output_blocks.0.1.transformer_blocks.1.norm1.bias"
    tensors[name.replace("blocks.1.norm1", "blocks.2.norm1")] = tensors[name].clone()


def _shorter_text(tensors: dict[str, torch.Tensor]) -> None:
    name = "conditioner.embedders.1.model.text_projection"
    tensors[name] = tensors[name][:, :20].contiguous()


@pytest.mark.parametrize(
    ("change", "said"), [(_deeper, "1 of its UNet's tensors have no place"), (_shorter_text, "takes 1560 .* give 1556")]
)
def test_parts_that_do_not_fit(
    whole: Editor, folder: Path, change: Callable[[dict[str, torch.Tensor]], None], said: str
) -> None:
    path = folder / "model.safetensors"
    tensors = original_xl.checkpoint(whole)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(ModelError, match=said) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 64, b"\0" * 64])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_damaged_files_have_the_papers_defaults(tmp_path: Path, content: bytes, suffix: str) -> None:
    """Until they are loaded, which says what is wrong."""
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    assert find_model(str(path)).defaults == PAPER_DEFAULTS
    with pytest.raises(ModelError, match="damaged"):
        load(path)
