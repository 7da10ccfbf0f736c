"""LoRAs for SDXL: both text encoders, and a UNet whose levels hold several transformer blocks."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ip2p_cli.diffusion.samplers import make_scheduler
from ip2p_cli.errors import ModelError
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.lora import fuse
from ip2p_cli.models.registry import find_model
from ip2p_cli.types import Lora
from tests import original
from tests.edits import one_edit
from tests.tiny import tiny_editor
from tests.tiny_xl import XL_SCHEDULER, save_xl_editor, tiny_xl_editor

pytestmark = pytest.mark.numeric

RANK = 2
UNET = (
    "down_blocks.2.attentions.0.transformer_blocks.1.attn2.to_k",
    "up_blocks.0.attentions.1.transformer_blocks.1.ff.net.2",
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0",
    "down_blocks.0.resnets.0.conv1",
    "up_blocks.0.upsamplers.0.conv",
    "add_embedding.linear_1",
)
LAYERS = {
    "unet": UNET,
    "text_encoder": ("encoder.layers.0.self_attn.q_proj",),
    "text_encoder_2": ("encoder.layers.2.mlp.fc1", "encoder.layers.0.self_attn.out_proj"),
}
Pairs = dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_xl_editor()


def layer(editor: Editor, model: str, name: str) -> Any:
    named = {key.removeprefix("text_model."): part for key, part in getattr(editor, model).named_modules()}
    return named[name]


@pytest.fixture(scope="module")
def pairs(editor: Editor) -> Pairs:
    generator = torch.Generator().manual_seed(0)
    made = {}
    for model, names in LAYERS.items():
        for name in names:
            out, *rest = layer(editor, model, name).weight.shape
            down = torch.randn(RANK, *rest, generator=generator)
            made[model, name] = down, torch.randn(out, RANK, *[1] * (len(rest) - 1), generator=generator)
    return made


def kohya(pairs: Pairs, original_names: bool) -> dict[str, torch.Tensor]:
    """As kohya writes them for SDXL: the UNet's by the authors' names, or diffusers'."""
    starts = {"unet": "lora_unet_", "text_encoder": "lora_te1_text_model.", "text_encoder_2": "lora_te2_text_model."}
    tensors = {}
    for (model, name), (down, up) in pairs.items():
        if model == "unet" and original_names:
            names = {"add_embedding.linear_1": "label_emb.0.0"}
            name = names.get(name) or original.unet_name(f"{name}.weight", 1, lowest_attends=True).removesuffix(
                ".weight"
            )
        flat = (starts[model] + name).replace(".", "_")
        tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
    return tensors


def diffusers(pairs: Pairs) -> dict[str, torch.Tensor]:
    tensors = {}
    for (model, name), (down, up) in pairs.items():
        start = f"{model}.{name}" if model == "unet" else f"{model}.text_model.{name}"
        tensors |= {f"{start}.lora_A.weight": down, f"{start}.lora_B.weight": up}
    return tensors


@pytest.mark.parametrize("how", ["kohya", "kohya, diffusers' names", "diffusers"])
def test_fused_is_weight_plus_product(editor: Editor, pairs: Pairs, tmp_path: Path, how: str) -> None:
    path = tmp_path / "style.safetensors"
    save_file(diffusers(pairs) if how == "diffusers" else kohya(pairs, how == "kohya"), path)
    changed = copy.deepcopy(editor)
    parts = {name: getattr(changed, name) for name in LAYERS}
    fuse(Lora(path=path, weight=0.5), **parts)
    for model, names in LAYERS.items():
        for name, before in getattr(editor, model).named_parameters():
            plain = name.removeprefix("text_model.").removesuffix(".weight")
            expected = before.data
            if plain in names and name.endswith(".weight"):
                down, up = pairs[model, plain]
                expected = before + 0.5 * torch.einsum("or,r...->o...", up.flatten(1), down)
            after = dict(parts[model].named_parameters())[name]
            torch.testing.assert_close(after.data, expected, atol=1e-5, rtol=1e-5)


def test_it_is_loaded_with_the_model(editor: Editor, pairs: Pairs, tmp_path: Path) -> None:
    path = tmp_path / "style.safetensors"
    save_file(kohya(pairs, True), path)
    folder = save_xl_editor(editor, tmp_path / "model", make_scheduler("euler", XL_SCHEDULER, 2))
    lora = Lora(path=path, weight=0.1)
    loaded = load_editor(find_model(str(folder)), device="cpu", dtype="fp32", loras=[lora])
    changed = copy.deepcopy(editor)
    fuse(lora, **{name: getattr(changed, name) for name in LAYERS})
    torch.testing.assert_close(one_edit(loaded), one_edit(changed), atol=1e-4, rtol=0)
    assert not torch.allclose(one_edit(loaded), one_edit(editor), atol=1e-2)


def test_a_model_of_sd15_has_no_second_encoder(pairs: Pairs, tmp_path: Path) -> None:
    path, other = tmp_path / "style.safetensors", tiny_editor()
    save_file({name: tensor for name, tensor in kohya(pairs, True).items() if "te2" in name}, path)
    with pytest.raises(ModelError, match="lora_te2_text_model_encoder_layers"):
        fuse(Lora(path=path), unet=other.unet, text_encoder=other.text_encoder)
