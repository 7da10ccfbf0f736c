"""Names of Stable Diffusion's weights, and the architecture that follows from the weights' shapes.

"Original" names are those of the authors' checkpoints (CompVis' latent diffusion); the others are diffusers' names.
What does not follow from shapes is as in Stable Diffusion 1.5 (8 attention heads, 32 norm groups, CLIP heads of 64), or
as in SDXL where a UNet takes sizes and pooled text (heads of 64, 256 numbers for each size, OpenCLIP's text encoder).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

Tensors = Mapping[str, torch.Tensor]

# Layers inside a residual block.
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_OUTSIDE = {
    "input_blocks.0.0": "conv_in",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
# Parts of a layer of OpenCLIP's transformer, except in_proj, which holds three projections.
_OPENCLIP = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_OPENCLIP_OUTSIDE = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_SIZE_EMBEDDING = 256
_HEAD_CHANNELS = 64
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}


def unet_name(name: str, layers: int, separator: str = ".") -> str:
    """Translate an original name in a UNet to diffusers' name; other names are returned as they are.

    Args:
        name: The original name.
        layers: Residual blocks in a level.
        separator: The sign between parts of `name`: "_" in LoRA files. The result may contain dots even then.
    """
    renamed = _rename_start(name, _OUTSIDE, separator)
    if renamed is not None:
        return renamed
    gap = re.escape(separator)
    match = re.match(rf"(input_blocks|output_blocks){gap}([0-9]{{1,2}}){gap}([0-9]{{1,2}}){gap}(.*)", name)
    if match:
        side, number, inner, rest = match[1], int(match[2]), match[3], match[4]
        return _in_level(side == "input_blocks", number, inner, rest, layers, separator)
    match = re.match(rf"middle_block{gap}([012]){gap}(.*)", name)
    if match:
        return f"mid_block.{_MIDDLE[match[1]]}.{_in_resnet(match[2], separator)}"
    return name


def _rename_start(name: str, names: Mapping[str, str], separator: str) -> str | None:
    """Replace the start of `name` by the table `names`; None where no entry matches."""
    for old, new in names.items():
        old = old.replace(".", separator)
        if name == old or name.startswith(old + separator):
            return new + name[len(old) :]
    return None


def _in_level(going_down: bool, number: int, inner: str, rest: str, layers: int, separator: str) -> str:
    # Block 0 of the way down is the input convolution.
    level, layer = divmod(number - 1 if going_down else number, layers + 1)
    block = f"down_blocks.{level}" if going_down else f"up_blocks.{level}"
    resampler = _rename_start(rest, {"op": "downsamplers.0.conv", "conv": "upsamplers.0.conv"}, separator)
    if resampler is not None:
        return f"{block}.{resampler}"
    if inner == "0":
        return f"{block}.resnets.{layer}.{_in_resnet(rest, separator)}"
    return f"{block}.attentions.{layer}.{rest}"


def _in_resnet(rest: str, separator: str) -> str:
    return _rename_start(rest, _RESNET, separator) or rest


def unet_from_original(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Rename a UNet's tensors, without "model.diffusion_model.", to diffusers' names."""
    matches = (re.match(r"input_blocks\.([0-9]{1,2})\.0\.op\.weight", name) for name in tensors)
    # The first downsampling is the last block of the first level.
    layers = min((int(match[1]) for match in matches if match), default=3) - 1
    return {unet_name(name, layers): tensor for name, tensor in tensors.items()}


def unet_config(tensors: Tensors) -> dict[str, Any]:
    """The config of a UNet2DConditionModel for `tensors` in diffusers' names.

    Raises:
        KeyError: A tensor that the config follows from is missing.
    """
    levels = _count(tensors, r"down_blocks\.(\d+)\.")
    cross_down, cross_up = (
        [_has(tensors, f"{side}_blocks.{level}.attentions.") for level in range(levels)] for side in ("down", "up")
    )
    text = tensors["mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"]
    extra = _sdxl_config(tensors, levels) if is_sdxl_unet(tensors) else {}
    return {
        "in_channels": tensors["conv_in.weight"].shape[1],
        "out_channels": tensors["conv_out.weight"].shape[0],
        "block_out_channels": _channels(tensors, "down_blocks"),
        "layers_per_block": _count(tensors, r"down_blocks\.0\.resnets\.(\d+)\."),
        "down_block_types": ["CrossAttnDownBlock2D" if cross else "DownBlock2D" for cross in cross_down],
        "up_block_types": ["CrossAttnUpBlock2D" if cross else "UpBlock2D" for cross in cross_up],
        "cross_attention_dim": text.shape[1],
        "use_linear_projection": tensors["mid_block.attentions.0.proj_in.weight"].ndim == 2,
        "attention_head_dim": 8,
        "sample_size": 64,
        **extra,
    }


def is_sdxl_unet(tensors: Tensors) -> bool:
    """Whether a UNet (diffusers' names) takes sizes and pooled text, as SDXL's does."""
    return _has(tensors, "add_embedding.")


def _sdxl_config(tensors: Tensors, levels: int) -> dict[str, Any]:
    blocks = (rf"down_blocks\.{level}\.attentions\.0\.transformer_blocks\.(\d+)\." for level in range(levels))
    return {
        "transformer_layers_per_block": [max(1, _count(tensors, block)) for block in blocks],
        # diffusers' name for the number of heads.
        "attention_head_dim": [max(1, count // _HEAD_CHANNELS) for count in _channels(tensors, "down_blocks")],
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": _SIZE_EMBEDDING,
        "projection_class_embeddings_input_dim": tensors["add_embedding.linear_1.weight"].shape[1],
        "sample_size": 128,
    }


def vae_from_original(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Rename a VAE's tensors, without "first_stage_model.", to diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    levels = _count(tensors, r"encoder\.down\.(\d+)\.")
    blocks = {"down_block_types": [""] * levels, "up_block_types": [""] * levels}  # only their number is used
    return dict(convert_ldm_vae_checkpoint(dict(tensors), blocks))


def vae_with_new_names(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Rename attention layers of published VAEs to the names of diffusers 0.15 and later."""
    new = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    pattern = re.compile(r"(attentions\.\d+)\.(query|key|value|proj_attn)\.")
    return {pattern.sub(lambda m: f"{m[1]}.{new[m[2]]}.", name): tensor for name, tensor in tensors.items()}


def vae_config(tensors: Tensors, scaling_factor: float) -> dict[str, Any]:
    """The config of an AutoencoderKL for `tensors` in diffusers' names; raises KeyError as `unet_config` does."""
    levels = _count(tensors, r"encoder\.down_blocks\.(\d+)\.")
    return {
        "in_channels": tensors["encoder.conv_in.weight"].shape[1],
        "out_channels": tensors["decoder.conv_out.weight"].shape[0],
        "latent_channels": tensors["decoder.conv_in.weight"].shape[1],
        "block_out_channels": _channels(tensors, "encoder.down_blocks"),
        "layers_per_block": _count(tensors, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "use_quant_conv": "quant_conv.weight" in tensors,
        "use_post_quant_conv": "post_quant_conv.weight" in tensors,
        "scaling_factor": scaling_factor,
        "force_upcast": False,
        "sample_size": 512,
    }


def clip_config(tensors: Tensors) -> dict[str, Any]:
    """The config of a CLIP text encoder for `tensors`, named from "embeddings." on; raises as `unet_config` does."""
    words, width = tensors["embeddings.token_embedding.weight"].shape
    return {
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": tensors["encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": _count(tensors, r"encoder\.layers\.(\d+)\."),
        "num_attention_heads": max(1, width // 64),
        "max_position_embeddings": tensors["embeddings.position_embedding.weight"].shape[0],
        "hidden_act": "quick_gelu",
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }


def openclip_from_original(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Rename OpenCLIP's text encoder, without "conditioner.embedders.1.model.", to transformers' names.

    The new names start with "embeddings.", "encoder." or "text_projection."; unknown tensors are dropped.
    """
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if name in _OPENCLIP_OUTSIDE:
            renamed[_OPENCLIP_OUTSIDE[name]] = tensor
        elif name == "text_projection":
            renamed["text_projection.weight"] = tensor.T.contiguous()
        elif match := re.match(r"transformer\.resblocks\.(\d+)\.(.*)\.(\w+)$", name):
            renamed |= _openclip_layer(f"encoder.layers.{match[1]}", match[2], match[3], tensor)
    return renamed


def _openclip_layer(layer: str, inner: str, last: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    if inner == "attn":
        last = last.removeprefix("in_proj_")
        thirds = zip("qkv", tensor.chunk(3), strict=False)
        return {f"{layer}.self_attn.{part}_proj.{last}": third for part, third in thirds}
    return {f"{layer}.{_OPENCLIP.get(inner, inner)}.{last}": tensor}


def openclip_config(tensors: Tensors) -> dict[str, Any]:
    """The config of SDXL's second text encoder for tensors from `openclip_from_original`."""
    width = tensors["text_projection.weight"].shape[0]
    return clip_config(tensors) | {"hidden_act": "gelu", "projection_dim": width}


def _count(tensors: Tensors, pattern: str) -> int:
    """One more than the largest number that `pattern` matches in the names."""
    # Larger numbers are no model's; a range of them could fill the memory.
    compiled = re.compile(pattern.replace(r"\d+", "[0-9]{1,2}"))
    return max((int(match[1]) + 1 for name in tensors if (match := compiled.match(name))), default=0)


def _channels(tensors: Tensors, blocks: str) -> list[int]:
    """The channels of each level of a UNet or VAE; raises KeyError where a level has no residual block."""
    levels = _count(tensors, re.escape(blocks) + r"\.(\d+)\.")
    return [tensors[f"{blocks}.{level}.resnets.0.conv2.weight"].shape[0] for level in range(levels)]


def _has(tensors: Tensors, start: str) -> bool:
    return any(name.startswith(start) for name in tensors)
