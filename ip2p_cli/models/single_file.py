"""A model in one file: the authors' checkpoints (.ckpt, .safetensors), and UNets in diffusers' names.

The architecture is read off the tensors' shapes (`layout`), so no configuration is looked up anywhere. A file
without a VAE or text encoder, and every file's tokenizer, is completed from the folder beside it or from
instruct-pix2pix, which has the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ip2p_cli.errors import ModelError
from ip2p_cli.models import layout
from ip2p_cli.models.hub import find_cached, offline, reason
from ip2p_cli.models.silence import download_bars
from ip2p_cli.models.tensors import read_tensors

Tensors = Mapping[str, torch.Tensor]

# Of the published InstructPix2Pix checkpoint: Stable Diffusion 1.5's noise schedule, the noise predicted.
SCHEDULER: Mapping[str, Any] = {
    "_class_name": "EulerAncestralDiscreteScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
}
_SCALING = 0.18215
_BASE = "timbrooks/instruct-pix2pix"
# (repository, its folder): where the same tokenizer lies.
_TOKENIZERS = ((_BASE, "tokenizer"), ("openai/clip-vit-large-patch14", "."))


def read_parts(file: Path, dtype: torch.dtype) -> dict[str, Any]:
    """The models in `file`, on the CPU in `dtype`: "unet", and "vae" and "text_encoder" where the file has them.

    EMA weights are taken where the file has them, as the paper does. Raises ModelError where the file cannot be
    read, lacks tensors, or holds something else (a LoRA, a VAE alone, SDXL, Stable Diffusion 2).
    """
    tensors = read_tensors(file)
    _refuse_others(file, tensors)
    try:
        parts: dict[str, Any] = {"unet": _unet(file, _unet_tensors(file, tensors), dtype)}
        vae = _below(tensors, "first_stage_model.") or _below(tensors, "vae.")
        if vae:
            parts["vae"] = build_vae(file, vae, dtype, _SCALING)
        clip = _below(tensors, "cond_stage_model.transformer.text_model.") or _below(
            tensors, "cond_stage_model.transformer."
        )
        if clip:
            parts["text_encoder"] = _text_encoder(file, clip, dtype)
    except KeyError as error:
        raise ModelError(f"{file} lacks the tensor {error.args[0]}; fetch or export it again") from error
    return parts


def read_sdxl_parts(file: Path, tensors: Tensors) -> dict[str, Any]:
    """The models in an SDXL-shaped file; ModelError, for now."""
    raise ModelError(
        f"{file} is an SDXL checkpoint: SDXL single files are not read yet. Give the model's folder in diffusers "
        "layout, or its hub id"
    )


def build_vae(file: Path, tensors: Tensors, dtype: torch.dtype, scaling_factor: float) -> Any:
    """An AutoencoderKL from its tensors in either naming; `file` is for the errors (ModelError, KeyError)."""
    from diffusers import AutoencoderKL

    if any(name.startswith("encoder.down.") for name in tensors):
        tensors = layout.vae_from_original(tensors)
    tensors = layout.vae_with_new_names(tensors)
    config = layout.vae_config(tensors, scaling_factor)
    return _fill(lambda: AutoencoderKL.from_config(config), tensors, dtype, file)


def companion(file: Path, part: str) -> Path:
    """The folder of `part` ("vae", "text_encoder", "tokenizer"), which `file` does not hold.

    Looked for beside the file, then in the hub's cache; fetched from the hub unless offline. ModelError, with what
    to put where, if it is nowhere.
    """
    beside = file.parent / part
    if beside.is_dir():
        return beside
    for source, inside in _TOKENIZERS if part == "tokenizer" else ((_BASE, part),):
        cached = find_cached(source)
        if cached is not None and _is_whole(cached / inside):
            return cached / inside
    why = "working offline, as IP2P_OFFLINE or HF_HUB_OFFLINE says"
    if not offline():
        try:
            return _fetch(part)
        except Exception as error:  # as in `loader`: the client's exceptions differ from version to version
            why = reason(error)
    raise ModelError(
        f"{file} holds no {part.replace('_', ' ')}, and huggingface.co/{_BASE} could not be fetched ({why}). Put the "
        f"folder {part}/ of {_BASE} beside the file, as {beside}"
    )


def _fetch(part: str) -> Path:
    from huggingface_hub import snapshot_download

    wanted = {
        "vae": ["vae/config.json", "vae/diffusion_pytorch_model.safetensors"],
        "text_encoder": ["text_encoder/config.json", "text_encoder/model.safetensors"],
        "tokenizer": ["tokenizer/*"],
    }
    with download_bars():
        return Path(snapshot_download(_BASE, allow_patterns=wanted[part])) / part


def _is_whole(folder: Path) -> bool:
    names = ("tokenizer.json", "vocab.json", "diffusion_pytorch_model.safetensors", "model.safetensors")
    return any((folder / name).is_file() for name in names)


# --- What is in the file


def _refuse_others(file: Path, tensors: Tensors) -> None:
    ends = ("lora_down.weight", "lora_A.weight", "lora.down.weight", "_lora.down.weight")
    if any(name.endswith(ends) for name in tensors):
        raise ModelError(f"{file} is a LoRA, which changes a model: give it as --lora {file}, beside --model")
    sdxl = ("conditioner.embedders.", "model.diffusion_model.label_emb.", "label_emb.", "add_embedding.")
    if any(name.startswith(sdxl) for name in tensors):
        read_sdxl_parts(file, tensors)
    if any(name.startswith("cond_stage_model.model.") for name in tensors):
        raise ModelError(
            f"{file} is a Stable Diffusion 2 checkpoint (OpenCLIP's text encoder); single files of Stable Diffusion "
            "1.5's shape are read. Give the model's folder in diffusers layout"
        )


def _unet_tensors(file: Path, tensors: Tensors) -> dict[str, torch.Tensor]:
    """The UNet's tensors under diffusers' names; EMA ones where there are any."""
    for prefix in ("model.diffusion_model.", "unet.", ""):
        found = _below(tensors, prefix)
        if "input_blocks.0.0.weight" in found:
            return layout.unet_from_original(_ema(file, tensors, found))
        if "conv_in.weight" in found and any(name.startswith("down_blocks.") for name in found):
            return found
    if any(name.removeprefix("first_stage_model.").startswith("encoder.") for name in tensors):
        raise ModelError(f"{file} holds an autoencoder only: give it as --vae {file}, beside --model")
    raise ModelError(
        f"{file} holds no UNet that ip2p knows (tensors such as {min(tensors)}); give an InstructPix2Pix checkpoint "
        "of Stable Diffusion 1.5's shape"
    )


def _ema(file: Path, tensors: Tensors, trained: Tensors) -> dict[str, torch.Tensor]:
    """The averaged weights, which are named like the trained ones without dots."""
    if not any(name.startswith("model_ema.diffusion_model") for name in tensors):
        return dict(trained)
    names = {name: "model_ema.diffusion_model" + name.replace(".", "") for name in trained}
    lost = sorted(flat for flat in names.values() if flat not in tensors)
    if lost:
        raise ModelError(f"{file} lacks {len(lost)} of its EMA tensors, such as {lost[0]}; fetch it again")
    return {name: tensors[flat] for name, flat in names.items()}


def _below(tensors: Tensors, prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


# --- From tensors to models


def _unet(file: Path, tensors: Tensors, dtype: torch.dtype) -> Any:
    from diffusers import UNet2DConditionModel

    config = layout.unet_config(tensors)
    return _fill(lambda: UNet2DConditionModel.from_config(config), tensors, dtype, file)


def _text_encoder(file: Path, tensors: Tensors, dtype: torch.dtype) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(**layout.clip_config(tensors))
    # transformers 5 leaves "text_model." out of its names; version 4 has it.
    both = {**tensors, **{f"text_model.{name}": tensor for name, tensor in tensors.items()}}
    return _fill(lambda: CLIPTextModel(config), both, dtype, file)


def _fill(make: Callable[[], Any], tensors: Tensors, dtype: torch.dtype, file: Path) -> Any:
    """The model that `make` builds, with every tensor from the file: one half random would run, and make nonsense."""
    from accelerate import init_empty_weights

    try:
        with init_empty_weights(include_buffers=False):
            model = make()
    except (ValueError, TypeError) as error:
        raise ModelError(f"{file} has the shapes of no model that ip2p knows ({reason(error)})") from error
    wanted = model.state_dict()
    missing = sorted(set(wanted) - set(tensors))
    if missing:
        raise ModelError(f"{file} lacks {len(missing)} tensors, such as {missing[0]}; fetch or export it again")
    for name, place in wanted.items():
        if place.shape != tensors[name].shape:
            has, needs = tuple(tensors[name].shape), tuple(place.shape)
            raise ModelError(f"{file}: its tensor {name} has the shape {has} instead of {needs}; export it again")
    # Copies: a file that changes on the disk must not change a loaded model.
    model.load_state_dict({name: tensors[name].to(dtype, copy=True) for name in wanted}, assign=True)
    return model
