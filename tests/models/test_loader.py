"""Loading by components: what is saved comes back, and what is wrong is named."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from ip2p_cli.diffusion import editing
from ip2p_cli.errors import ModelError
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import MODELS, find_model
from tests.edits import one_edit
from tests.tiny import SD15_SCHEDULER, byte_vocabulary, save_editor, tiny_unet


def load(folder: Path, dtype: str = "fp32") -> Editor:
    return load_editor(find_model(str(folder)), device="cpu", dtype=dtype)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    copy = tmp_path / "copy"
    shutil.copytree(tiny_folder, copy)
    return copy


def test_what_is_saved_comes_back(tiny_editor: Editor, tiny_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    editor = load(tiny_folder)
    for part in ("unet", "vae", "text_encoder"):
        torch.testing.assert_close(
            getattr(editor, part).state_dict(), getattr(tiny_editor, part).state_dict(), atol=0, rtol=0
        )
    torch.testing.assert_close(one_edit(editor), one_edit(tiny_editor), atol=1e-4, rtol=0)
    assert editor.scheduler_config == SD15_SCHEDULER
    assert (editor.vae_factor, editor.scaling_factor, editor.latent_channels, editor.text_length) == (8, 0.18215, 4, 77)
    assert not any(weight.requires_grad for weight in editor.unet.parameters())
    assert not editor.unet.training
    assert capfd.readouterr().err == ""


def test_bf16(tiny_folder: Path) -> None:
    editor = load(tiny_folder, "bf16")
    assert editor.dtype == editor.unet.dtype == editor.text_encoder.dtype == torch.bfloat16
    # Rounded to bf16 its pictures would be off by several grey levels.
    assert editor.vae.dtype == torch.float32


def test_vae_that_asks_for_float32(folder: Path) -> None:
    config = folder / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"force_upcast": True}))
    editor = load(folder, "fp16")  # loading in fp16 works on the CPU; running is what `pick_dtype` refuses
    assert (editor.unet.dtype, editor.vae.dtype) == (torch.float16, torch.float32)
    assert editing.encode_image(editor, torch.zeros(1, 3, 64, 64)).tensor.dtype == torch.float32


def test_patch_autoencoder(tiny_editor: Editor, tmp_path: Path) -> None:
    from ip2p_cli.models.nano.autoencoder import PatchAutoencoder

    patches = PatchAutoencoder(patch_size=4, latent_channels=4, scaling_factor=0.5)
    patches.basis.copy_(torch.randn(patches.basis.shape, generator=torch.Generator().manual_seed(0)))
    editor = load(save_editor(replace(tiny_editor, vae=patches), tmp_path / "model"))
    assert isinstance(editor.vae, PatchAutoencoder)
    assert (editor.vae_factor, editor.scaling_factor, editor.latent_channels) == (4, 0.5, 4)
    pixels = torch.rand(1, 3, 32, 64) * 2 - 1
    assert editing.encode_image(editor, pixels).tensor.shape == (1, 4, 8, 16)
    torch.testing.assert_close(editor.vae.basis, patches.basis)


def test_published_names_of_the_text_encoder(tiny_editor: Editor, folder: Path) -> None:
    path = folder / "text_encoder" / "model.safetensors"
    saved = load_file(path)
    assert not any(name.startswith("text_model.") for name in saved)
    save_file({f"text_model.{name}": tensor for name, tensor in saved.items()}, path, {"format": "pt"})
    states = editing.encode_text(load(folder), ["make it winter"])
    torch.testing.assert_close(states, editing.encode_text(tiny_editor, ["make it winter"]))


def test_published_files_of_the_tokenizer(tiny_editor: Editor, folder: Path) -> None:
    tokenizer = folder / "tokenizer"
    shutil.rmtree(tokenizer)
    tokenizer.mkdir()
    (tokenizer / "vocab.json").write_text(json.dumps(byte_vocabulary()))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(config))
    text = "turn the cat into a dog!"
    assert load(folder).tokenizer(text).input_ids == tiny_editor.tokenizer(text).input_ids


def test_half_precision_files_will_do(folder: Path, tiny_editor: Editor) -> None:
    for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        plain = folder / part / f"{name}.safetensors"
        halves = {key: tensor.half() for key, tensor in load_file(plain).items()}
        save_file(halves, folder / part / f"{name}.fp16.safetensors", {"format": "pt"})
        plain.unlink()
    editor = load(folder)
    assert editor.unet.dtype == torch.float32
    torch.testing.assert_close(one_edit(editor), one_edit(tiny_editor), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    "path",
    [
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_missing_file_is_named(folder: Path, path: str) -> None:
    (folder / path).unlink()
    with pytest.raises(ModelError, match="lacks") as caught:
        load(folder)
    assert str(folder / path) in str(caught.value)


@pytest.mark.parametrize("part", ["unet", "vae"])
@pytest.mark.parametrize("damage", ["truncated", "garbage"])
def test_corrupt_weights_are_named(folder: Path, part: str, damage: str) -> None:
    path = folder / part / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000] if damage == "truncated" else b"nothing of the kind" * 100)
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load(folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("part", "name"), [("unet", "diffusion_pytorch_model"), ("text_encoder", "model")])
def test_missing_tensor_is_named(folder: Path, part: str, name: str) -> None:
    path = folder / part / f"{name}.safetensors"
    tensors = load_file(path)
    lost = sorted(tensors)[-1]
    del tensors[lost]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ModelError, match="lacks 1 tensors") as caught:
        load(folder)
    assert str(path) in str(caught.value)


def test_text_to_image_model(folder: Path) -> None:
    shutil.rmtree(folder / "unet")
    tiny_unet(in_channels=4).save_pretrained(folder / "unet")
    with pytest.raises(ModelError, match="is a text-to-image model: its UNet takes 4 channels"):
        load(folder)


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_other_models(folder: Path) -> None:
    rewrite(folder / "unet" / "config.json", in_channels=9)
    with pytest.raises(ModelError, match="9 channels instead of 8"):
        load(folder)
    rewrite(folder / "unet" / "config.json", in_channels=8)
    rewrite(folder / "vae" / "config.json", _class_name="AutoencoderTiny")
    with pytest.raises(ModelError, match="AutoencoderTiny"):
        load(folder)
    rewrite(folder / "vae" / "config.json", _class_name="AutoencoderKL")
    rewrite(folder / "model_index.json", text_encoder_2=["transformers", "CLIPTextModelWithProjection"])
    with pytest.raises(ModelError, match="text_encoder_2"):
        load(folder)


def test_missing_built_in_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="missing"):
        load_editor(replace(MODELS["nano"], source=str(tmp_path / "gone")), device="cpu", dtype="fp32")


@pytest.mark.parametrize("variable", ["IP2P_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_says_so_at_once(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    def network(*_: Any, local_files_only: bool = False, **__: Any) -> str:
        assert local_files_only, "the network was asked"
        raise FileNotFoundError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", network)
    monkeypatch.setenv(variable, "1")
    started = time.monotonic()
    with pytest.raises(ModelError, match="offline") as caught:
        load_editor(MODELS["magicbrush"], device="cpu", dtype="fp32")
    assert time.monotonic() - started < 2
    message = str(caught.value)
    assert "hf download vinesmsuic/magicbrush-jul7 --revision refs/pr/2" in message
    assert "--model nano" in message


def test_network_failure_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def network(*_: Any, local_files_only: bool = False, **__: Any) -> str:
        if local_files_only:
            raise FileNotFoundError
        raise ConnectionError("Name or service not known\nand a page of advice")

    for variable in ("IP2P_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", network)
    with pytest.raises(ModelError, match="Name or service not known") as caught:
        load_editor(MODELS["instruct-pix2pix"], device="cpu", dtype="fp32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("dtype", "first"), [("fp32", None), ("fp16", "fp16")])
def test_hub_files_are_fetched_by_component(
    monkeypatch: pytest.MonkeyPatch, tiny_folder: Path, dtype: str, first: str | None
) -> None:
    asked: list[dict[str, Any]] = []

    def network(source: str, *, local_files_only: bool = False, **rest: Any) -> str:
        if local_files_only:
            raise FileNotFoundError
        asked.append({"source": source, **rest})
        return str(tiny_folder)

    for variable in ("IP2P_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", network)
    editor = load_editor(MODELS["magicbrush"], device="cpu", dtype=dtype)
    assert editor.spec is MODELS["magicbrush"]
    assert (asked[0]["source"], asked[0]["revision"]) == ("vinesmsuic/magicbrush-jul7", "refs/pr/2")
    wanted = f"unet/diffusion_pytorch_model{'.' + first if first else ''}.safetensors"
    assert wanted in asked[0]["allow_patterns"]
    assert not any(pattern.endswith((".bin", ".ckpt")) for pattern in asked[0]["allow_patterns"])
    assert len(asked) == 1
