"""Loading an Editor from a ModelSpec: fetch missing files, check them, load each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ip2p_cli.errors import ModelError
from ip2p_cli.models import sdxl
from ip2p_cli.models.device import torch_dtype
from ip2p_cli.models.editor import Editor as Editor
from ip2p_cli.models.hub import read_json
from ip2p_cli.models.library_logging import loading, quiet
from ip2p_cli.models.lora import fuse
from ip2p_cli.models.model_files import (
    SCHEDULER_CONFIG,
    SECOND_WEIGHTS,
    WEIGHTS,
    Variants,
    find_weights,
    model_folder,
    parts_of,
    tokenizer_folders,
    variants_of,
)
from ip2p_cli.models.offload import check_offload, place
from ip2p_cli.models.registry import is_weight_file
from ip2p_cli.models.single_file import Contents, PartDtypes, companion, read_parts
from ip2p_cli.models.vae import load_vae
from ip2p_cli.types import Lora, ModelSpec, ModelUse, OffloadName


def load_editor(
    spec: ModelSpec,
    *,
    device: str,
    dtype: str,
    offload: OffloadName = "none",
    use: ModelUse = "edit",
    loras: Sequence[Lora] = (),
    vae: str | None = None,
) -> Editor:
    """Load a model, ready for inference.

    Files come from a local folder or file, the hub's cache, or else the hub, unless IP2P_OFFLINE or HF_HUB_OFFLINE is
    set. In folders only safetensors are read, never pickles. On the CPU the VAE of a bf16 model is in float32: in bf16
    it is off by up to 13 grey levels, and it takes a small part of the time.

    Args:
        spec: The model.
        device: "cuda", "mps" or "cpu".
        dtype: "fp32", "fp16" or "bf16".
        offload: How the parts are placed, see `models.offload`.
        use: What the model is for. Editing refuses text-to-image models, painting refuses editing models.
        loras: Added to the weights, one after the other.
        vae: Another autoencoder with the same kind of latents: a folder, a file or a hub id.

    Raises:
        ModelError: The model cannot be fetched, is incomplete or damaged, or is of another kind; or a LoRA or the VAE
            does not fit it.
        DeviceError: Offloading was requested without an accelerator.
    """
    if spec.pipeline is not None:
        raise ModelError(f"model {spec.name} edits by diffusers' {spec.pipeline}, which this command cannot use")
    check_offload(offload, device)
    weights = torch_dtype(dtype)
    dtypes = PartDtypes(weights, torch.float32 if device == "cpu" and weights is torch.bfloat16 else weights)
    with quiet():
        read = _read_file if is_weight_file(spec.source) else _read_folder
        parts, attributes = read(spec, dtypes, variants_of(spec, dtype), use)
        if vae is not None:
            parts["vae"] = load_vae(vae, like=parts["vae"])
    for lora in loras:
        encoders = parts["text_encoder"], parts.get(sdxl.SECOND_ENCODER)
        fuse(lora, unet=parts["unet"], text_encoder=encoders[0], text_encoder_2=encoders[1])
    # With offloading the model may not fit on the device as a whole.
    first_device = device if offload == "none" else "cpu"
    editor = Editor(
        **{name: part.eval().requires_grad_(False).to(first_device) for name, part in parts.items()},
        **attributes,
        spec=spec,
        device=torch.device(device),
        dtype=weights,
    )
    if offload != "none":
        place(editor, offload)
    return editor


# The models by name, and further fields of an Editor.
_Loaded = tuple[dict[str, Any], dict[str, Any]]


def _read_folder(spec: ModelSpec, dtypes: PartDtypes, variants: Variants, use: ModelUse) -> _Loaded:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    folder = model_folder(spec, variants)
    configs = _read_configs(folder)
    index, is_sdxl = configs["index"], sdxl.is_sdxl(configs["index"])
    _check_use(spec, folder / "unet" / "config.json", configs["unet"], configs["vae"], use)
    sdxl.check_parts(spec.name, folder, configs)
    if is_sdxl:
        _check_sdxl_use(spec, use)
    # Only where the config itself has it: diffusers' default is True, whether or not the VAE overflows in fp16.
    upcast = configs["vae"].get("force_upcast") and dtypes.vae is torch.float16
    vae_class = _vae_class(configs["vae"].get("_class_name"), folder)
    tokenizers = {part: _load_tokenizer(folder / part) for part in tokenizer_folders(is_sdxl)}
    parts = {
        "unet": _load(_unet_class(configs["unet"].get("_class_name")), folder, "unet", dtypes.weights, variants),
        "vae": _load(vae_class, folder, "vae", torch.float32 if upcast else dtypes.vae, variants),
        "text_encoder": _load(CLIPTextModel, folder, "text_encoder", dtypes.weights, variants),
    }
    if is_sdxl:
        part = sdxl.SECOND_ENCODER
        parts[part] = _load(CLIPTextModelWithProjection, folder, part, dtypes.weights, variants)
    return parts, {
        **tokenizers,
        "scheduler_config": configs["scheduler"],
        "zero_null_text": sdxl.zeroes_null_text(index),
        "scaled_condition": sdxl.scales_condition(index, configs["scheduler"]),
    }


def _read_file(spec: ModelSpec, dtypes: PartDtypes, variants: Variants, use: ModelUse) -> _Loaded:
    file = Path(spec.source)
    contents = read_parts(file, dtypes)
    parts, is_sdxl = contents.parts, contents.is_sdxl
    _check_use(spec, file, parts["unet"].config, parts["vae"].config if "vae" in parts else {}, use)
    if is_sdxl:
        _check_sdxl_use(spec, use)
    _add_missing_parts(file, contents, dtypes, variants)
    if is_sdxl:
        sdxl.check_pooled(spec.name, file, parts["unet"].config, vars(parts[sdxl.SECOND_ENCODER].config))
    attributes: dict[str, Any] = {
        "scheduler_config": contents.scheduler,
        "zero_null_text": is_sdxl,
        "scaled_condition": is_sdxl and sdxl.is_edm(contents.scheduler),
    }
    for part in tokenizer_folders(is_sdxl):
        # SDXL's second encoder was trained with padding by the token 0; other folders of that tokenizer differ.
        padding = {"pad_token": "!"} if part == sdxl.SECOND_TOKENIZER else {}
        tokenizer = attributes[part] = _load_tokenizer(companion(file, part, is_sdxl), **padding)
        vocabulary = parts[part.replace("tokenizer", "text_encoder")].config.vocab_size
        if len(tokenizer) != vocabulary:
            raise ModelError(
                f"{file}: its text encoder knows {vocabulary} tokens, the tokenizer {tokenizer.name_or_path} has "
                f"{len(tokenizer)}"
            )
    return parts, attributes


def _add_missing_parts(file: Path, contents: Contents, dtypes: PartDtypes, variants: Variants) -> None:
    from diffusers import AutoencoderKL
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    classes = {"vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    if contents.is_sdxl:
        classes[sdxl.SECOND_ENCODER] = CLIPTextModelWithProjection
    for part, cls in classes.items():
        if part not in contents.parts:
            dtype = dtypes.vae_for(contents.is_sdxl) if part == "vae" else dtypes.weights
            folder = companion(file, part, contents.is_sdxl).parent
            contents.parts[part] = _load(cls, folder, part, dtype, variants)


def _read_configs(folder: Path) -> dict[str, dict[str, Any]]:
    index = read_json(folder / "model_index.json")
    configs = {part: read_json(folder / part / "config.json") for part in parts_of(index)}
    return {**configs, "index": index, "scheduler": read_json(folder / SCHEDULER_CONFIG)}


def _check_sdxl_use(spec: ModelSpec, use: ModelUse) -> None:
    if use == "train":
        raise ModelError(f"model {spec.name} is an SDXL model; training starts from models of Stable Diffusion 1.5")


def _check_use(spec: ModelSpec, path: Path, unet: Mapping[str, Any], vae: Mapping[str, Any], use: ModelUse) -> None:
    """Raise ModelError where a UNet has another number of channels than `use` needs.

    Args:
        spec: The model.
        path: The file that holds the UNet's config, for messages.
        unet: The UNet's config.
        vae: The VAE's config, or {} where it is not known.
        use: What the model is for.
    """
    latent, channels = vae.get("latent_channels", 4), unet.get("in_channels", 4)
    allowed = {"edit": [2 * latent], "paint": [latent], "train": [latent, 2 * latent]}
    if channels in allowed[use]:
        return
    if use == "paint":
        raise ModelError(
            f"model {spec.name} is no text-to-image model: its UNet takes {channels} channels instead of {latent} "
            f"({path}). Use one that is, such as stable-diffusion-v1-5/stable-diffusion-v1-5"
        )
    if channels == latent:
        raise ModelError(
            f"model {spec.name} is a text-to-image model: its UNet takes {channels} channels, an editing model's takes "
            f"{2 * latent} ({path}). Use an InstructPix2Pix model, such as instruct-pix2pix"
        )
    raise ModelError(
        f"model {spec.name} is no InstructPix2Pix model: its UNet takes {channels} channels instead of {2 * latent} "
        f"({path}). Use one that is, such as instruct-pix2pix"
    )


def _unet_class(name: str | None) -> Any:
    if name == "ResidualUNet":
        from ip2p_cli.models.nano.unet import ResidualUNet

        return ResidualUNet
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel


def _vae_class(name: str | None, folder: Path) -> Any:
    if name == "PatchAutoencoder":
        from ip2p_cli.models.nano.autoencoder import PatchAutoencoder

        return PatchAutoencoder
    if name == "AutoencoderKL":
        from diffusers import AutoencoderKL

        return AutoencoderKL
    config = folder / "vae" / "config.json"
    raise ModelError(f"{config} names the class {name!r}; ip2p loads AutoencoderKL and PatchAutoencoder")


def _load(cls: Any, folder: Path, part: str, dtype: torch.dtype, variants: Variants) -> Any:
    """Load one part, and check that its file has every tensor: the libraries would fill in random ones."""
    stem = (WEIGHTS | SECOND_WEIGHTS)[part]
    weights = find_weights(folder / part, stem, variants)
    if weights is None:
        missing_file = folder / part / f"{stem}.safetensors"
        raise ModelError(
            f"the model lacks {missing_file}; ip2p reads safetensors only, never pickle files (.bin, .ckpt)"
        )
    path, variant = weights
    with loading(f"{path} cannot be loaded", "fetch or export the model again"):
        model, info = cls.from_pretrained(
            str(folder / part),
            dtype=dtype,
            variant=variant,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(f"{path} lacks {len(missing)} tensors, such as {missing[0]}; fetch or export the model again")
    return model


def _load_tokenizer(folder: Path, **changes: str) -> Any:
    from transformers import CLIPTokenizer

    # transformers would make up an empty vocabulary.
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ModelError(f"the model lacks {folder / 'tokenizer.json'} (or vocab.json); fetch or export it again")
    with loading(f"{folder} cannot be loaded", "fetch or export the model again"):
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True, **changes)
