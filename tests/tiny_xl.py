"""A random InstructPix2Pix of SDXL's shape in 2 MB: two text encoders, size conditions, VAE factor 8."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLInstructPix2PixPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from ip2p_cli.models.loader import Editor
from ip2p_cli.models.sdxl import COSXL_SCHEDULER
from tests.tiny import BETAS, SPEC, byte_vocabulary, tiny_text_encoder, tiny_vae

# As in the published folder.
XL_SCHEDULER: dict[str, Any] = {
    "_class_name": "EulerDiscreteScheduler",
    **BETAS,
    "interpolation_type": "linear",
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "use_karras_sigmas": False,
}


def tiny_xl_unet(in_channels: int = 8) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(16, 32, 32),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=(2, 4, 4),
        transformer_layers_per_block=(1, 1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 24,
        cross_attention_dim=64,
    )


def second_text_encoder(vocab_size: int) -> CLIPTextModelWithProjection:
    config = CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        hidden_act="gelu",
        projection_dim=24,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return CLIPTextModelWithProjection(config)


def tiny_xl_editor(*, cosxl: bool = False) -> Editor:
    """The same weights at every call, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = CLIPTokenizer(vocab=byte_vocabulary(), merges=[], model_max_length=77)
        # As SDXL's second tokenizer: padded with another token than the first.
        second = CLIPTokenizer(vocab=byte_vocabulary(), merges=[], model_max_length=77, pad_token="!")
        parts = {
            "unet": tiny_xl_unet(),
            "vae": tiny_vae(),
            "text_encoder": tiny_text_encoder(len(first)),
            "text_encoder_2": second_text_encoder(len(second)),
        }
    return Editor(
        **{name: part.eval().requires_grad_(False) for name, part in parts.items()},
        tokenizer=first,
        tokenizer_2=second,
        scheduler_config=dict(COSXL_SCHEDULER) if cosxl else XL_SCHEDULER,
        spec=SPEC,
        device=torch.device("cpu"),
        dtype=torch.float32,
        zero_null_text=True,
        scaled_condition=cosxl,
    )


def tiny_xl_painter() -> Editor:
    """A text-to-image model of the same parts, but for its UNet."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return replace(tiny_xl_editor(), unet=tiny_xl_unet(4).eval().requires_grad_(False))


def diffusers_xl_pipeline(editor: Editor, scheduler: Any) -> StableDiffusionXLInstructPix2PixPipeline:
    """diffusers' own pipeline around the same parts."""
    pipeline = StableDiffusionXLInstructPix2PixPipeline(
        vae=editor.vae,
        text_encoder=editor.text_encoder,
        text_encoder_2=editor.text_encoder_2,
        tokenizer=editor.tokenizer,
        tokenizer_2=editor.tokenizer_2,
        unet=editor.unet,
        scheduler=scheduler,
        force_zeros_for_empty_prompt=editor.zero_null_text,
        add_watermarker=False,
        is_cosxl_edit=editor.scaled_condition,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_xl_editor(editor: Editor, folder: Path, scheduler: Any) -> Path:
    """Write `editor` as diffusers itself writes the pipeline."""
    diffusers_xl_pipeline(editor, scheduler).save_pretrained(folder)
    return folder


def rewrite(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file; None takes them out."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
