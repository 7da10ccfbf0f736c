"""A random FLUX.1 Kontext pipeline in 1 MB, VAE factor 8, with tokenizers built here."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxKontextPipeline, FluxTransformer2DModel
from transformers import CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

from tests.tiny import byte_vocabulary, tiny_text_encoder


def t5_tokenizer() -> T5TokenizerFast:
    letters = [chr(code) for code in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((piece, -2.0) for piece in ["▁", *letters])]
    return T5TokenizerFast(vocab=pieces, extra_ids=0)


def tiny_kontext(*, guidance_embeds: bool = True) -> FluxKontextPipeline:
    """The same weights at every call, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        transformer = FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=guidance_embeds,
        )
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 16, 16, 16),
            latent_channels=4,
            norm_num_groups=4,
            scaling_factor=0.3611,
            shift_factor=0.1159,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )
        clip = CLIPTokenizer(vocab=byte_vocabulary(), merges=[], model_max_length=77)
        t5 = t5_tokenizer()
        config = T5Config(vocab_size=len(t5), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
        parts = {
            "transformer": transformer,
            "vae": vae,
            "text_encoder": tiny_text_encoder(len(clip)),
            "text_encoder_2": T5EncoderModel(config),
        }
    return FluxKontextPipeline(
        **{name: part.eval().requires_grad_(False) for name, part in parts.items()},
        tokenizer=clip,
        tokenizer_2=t5,
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )


def save_kontext(folder: Path, *, guidance_embeds: bool = True) -> Path:
    tiny_kontext(guidance_embeds=guidance_embeds).save_pretrained(folder)
    return folder
