"""A tiny model of SDXL's shape, and its weights under the names of Stability's checkpoints (generative-models).

Its shapes are those that a file can tell: attention heads of 64, 32 norm groups, sizes in 256 numbers each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from ip2p_cli.models.loader import Editor
from ip2p_cli.models.sdxl import COSXL_SCHEDULER, SCALING, SDXL_SCHEDULER
from tests import original
from tests.tiny import SPEC, byte_vocabulary

POOLED = 24
_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def make_unet(in_channels: int = 8, **changes: Any) -> UNet2DConditionModel:
    settings: dict[str, Any] = {
        "sample_size": 128,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (32, 64, 128),
        "layers_per_block": original.LAYERS,
        "attention_head_dim": (1, 1, 2),
        "transformer_layers_per_block": (1, 1, 2),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 6 * 256 + POOLED,
        "cross_attention_dim": 192,
    }
    return UNet2DConditionModel(in_channels=in_channels, out_channels=4, **(settings | changes))


def _tokenizer(**rest: str) -> CLIPTokenizer:
    # As CLIP's: the marks at the end, "!" at the start.
    start, end, *letters = byte_vocabulary()
    words = {word: place for place, word in enumerate([*letters, start, end])}
    return CLIPTokenizer(vocab=words, merges=[], model_max_length=77, **rest)


def _text_config(words: int, **rest: Any) -> CLIPTextConfig:
    marks = {"bos_token_id": words - 2, "eos_token_id": words - 1, "pad_token_id": words - 1}
    return CLIPTextConfig(vocab_size=words, intermediate_size=96, num_hidden_layers=2, **marks, **rest)


def make_editor(*, cosxl: bool = False) -> Editor:
    """The same weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first, second = _tokenizer(), _tokenizer(pad_token="!")
        clip = _text_config(len(first), hidden_size=64, num_attention_heads=1)
        bigger = {"hidden_size": 128, "num_attention_heads": 2, "hidden_act": "gelu", "projection_dim": POOLED}
        parts = {
            "unet": make_unet(),
            "vae": original.make_vae(scaling_factor=SCALING),
            "text_encoder": CLIPTextModel(clip),
            "text_encoder_2": CLIPTextModelWithProjection(_text_config(len(second), **bigger)),
        }
    return Editor(
        **{name: part.eval().requires_grad_(False) for name, part in parts.items()},
        tokenizer=first,
        tokenizer_2=second,
        scheduler_config=dict(COSXL_SCHEDULER if cosxl else SDXL_SCHEDULER),
        spec=SPEC,
        device=torch.device("cpu"),
        dtype=torch.float32,
        zero_null_text=True,
        scaled_condition=cosxl,
    )


def openclip_tensors(encoder: CLIPTextModelWithProjection) -> dict[str, torch.Tensor]:
    named = {name.removeprefix("text_model."): tensor for name, tensor in encoder.state_dict().items()}
    tensors = {
        "token_embedding.weight": named.pop("embeddings.token_embedding.weight"),
        "positional_embedding": named.pop("embeddings.position_embedding.weight"),
        "text_projection": named.pop("text_projection.weight").T,
        "ln_final.weight": named.pop("final_layer_norm.weight"),
        "ln_final.bias": named.pop("final_layer_norm.bias"),
        "logit_scale": torch.tensor(4.6),
    }
    for number in range(encoder.config.num_hidden_layers):
        old, new = f"transformer.resblocks.{number}", f"encoder.layers.{number}"
        for kind in ("weight", "bias"):
            thirds = [named.pop(f"{new}.self_attn.{part}_proj.{kind}") for part in "qkv"]
            tensors[f"{old}.attn.in_proj_{kind}"] = torch.cat(thirds)
            for ours, theirs in _LAYER.items():
                tensors[f"{old}.{theirs}.{kind}"] = named.pop(f"{new}.{ours}.{kind}")
    named.pop("embeddings.position_ids", None)
    assert not named, sorted(named)
    return tensors


def unet_tensors(unet: UNet2DConditionModel) -> dict[str, torch.Tensor]:
    return {original.unet_name(name, lowest_attends=True): tensor for name, tensor in unet.state_dict().items()}


def checkpoint(editor: Editor, *, ema: bool = False) -> dict[str, torch.Tensor]:
    """Everything in one file; with `ema`, the trained weights are others than the editor's, which are the averaged."""
    unet = {f"model.diffusion_model.{name}": tensor for name, tensor in unet_tensors(editor.unet).items()}
    tensors = original.averaged(unet) if ema else unet
    tensors |= {f"first_stage_model.{name}": tensor for name, tensor in original.vae_tensors(editor.vae).items()}
    for name, tensor in editor.text_encoder.state_dict().items():
        tensors[f"conditioner.embedders.0.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    tensors["conditioner.embedders.0.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    second = openclip_tensors(editor.text_encoder_2)
    tensors |= {f"conditioner.embedders.1.model.{name}": tensor for name, tensor in second.items()}
    if editor.scaled_condition:
        for end in ("sigma_min", "sigma_max"):
            tensors[f"edm_vpred.{end}"] = torch.tensor(editor.scheduler_config[end])
    return {name: tensor.contiguous().clone() for name, tensor in tensors.items()}


def save_tokenizers(editor: Editor, folder: Path) -> None:
    editor.tokenizer.save_pretrained(folder / "tokenizer")
    editor.tokenizer_2.save_pretrained(folder / "tokenizer_2")
