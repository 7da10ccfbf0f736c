"""Models in a single file: the authors' checkpoints (.ckpt, .safetensors), and UNets in diffusers' names.

The architecture follows from the tensors' shapes (`layout`), so no configuration is needed. Tokenizers, and a missing
VAE or text encoder, come from folders beside the file or from a published model with the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ip2p_cli.errors import ModelError
from ip2p_cli.models import layout, sdxl
from ip2p_cli.models.hub import download, find_cached, offline, reason
from ip2p_cli.models.library_logging import making_modules
from ip2p_cli.models.tensors import read_tensors

Tensors = Mapping[str, torch.Tensor]

# Of the published InstructPix2Pix checkpoint.
SCHEDULER: Mapping[str, Any] = {"_class_name": "EulerAncestralDiscreteScheduler", **sdxl.NOISE_SCHEDULE}
_SCALING = 0.18215
_BASE = "timbrooks/instruct-pix2pix"
_SDXL_BASE = "stabilityai/stable-diffusion-xl-base-1.0"
_CLIP = ("openai/clip-vit-large-patch14", ".")
_OPENCLIP = ("laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", ".")
# Published copies of a tokenizer as (repository, folder), by (is_sdxl, part).
_TOKENIZERS: Mapping[tuple[bool, str], tuple[tuple[str, str], ...]] = {
    (False, "tokenizer"): ((_BASE, "tokenizer"), _CLIP),
    (True, "tokenizer"): ((_SDXL_BASE, "tokenizer"), _CLIP, (_BASE, "tokenizer")),
    # All have the same vocabulary; the loader sets the padding.
    (True, sdxl.SECOND_TOKENIZER): ((_SDXL_BASE, sdxl.SECOND_TOKENIZER), _OPENCLIP, _CLIP),
}


@dataclass(frozen=True)
class PartDtypes:
    """The number formats to load a model in: of the UNet and the text encoders (`weights`), and of the VAE."""

    weights: torch.dtype
    vae: torch.dtype

    def vae_for(self, is_sdxl: bool) -> torch.dtype:
        """The VAE's number format; SDXL's VAE overflows in fp16, and is float32 then."""
        return torch.float32 if is_sdxl and self.vae is torch.float16 else self.vae


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds.

    Attributes:
        parts: Models by name.
        is_sdxl: Whether the model has SDXL's architecture.
        scheduler: The model's noise levels, as a scheduler's config.
    """

    parts: dict[str, Any]
    is_sdxl: bool
    scheduler: Mapping[str, Any]


def read_parts(file: Path, dtypes: PartDtypes) -> Contents:
    """Read the models in a file, onto the CPU.

    They are named as in a folder: "unet" and, where the file has them, "vae", "text_encoder", "text_encoder_2". EMA
    weights are preferred where the file has them, as in the paper.

    Raises:
        ModelError: The file cannot be read, lacks tensors, or holds something else (a LoRA, only a VAE, Stable
            Diffusion 2).
    """
    tensors = read_tensors(file)
    _refuse_others(file, tensors)
    try:
        unet = _unet_tensors(file, tensors)
        is_sdxl = layout.is_sdxl_unet(unet)
        parts: dict[str, Any] = {"unet": _unet(file, unet, dtypes.weights)}
        vae = below(tensors, "first_stage_model.") or below(tensors, "vae.")
        if vae:
            scaling_factor = sdxl.SCALING if is_sdxl else _SCALING
            parts["vae"] = build_vae(file, vae, dtypes.vae_for(is_sdxl), scaling_factor)
        parts |= (_sdxl_encoders if is_sdxl else _sd15_encoder)(file, tensors, dtypes.weights)
    except KeyError as error:
        raise ModelError(f"{file} lacks the tensor {error.args[0]}; fetch or export it again") from error
    return Contents(parts, is_sdxl, _sdxl_scheduler(file, tensors) if is_sdxl else SCHEDULER)


def build_vae(file: Path, tensors: Tensors, dtype: torch.dtype, scaling_factor: float) -> Any:
    """Make an AutoencoderKL from its tensors in either naming.

    Raises:
        ModelError: The tensors fit no VAE; the message names `file`.
        KeyError: A tensor is missing.
    """
    from diffusers import AutoencoderKL

    if any(name.startswith("encoder.down.") for name in tensors):
        tensors = layout.vae_from_original(tensors)
    tensors = layout.vae_with_new_names(tensors)
    config = layout.vae_config(tensors, scaling_factor)
    return _fill(lambda: AutoencoderKL.from_config(config), tensors, dtype, file)


def companion(file: Path, part: str, is_sdxl: bool = False) -> Path:
    """Find the folder of a `part` that `file` lacks, such as "vae" or "tokenizer_2".

    It is looked for beside the file, then in the hub's cache, and then fetched from the hub unless offline.

    Raises:
        ModelError: There is none; the message says what to put where.
    """
    beside = file.parent / part
    if beside.is_dir():
        return beside
    base = _SDXL_BASE if is_sdxl else _BASE
    for source, inside in _TOKENIZERS.get((is_sdxl, part), ((base, part),)):
        cached = find_cached(source)
        if cached is not None and _is_whole(cached / inside):
            return cached / inside
    why = "working offline, as IP2P_OFFLINE or HF_HUB_OFFLINE says"
    if not offline():
        try:
            return _fetch(base, part)
        except Exception as error:  # the client's exceptions differ from version to version
            why = reason(error)
    raise ModelError(
        f"{file} holds no {part.replace('_', ' ')}, and huggingface.co/{base} could not be fetched ({why}). Put the "
        f"folder {part}/ of {base} beside the file, as {beside}"
    )


def _fetch(base: str, part: str) -> Path:
    stem = "diffusion_pytorch_model" if part == "vae" else "model"
    weights = [f"{part}/config.json", f"{part}/{stem}.safetensors"]
    return download(base, [f"{part}/*"] if "tokenizer" in part else weights) / part


def _is_whole(folder: Path) -> bool:
    names = ("tokenizer.json", "vocab.json", "diffusion_pytorch_model.safetensors", "model.safetensors")
    return any((folder / name).is_file() for name in names)


# --- What is in the file


def _refuse_others(file: Path, tensors: Tensors) -> None:
    ends = ("lora_down.weight", "lora_A.weight", "lora.down.weight", "_lora.down.weight")
    if any(name.endswith(ends) for name in tensors):
        raise ModelError(f"{file} is a LoRA, which changes a model: give it as --lora {file}, beside --model")
    if "edm_mean" in tensors:
        raise ModelError(f"{file} is a Playground checkpoint, whose latents are not SDXL's; it is not supported")
    if any(name.startswith("cond_stage_model.model.") for name in tensors):
        raise ModelError(
            f"{file} is a Stable Diffusion 2 checkpoint (OpenCLIP's text encoder); single files of Stable Diffusion "
            "1.5's and SDXL's shape are read. Give the model's folder in diffusers layout"
        )


def _unet_tensors(file: Path, tensors: Tensors) -> dict[str, torch.Tensor]:
    """The UNet's tensors under diffusers' names; EMA ones where there are any."""
    for prefix in ("model.diffusion_model.", "unet.", ""):
        unet = below(tensors, prefix)
        if "input_blocks.0.0.weight" in unet:
            return layout.unet_from_original(_ema(file, tensors, unet))
        if "conv_in.weight" in unet and any(name.startswith("down_blocks.") for name in unet):
            return unet
    if any(name.removeprefix("first_stage_model.").startswith("encoder.") for name in tensors):
        raise ModelError(f"{file} holds an autoencoder only: give it as --vae {file}, beside --model")
    raise ModelError(
        f"{file} holds no UNet that ip2p knows (tensors such as {min(tensors)}); give an InstructPix2Pix checkpoint "
        "of Stable Diffusion 1.5's or SDXL's shape"
    )


def _ema(file: Path, tensors: Tensors, trained: Tensors) -> dict[str, torch.Tensor]:
    """The averaged (EMA) weights, where the file has them; their names have no dots."""
    if not any(name.startswith("model_ema.diffusion_model") for name in tensors):
        return dict(trained)
    names = {name: "model_ema.diffusion_model" + name.replace(".", "") for name in trained}
    missing = sorted(flat for flat in names.values() if flat not in tensors)
    if missing:
        raise ModelError(f"{file} lacks {len(missing)} of its EMA tensors, such as {missing[0]}; fetch it again")
    return {name: tensors[flat] for name, flat in names.items()}


def below(tensors: Tensors, prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


# --- From tensors to models


def _unet(file: Path, tensors: Tensors, dtype: torch.dtype) -> Any:
    from diffusers import UNet2DConditionModel

    config = layout.unet_config(tensors)
    unet = _fill(lambda: UNet2DConditionModel.from_config(config), tensors, dtype, file)
    inside = (name for name in tensors if name.startswith(("down_blocks.", "mid_block.", "up_blocks.")))
    unused = sorted(set(inside) - set(unet.state_dict()))
    if unused:
        raise ModelError(
            f"{file} has the shapes of no model that ip2p knows: {len(unused)} of its UNet's tensors have no place in "
            f"one, such as {unused[0]}"
        )
    return unet


def _sd15_encoder(file: Path, tensors: Tensors, dtype: torch.dtype) -> dict[str, Any]:
    clip = _text_tensors(tensors, "cond_stage_model.transformer.")
    return {"text_encoder": _text_encoder(file, clip, layout.clip_config(clip), dtype)} if clip else {}


def _sdxl_encoders(file: Path, tensors: Tensors, dtype: torch.dtype) -> dict[str, Any]:
    """CLIP ViT-L's and OpenCLIP ViT-bigG's text encoders, where the file has them."""
    parts = {}
    clip = _text_tensors(tensors, "conditioner.embedders.0.transformer.")
    if clip:
        parts["text_encoder"] = _text_encoder(file, clip, layout.clip_config(clip), dtype)
    openclip = layout.openclip_from_original(below(tensors, "conditioner.embedders.1.model."))
    if openclip:
        config = layout.openclip_config(openclip)
        parts[sdxl.SECOND_ENCODER] = _text_encoder(file, openclip, config, dtype)
    return parts


def _text_tensors(tensors: Tensors, prefix: str) -> dict[str, torch.Tensor]:
    return below(tensors, f"{prefix}text_model.") or below(tensors, prefix)


def _text_encoder(file: Path, tensors: Tensors, config: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """A CLIP text encoder, with a projection where `config` has one."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    cls = CLIPTextModelWithProjection if "projection_dim" in config else CLIPTextModel
    # transformers 5 leaves "text_model." out of its names; version 4 has it.
    both = {**tensors, **{f"text_model.{name}": tensor for name, tensor in tensors.items()}}
    return _fill(lambda: cls(CLIPTextConfig(**config)), both, dtype, file)


def _sdxl_scheduler(file: Path, tensors: Tensors) -> Mapping[str, Any]:
    """CosXL's noise levels where the file names them, else those of SDXL's base."""
    if sdxl.COSXL_KEY not in tensors:
        kind = "v_prediction" if sdxl.V_PREDICTION_KEY in tensors else "epsilon"
        return {**sdxl.SDXL_SCHEDULER, "prediction_type": kind}
    levels = {}
    for end in ("sigma_min", "sigma_max"):
        level = tensors.get(f"edm_vpred.{end}")
        value = float(sdxl.COSXL_SCHEDULER[end]) if level is None or level.numel() != 1 else float(level)
        levels[end] = float(f"{value:.6g}")  # turns the float32 0.0020000000949949 into 0.002
    if not 0 < levels["sigma_min"] < levels["sigma_max"] < math.inf:
        raise ModelError(f"{file}: its noise levels {levels} are no range above 0; fetch it again")
    return {**sdxl.COSXL_SCHEDULER, **levels}


def _fill(make: Callable[[], Any], tensors: Tensors, dtype: torch.dtype, file: Path) -> Any:
    """Make a model and fill it with tensors; each must be there with the right shape (ModelError)."""
    from accelerate import init_empty_weights

    try:
        with making_modules, init_empty_weights(include_buffers=False):
            model = make()
    except (ValueError, TypeError) as error:
        raise ModelError(f"{file} has the shapes of no model that ip2p knows ({reason(error)})") from error
    needed = model.state_dict()
    missing = sorted(set(needed) - set(tensors))
    if missing:
        raise ModelError(f"{file} lacks {len(missing)} tensors, such as {missing[0]}; fetch or export it again")
    for name, tensor in needed.items():
        if tensor.shape != tensors[name].shape:
            has, needs = tuple(tensors[name].shape), tuple(tensor.shape)
            raise ModelError(f"{file}: its tensor {name} has the shape {has} instead of {needs}; export it again")
    # Copies: a mapped file that changes on the disk must not change a loaded model.
    model.load_state_dict({name: tensors[name].to(dtype, copy=True) for name in needed}, assign=True)
    return model
