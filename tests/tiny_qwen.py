"""Random Qwen-Image-Edit pipelines in 1.5 MB, VAE factor 8, with a tokenizer built here; no torchvision."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ip2p_cli.models.qwen import PhotoProcessor

SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def qwen_tokenizer() -> Qwen2Tokenizer:
    """A token a byte, and the special ones."""
    tokens = ["<|endoftext|>", *sorted(ByteLevel.alphabet())]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return Qwen2Tokenizer(vocab=vocabulary, merges=[], extra_special_tokens=list(SPECIAL))


def tiny_text_encoder(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    ids = dict(zip(SPECIAL, tokenizer.convert_tokens_to_ids(list(SPECIAL)), strict=True))
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1000000.0},
            "bos_token_id": None,
            "eos_token_id": 0,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def tiny_vae() -> AutoencoderKLQwenImage:
    return AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 2, 2],
        num_res_blocks=1,
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[0.9, 1.1, 1.2, 0.8],
    )


def tiny_qwen(
    kind: type = QwenImageEditPipeline, *, guidance_embeds: bool = False
) -> QwenImageEditPipeline | QwenImageEditPlusPipeline:
    """The same weights at every call, whatever was drawn before."""
    tokenizer = qwen_tokenizer()
    # At most 16 tokens of the picture.
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 16 * 28 * 28})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        parts = {
            "transformer": QwenImageTransformer2DModel(
                in_channels=16,
                out_channels=4,
                num_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=32,
                guidance_embeds=guidance_embeds,
                axes_dims_rope=(4, 4, 8),
            ),
            "vae": tiny_vae(),
            "text_encoder": tiny_text_encoder(tokenizer),
        }
    return kind(
        **{name: part.eval().requires_grad_(False) for name, part in parts.items()},
        tokenizer=tokenizer,
        processor=PhotoProcessor(images, tokenizer),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )


def save_qwen(folder: Path, kind: type = QwenImageEditPipeline, *, guidance_embeds: bool = False) -> Path:
    """Write it as the published ones are: the processor is of transformers' class, its parts' files in its folder."""
    pipeline = tiny_qwen(kind, guidance_embeds=guidance_embeds)
    processor = pipeline.processor
    pipeline.register_modules(processor=None)
    pipeline.save_pretrained(folder)
    for part in (processor.image_processor, processor.tokenizer):
        part.save_pretrained(folder / "processor")
    index = folder / "model_index.json"
    named = json.loads(index.read_text()) | {"processor": ["transformers", "Qwen2VLProcessor"]}
    index.write_text(json.dumps(named))
    return folder
