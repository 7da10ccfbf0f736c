"""A random model with Stable Diffusion 1.5's topology in 2.7 MB: VAE factor 8, three cross-attention levels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ip2p_cli.models.loader import Editor
from ip2p_cli.models.registry import PAPER_DEFAULTS
from ip2p_cli.types import ModelSpec

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}

# As in the published folder, with the keys that belong to other samplers.
SD15_SCHEDULER: dict[str, Any] = {
    "_class_name": "EulerAncestralDiscreteScheduler",
    "_diffusers_version": "0.13.0.dev0",
    **BETAS,
    "clip_sample": False,
    "interpolation_type": "linear",
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}

NANO_SCHEDULER: dict[str, Any] = {
    "_class_name": "DDIMScheduler",
    **BETAS,
    "clip_sample": False,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "set_alpha_to_one": False,
    "timestep_spacing": "trailing",
}

SPEC = ModelSpec(name="tiny", source="/nowhere", description="random", licence="none", defaults=PAPER_DEFAULTS)


def byte_vocabulary() -> dict[str, int]:
    """BOS and EOS, then CLIP's byte alphabet, alone and at the end of a word."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    alphabet = [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(hidden))]
    tokens = ["<|startoftext|>", "<|endoftext|>", *alphabet, *(letter + "</w>" for letter in alphabet)]
    return {token: index for index, token in enumerate(tokens)}


def tiny_unet(in_channels: int = 8) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(16, 32, 32, 32),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=2,
        cross_attention_dim=32,
    )


def tiny_vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 16, 16, 16),
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.18215,
        force_upcast=False,
    )


def tiny_text_encoder(vocab_size: int) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return CLIPTextModel(config)


def tiny_editor(scheduler_config: dict[str, Any] | None = None) -> Editor:
    """The same weights at every call, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokenizer = CLIPTokenizer(vocab=byte_vocabulary(), merges=[], model_max_length=77)
        parts = {"unet": tiny_unet(), "vae": tiny_vae(), "text_encoder": tiny_text_encoder(len(tokenizer))}
    return Editor(
        **{name: part.eval().requires_grad_(False) for name, part in parts.items()},
        tokenizer=tokenizer,
        scheduler_config=scheduler_config or SD15_SCHEDULER,
        spec=SPEC,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )


def tiny_painter() -> Editor:
    """A text-to-image model of the same parts, but for its UNet."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return replace(tiny_editor(), unet=tiny_unet(4).eval().requires_grad_(False))


def tiny_sd2_painter() -> Editor:
    """A text-to-image model as Stable Diffusion 2: it predicts velocity, projections are linear."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        config = {**tiny_unet(4).config, "use_linear_projection": True, "attention_head_dim": (2, 4, 4, 4)}
        unet = UNet2DConditionModel.from_config(config)
        velocity = {**SD15_SCHEDULER, "prediction_type": "v_prediction"}
        return replace(tiny_editor(velocity), unet=unet.eval().requires_grad_(False))


def diffusers_pipeline(editor: Editor, scheduler: Any) -> StableDiffusionInstructPix2PixPipeline:
    """diffusers' own pipeline around the same parts."""
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=editor.vae,
        text_encoder=editor.text_encoder,
        tokenizer=editor.tokenizer,
        unet=editor.unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_editor(editor: Editor, folder: Path) -> Path:
    """Write `editor` in diffusers layout."""
    for part in ("unet", "vae", "text_encoder", "tokenizer"):
        getattr(editor, part).save_pretrained(folder / part)
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(dict(editor.scheduler_config)))
    index = {
        "_class_name": "StableDiffusionInstructPix2PixPipeline",
        "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
