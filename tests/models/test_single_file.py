"""One file with everything: the averaged weights come out of it, and nothing in it is ever run."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from safetensors.torch import save_file

from ip2p_cli.diffusion import editing
from ip2p_cli.errors import ModelError
from ip2p_cli.models import layout
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import find_model
from tests import original


@pytest.fixture(scope="session")
def whole() -> Editor:
    torch.set_num_threads(1)
    return original.make_editor()


@pytest.fixture
def folder(whole: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tokenizer in it; nothing is cached on this machine, and it is offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IP2P_OFFLINE", "1")
    (tmp_path / "models").mkdir()
    original.save_tokenizer(whole, tmp_path / "models")
    return tmp_path / "models"


def load(path: Path, **rest: Any) -> Editor:
    return load_editor(find_model(str(path)), device="cpu", dtype="fp32", **rest)


def lightning(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """As Lightning saves it: with bookkeeping around."""
    return {"epoch": 3, "global_step": 22000, "pytorch-lightning_version": "1.4.2", "state_dict": tensors}


def same(editor: Editor, other: Editor) -> None:
    for part in ("unet", "vae", "text_encoder"):
        ours, theirs = getattr(editor, part).state_dict(), getattr(other, part).state_dict()
        torch.testing.assert_close(ours, theirs, atol=0, rtol=0)


@pytest.mark.parametrize("ema", [True, False])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_the_averaged_weights_come_out(
    whole: Editor, folder: Path, suffix: str, ema: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder / f"instruct-pix2pix-00-22000{suffix}"
    tensors = original.checkpoint(whole, ema=ema)
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(lightning(tensors), path)
    editor = load(path)
    same(editor, whole)
    assert capfd.readouterr().err == ""
    latent, text = torch.randn(1, 8, 8, 8), editing.encode_text(editor, ["make it winter"])
    torch.testing.assert_close(text, editing.encode_text(whole, ["make it winter"]))
    ours, theirs = (e.unet(latent, 500, text).sample for e in (editor, whole))
    torch.testing.assert_close(ours, theirs)
    config = editor.scheduler_config
    assert (config["prediction_type"], config["beta_schedule"]) == ("epsilon", "scaled_linear")
    assert (editor.vae_factor, editor.scaling_factor, editor.text_length) == (8, 0.18215, 77)


def test_a_file_from_before_zip_archives(whole: Editor, folder: Path) -> None:
    path = folder / "old.ckpt"
    torch.save(original.checkpoint(whole, ema=True), path, _use_new_zipfile_serialization=False)
    same(load(path), whole)


def test_lightnings_bookkeeping_is_not_imported(whole: Editor, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The original checkpoint names a class of Lightning as a key."""
    parts = ["pytorch_lightning", "callbacks", "model_checkpoint"]
    names = [".".join(parts[:count]) for count in (1, 2, 3)]
    callback = type("ModelCheckpoint", (), {"__module__": names[2]})
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules[names[2]], "ModelCheckpoint", callback, raising=False)
    path = folder / "model.ckpt"
    torch.save({**lightning(original.checkpoint(whole, ema=True)), "callbacks": {callback: {"best": 1.0}}}, path)
    for name in names:
        monkeypatch.delitem(sys.modules, name)
    same(load(path), whole)
    assert not set(names) & set(sys.modules)


def test_our_names_are_those_that_diffusers_knows(whole: Editor) -> None:
    """The judge of tests/original.py as well as of `layout`."""
    tensors = original.unet_tensors(whole.unet)
    prefixed = {f"model.diffusion_model.{name}": tensor for name, tensor in tensors.items()}
    theirs = convert_ldm_unet_checkpoint(prefixed, dict(whole.unet.config))
    ours = layout.unet_from_original(tensors)
    assert set(theirs) == set(ours) == set(whole.unet.state_dict())
    assert all(theirs[name] is ours[name] for name in ours)


def test_the_architecture_of_stable_diffusion_is_read_off() -> None:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(in_channels=8, cross_attention_dim=768, attention_head_dim=8, sample_size=64)
    config = layout.unet_config(unet.state_dict())
    names = ("in_channels", "layers_per_block", "cross_attention_dim", "use_linear_projection", "sample_size")
    assert {name: config[name] for name in names} == {name: unet.config[name] for name in names}
    for name in ("block_out_channels", "down_block_types", "up_block_types"):
        assert tuple(config[name]) == tuple(unet.config[name]), name
    renamed = {original.unet_name(name, 2): tensor for name, tensor in unet.state_dict().items()}
    assert set(layout.unet_from_original(renamed)) == set(unet.state_dict())


@pytest.mark.parametrize("prefix", ["", "unet.", "model.diffusion_model."])
def test_a_unet_alone_is_completed_from_beside(whole: Editor, folder: Path, prefix: str) -> None:
    path = folder / "unet.safetensors"
    tensors = original.unet_tensors(whole.unet) if "model" in prefix else whole.unet.state_dict()
    save_file({prefix + name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    with pytest.raises(ModelError, match=r"holds no vae.*offline.*beside the file"):
        load(path)
    whole.vae.save_pretrained(folder / "vae")
    whole.text_encoder.save_pretrained(folder / "text_encoder")
    same(load(path), whole)


def test_the_tokenizer_is_found_in_the_cache(whole: Editor, folder: Path, tmp_path: Path) -> None:
    path = folder / "model.safetensors"
    save_file(original.checkpoint(whole, ema=False), path)
    (folder / "tokenizer").rename(tmp_path / "away")
    with pytest.raises(ModelError, match="holds no tokenizer") as caught:
        load(path)
    assert str(folder / "tokenizer") in str(caught.value)
    repository = tmp_path / "cache" / "models--openai--clip-vit-large-patch14"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c" * 40)
    (repository / "snapshots").mkdir()
    (tmp_path / "away").rename(repository / "snapshots" / ("c" * 40))
    same(load(path), whole)


def test_a_tokenizer_of_another_model(whole: Editor, folder: Path) -> None:
    from transformers import CLIPTokenizer

    path = folder / "model.safetensors"
    save_file(original.checkpoint(whole, ema=False), path)
    words = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}
    CLIPTokenizer(vocab=words, merges=[]).save_pretrained(folder / "tokenizer")
    with pytest.raises(ModelError, match="514 tokens"):
        load(path)


class Malice:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_does_not_run(folder: Path, tmp_path: Path, zipped: bool) -> None:
    target, path = tmp_path / "owned", folder / "model.ckpt"
    torch.save({"state_dict": {"a": Malice(target)}}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="never does that") as caught:
        load(path)
    assert not target.exists()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bare_malicious_pickle_does_not_run(folder: Path, tmp_path: Path) -> None:
    target, path = tmp_path / "owned", folder / "model.ckpt"
    path.write_bytes(pickle.dumps(Malice(target)))
    with pytest.raises(ModelError, match=r"model\.ckpt"):
        load(path)
    assert not target.exists()


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_damaged_files(whole: Editor, folder: Path, suffix: str, damage: str) -> None:
    path = folder / f"model{suffix}"
    tensors = original.checkpoint(whole, ema=False)
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    content = {"truncated": path.read_bytes()[:-1000], "garbage": b"nothing of the kind" * 100, "empty": b""}
    path.write_bytes(content[damage])
    with pytest.raises(ModelError, match="damaged") as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("model.diffusion_model.middle_block.0.in_layers.2.bias", "mid_block.resnets.0.conv1.bias"),
        ("model.diffusion_model.out.2.weight", "conv_out.weight"),
        ("first_stage_model.quant_conv.bias", "quant_conv.bias"),
        ("first_stage_model.decoder.conv_in.weight", "decoder.conv_in.weight"),
        ("cond_stage_model.transformer.text_model.final_layer_norm.bias", "final_layer_norm.bias"),
    ],
)
def test_a_missing_tensor_is_named(whole: Editor, folder: Path, lost: str, said: str) -> None:
    path = folder / "model.safetensors"
    tensors = original.checkpoint(whole, ema=False)
    del tensors[lost]
    save_file(tensors, path)
    with pytest.raises(ModelError, match=f"lacks .*{said}"):
        load(path)


def test_a_missing_averaged_tensor_is_named(whole: Editor, folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = original.checkpoint(whole, ema=True)
    del tensors["model_ema.diffusion_modelout2bias"]
    save_file(tensors, path)
    with pytest.raises(ModelError, match=r"lacks 1 of its EMA tensors, such as model_ema\.diffusion_modelout2bias"):
        load(path)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["lora_unet_mid_block_attentions_0_proj_in.lora_down.weight"], "give it as --lora"),
        (["unet.conv_in.lora_A.weight"], "give it as --lora"),
        (["edm_mean", "conditioner.embedders.0.x"], "Playground"),
        (["cond_stage_model.model.token_embedding.weight"], "Stable Diffusion 2"),
        (["encoder.conv_in.weight", "decoder.conv_in.weight"], "give it as --vae"),
        (["fc.weight"], "holds no UNet"),
    ],
)
def test_other_files_get_a_hint(folder: Path, names: list[str], said: str) -> None:
    path = folder / "other.safetensors"
    save_file({name: torch.zeros(2, 2) for name in names}, path)
    with pytest.raises(ModelError, match=said) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_text_to_image_checkpoint(whole: Editor, folder: Path) -> None:
    from dataclasses import replace

    path = folder / "sd15.safetensors"
    save_file(original.checkpoint(replace(whole, unet=original.make_unet(in_channels=4)), ema=False), path)
    with pytest.raises(ModelError, match=r"is a text-to-image model.*sd15\.safetensors"):
        load(path)
    assert load(path, use="train").unet.config.in_channels == 4


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for name in ("models/x.ckpt", str(tmp_path / "y.safetensors")):
        with pytest.raises(ModelError, match="no such file"):
            find_model(name)
    torch.save({"a": 1}, tmp_path / "z.ckpt")
    with pytest.raises(ModelError, match="holds no tensors"):
        load(tmp_path / "z.ckpt")


def test_a_loaded_model_outlives_its_file(whole: Editor, folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file(original.checkpoint(whole, ema=False), path)
    editor = load(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    same(editor, whole)


@pytest.mark.parametrize("bomb", ["compressed", "overlapping", "many"])
def test_a_zip_that_unpacks_to_gigabytes_is_refused_by_its_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, bomb: str
) -> None:
    path = folder / "model.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data/1", bytes(50_000_000 if bomb == "compressed" else 10))
        if bomb == "overlapping":
            archive.filelist += [copy.copy(max(archive.filelist, key=lambda part: part.compress_size))] * 100
        if bomb == "many":
            for number in range(200):
                archive.writestr(f"model/data/{number + 2}", b"x")
        archive._didModify = True  # type: ignore[attr-defined]
    monkeypatch.setattr("ip2p_cli.models.tensors._MAX_MEMBERS", 150)
    monkeypatch.setattr("torch.load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(ModelError, match="would unpack to") as caught:
        load(path)
    assert "\n" not in str(caught.value)
