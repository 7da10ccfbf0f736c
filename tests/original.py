"""A tiny model and its weights under the names of the authors' checkpoints (CompVis' latent diffusion).

Its shapes are those that a file can tell: 8 attention heads, 32 norm groups, CLIP heads of 64.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ip2p_cli.models.loader import Editor
from tests.tiny import SD15_SCHEDULER, SPEC, byte_vocabulary

LAYERS = 1
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def make_unet(in_channels: int = 8, **changes: Any) -> UNet2DConditionModel:
    settings: dict[str, Any] = {
        "sample_size": 64,
        "block_out_channels": (32, 32, 64, 64),
        "layers_per_block": LAYERS,
        "cross_attention_dim": 64,
        "attention_head_dim": 8,
    }
    return UNet2DConditionModel(in_channels=in_channels, out_channels=4, **(settings | changes))


def make_vae(**changes: Any) -> AutoencoderKL:
    settings: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (32, 32, 32, 32),
        "latent_channels": 4,
        "scaling_factor": 0.18215,
        "force_upcast": False,
    }
    return AutoencoderKL(**(settings | changes))


def make_editor() -> Editor:
    """The same weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        tokenizer = CLIPTokenizer(vocab=byte_vocabulary(), merges=[], model_max_length=77)
        config = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=1,
        )
        parts = {"unet": make_unet(), "vae": make_vae(), "text_encoder": CLIPTextModel(config)}
    return Editor(
        **{name: part.eval().requires_grad_(False) for name, part in parts.items()},
        tokenizer=tokenizer,
        scheduler_config=SD15_SCHEDULER,
        spec=SPEC,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )


def _renamed(name: str, table: dict[str, str]) -> str | None:
    for new, old in table.items():
        if name.startswith(new + "."):
            return old + name[len(new) :]
    return None


def unet_name(name: str, layers: int = LAYERS, *, lowest_attends: bool = False) -> str:
    """The original name of diffusers' `name`. lowest_attends: whether the lowest level has attention (SDXL)."""
    outside = _renamed(name, _OUTSIDE)
    if outside:
        return outside
    found = re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name)
    if found:
        number = 1 if found[1] == "attentions" else 2 * int(found[2])
        return f"middle_block.{number}.{_renamed(found[3], _RESNET) or found[3]}"
    found = re.match(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.*)", name)
    assert found, name
    side, level, kind, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    start = f"input_blocks.{level * (layers + 1) + layer + 1}" if side == "down" else ""
    start = start or f"output_blocks.{level * (layers + 1) + layer}"
    if kind == "downsamplers":
        return f"input_blocks.{(level + 1) * (layers + 1)}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        # After the last residual block of a level, and after its attention where it has one: SD 1.5's lowest has none.
        return f"output_blocks.{level * (layers + 1) + layers}.{2 if level or lowest_attends else 1}.{rest}"
    if kind == "attentions":
        return f"{start}.1.{rest}"
    return f"{start}.0.{_renamed(rest, _RESNET)}"


def vae_tensors(vae: AutoencoderKL) -> dict[str, torch.Tensor]:
    levels = len(vae.config.block_out_channels)
    tensors = {}
    for name, tensor in vae.state_dict().items():
        old = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        old = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", old)
        old = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", old)
        old = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", old)
        old = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", old)
        old = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", old)
        old = old.replace("mid_block.attentions.0", "mid.attn_1")
        if "attn_1" in old:
            old = old.replace("group_norm", "norm").replace("to_out.0", "proj_out")
            old = re.sub(r"to_(q|k|v)\.", r"\1.", old)
            if tensor.ndim == 2:
                tensor = tensor[:, :, None, None]  # 1x1 convolutions
        tensors[old] = tensor
    return tensors


def unet_tensors(unet: UNet2DConditionModel) -> dict[str, torch.Tensor]:
    return {unet_name(name): tensor for name, tensor in unet.state_dict().items()}


def averaged(unet: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """With `unet` as the averaged weights, and others as the trained ones."""
    tensors = {name: tensor + 0.5 for name, tensor in unet.items()}
    for name, tensor in unet.items():
        tensors["model_ema." + name.removeprefix("model.").replace(".", "")] = tensor
    tensors["model_ema.decay"] = torch.tensor(0.9999)
    tensors["model_ema.num_updates"] = torch.tensor(22000, dtype=torch.int32)
    return tensors


def checkpoint(editor: Editor, *, ema: bool) -> dict[str, torch.Tensor]:
    """Everything in one: with `ema`, the editor's weights are the averaged ones and the trained ones are others."""
    unet = {f"model.diffusion_model.{name}": tensor for name, tensor in unet_tensors(editor.unet).items()}
    tensors = averaged(unet) if ema else dict(unet)
    tensors |= {f"first_stage_model.{name}": tensor for name, tensor in vae_tensors(editor.vae).items()}
    for name, tensor in editor.text_encoder.state_dict().items():
        bare = name.removeprefix("text_model.")
        tensors[f"cond_stage_model.transformer.text_model.{bare}"] = tensor
    tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    tensors["betas"] = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    return {name: tensor.contiguous().clone() for name, tensor in tensors.items()}


def save_tokenizer(editor: Editor, folder: Path) -> None:
    editor.tokenizer.save_pretrained(folder / "tokenizer")
