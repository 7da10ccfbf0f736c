"""From a ModelSpec to an Editor: fetch the files where they are missing, check them, load each component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ip2p_cli.errors import ModelError
from ip2p_cli.models import sdxl
from ip2p_cli.models.device import torch_dtype
from ip2p_cli.models.hub import reason
from ip2p_cli.models.library_logging import quiet
from ip2p_cli.models.lora import fuse
from ip2p_cli.models.model_files import (
    SCHEDULER_CONFIG,
    SECOND_WEIGHTS,
    WEIGHTS,
    Variants,
    find_weights,
    model_folder,
    parts_of,
    read_json,
    tokenizer_folders,
    variants_of,
)
from ip2p_cli.models.registry import is_weight_file
from ip2p_cli.models.single_file import Contents, companion, read_parts
from ip2p_cli.models.vae import load_vae
from ip2p_cli.types import Lora, ModelSpec, ModelUse


@dataclass(frozen=True, kw_only=True, eq=False)
class Editor:
    """A loaded model: a handle on its parts, without behaviour of its own.

    scheduler_config: the model's own, as read; `diffusion.samplers` builds samplers from it. dtype: the UNet's
    and text encoder's; the VAE keeps its own where the model asks for float32. text_encoder_2, tokenizer_2: SDXL's.
    zero_null_text: the empty instruction is zeros (SDXL). scaled_condition: the image condition is multiplied by
    `scaling_factor` (CosXL-edit).
    """

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: Mapping[str, Any]
    spec: ModelSpec
    device: torch.device
    dtype: torch.dtype
    text_encoder_2: Any = None
    tokenizer_2: Any = None
    zero_null_text: bool = False
    scaled_condition: bool = False

    @property
    def vae_factor(self) -> int:
        """Pixels per latent pixel, in each direction."""
        patch_size = getattr(self.vae.config, "patch_size", None)
        return int(patch_size or 2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def scaling_factor(self) -> float:
        """Sampled latents are the VAE's latents times this."""
        return float(self.vae.config.scaling_factor)

    @property
    def condition_factor(self) -> float:
        """The UNet is shown the image condition times this: 1, but for CosXL-edit."""
        return self.scaling_factor if self.scaled_condition else 1.0

    @property
    def latent_channels(self) -> int:
        """Channels of a latent; the UNet takes twice as many."""
        return int(self.vae.config.latent_channels)

    @property
    def text_length(self) -> int:
        """Tokens of an instruction, its start and end marks included."""
        # A tokenizer without a stated limit reports 1e30.
        return min(int(self.tokenizer.model_max_length), int(self.text_encoder.config.max_position_embeddings))


def load_editor(
    spec: ModelSpec,
    *,
    device: str,
    dtype: str,
    use: ModelUse = "edit",
    loras: Sequence[Lora] = (),
    vae: str | None = None,
) -> Editor:
    """Load `spec` onto `device` ("cuda", "mps", "cpu") in `dtype` ("fp32", "fp16", "bf16"), ready for inference.

    Files come from a local folder or file or the hub's cache, else from the hub, unless IP2P_OFFLINE or
    HF_HUB_OFFLINE is set. Of folders only safetensors are read, never pickles. use: what for; editing refuses
    text-to-image models, painting editing models. loras: fused into the weights, one after the other. vae: another
    autoencoder (a folder, a file or a hub id) with the same kind of latents.
    Raises ModelError where the model cannot be fetched, is incomplete or corrupt, or is no editing model; or where
    a LoRA or the VAE does not fit it.
    """
    if spec.pipeline is not None:
        raise ModelError(f"model {spec.name} edits by diffusers' {spec.pipeline}, which this command cannot use")
    number = torch_dtype(dtype)
    variants = variants_of(spec, dtype)
    with quiet():
        read = _read_file if is_weight_file(spec.source) else _read_folder
        parts, facts, scheduler_config = read(spec, number, variants, use)
        if vae is not None:
            parts["vae"] = load_vae(vae, like=parts["vae"])
    for lora in loras:
        second = parts.get(sdxl.SECOND_ENCODER)
        fuse(lora, unet=parts["unet"], text_encoder=parts["text_encoder"], text_encoder_2=second)
    return Editor(
        **{name: part.eval().requires_grad_(False).to(device) for name, part in parts.items()},
        **facts,
        scheduler_config=scheduler_config,
        spec=spec,
        device=torch.device(device),
        dtype=number,
    )


# The models by name, the other fields of an Editor, the scheduler's config.
_Loaded = tuple[dict[str, Any], dict[str, Any], Mapping[str, Any]]


def _read_folder(spec: ModelSpec, number: torch.dtype, variants: Variants, use: ModelUse) -> _Loaded:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    folder = model_folder(spec, variants)
    configs = _read_configs(folder)
    _check_channels(spec, folder / "unet" / "config.json", configs["unet"], configs["vae"], use)
    sdxl.check_parts(spec.name, folder, configs)
    second = sdxl.is_sdxl(configs["index"])
    if second and use == "train":
        raise ModelError(_no_training(spec))
    vae_number = number
    # Said by the config itself: diffusers' default is True, for models that overflow in fp16 and those that do not.
    if configs["vae"].get("force_upcast") and number is torch.float16:
        vae_number = torch.float32
    vae_class = _vae_class(configs["vae"].get("_class_name"), folder)
    tokenizers = {part: _load_tokenizer(CLIPTokenizer, folder / part) for part in tokenizer_folders(second)}
    parts = {
        "unet": _load(UNet2DConditionModel, folder, "unet", number, variants),
        "vae": _load(vae_class, folder, "vae", vae_number, variants),
        "text_encoder": _load(CLIPTextModel, folder, "text_encoder", number, variants),
    }
    if second:
        part = sdxl.SECOND_ENCODER
        parts[part] = _load(CLIPTextModelWithProjection, folder, part, number, variants)
    facts = {
        **tokenizers,
        "zero_null_text": sdxl.zeroes_null_text(configs["index"]),
        "scaled_condition": sdxl.scales_condition(configs["index"], configs["scheduler"]),
    }
    return parts, facts, configs["scheduler"]


def _read_file(spec: ModelSpec, number: torch.dtype, variants: Variants, use: ModelUse) -> _Loaded:
    from transformers import CLIPTokenizer

    file = Path(spec.source)
    found = read_parts(file, number)
    parts, second = found.parts, found.is_sdxl
    _check_channels(spec, file, parts["unet"].config, parts["vae"].config if "vae" in parts else {}, use)
    if second and use == "train":
        raise ModelError(_no_training(spec))
    _complete(file, found, number, variants)
    if second:
        sdxl.check_pooled(spec.name, file, parts["unet"].config, vars(parts[sdxl.SECOND_ENCODER].config))
    facts: dict[str, Any] = {"zero_null_text": second, "scaled_condition": second and sdxl.is_edm(found.scheduler)}
    for part in tokenizer_folders(second):
        # OpenCLIP's, whose folders elsewhere say otherwise, is padded with the token 0.
        padding = {"pad_token": "!"} if part == sdxl.SECOND_TOKENIZER else {}
        facts[part] = _load_tokenizer(CLIPTokenizer, companion(file, part, second), **padding)
        words, known = len(facts[part]), parts[part.replace("tokenizer", "text_encoder")].config.vocab_size
        if words != known:
            raise ModelError(
                f"{file}: its text encoder knows {known} tokens, the tokenizer {facts[part].name_or_path} has {words}"
            )
    return parts, facts, found.scheduler


def _complete(file: Path, found: Contents, number: torch.dtype, variants: Variants) -> None:
    """Load the models that the file lacks from where they are."""
    from diffusers import AutoencoderKL
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    classes = {"vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    if found.is_sdxl:
        classes[sdxl.SECOND_ENCODER] = CLIPTextModelWithProjection
    for part, cls in classes.items():
        if part not in found.parts:
            wide = found.is_sdxl and part == "vae" and number is torch.float16  # it overflows
            folder = companion(file, part, found.is_sdxl).parent
            found.parts[part] = _load(cls, folder, part, torch.float32 if wide else number, variants)


def _no_training(spec: ModelSpec) -> str:
    return f"model {spec.name} is an SDXL model; training starts from models of Stable Diffusion 1.5"


def _read_configs(folder: Path) -> dict[str, dict[str, Any]]:
    index = read_json(folder / "model_index.json")
    configs = {part: read_json(folder / part / "config.json") for part in parts_of(index)}
    return {**configs, "index": index, "scheduler": read_json(folder / SCHEDULER_CONFIG)}


def _check_channels(
    spec: ModelSpec, path: Path, unet: Mapping[str, Any], vae: Mapping[str, Any], use: ModelUse
) -> None:
    """path: what says so. unet, vae: their configs."""
    latent = vae.get("latent_channels", 4)
    takes = unet.get("in_channels", 4)
    if takes == latent and use != "edit":
        return
    if use == "paint":
        raise ModelError(
            f"model {spec.name} is no text-to-image model: its UNet takes {takes} channels instead of {latent} "
            f"({path}). Use one that is, such as stable-diffusion-v1-5/stable-diffusion-v1-5"
        )
    if takes == latent:
        raise ModelError(
            f"model {spec.name} is a text-to-image model: its UNet takes {takes} channels, an editing model's takes "
            f"{2 * latent} ({path}). Use an InstructPix2Pix model, such as instruct-pix2pix"
        )
    if takes != 2 * latent:
        raise ModelError(
            f"model {spec.name} is no InstructPix2Pix model: its UNet takes {takes} channels instead of {2 * latent} "
            f"({path}). Use one that is, such as instruct-pix2pix"
        )


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
    """One component, with every tensor from the file: a model half random would run, and make nonsense."""
    stem = (WEIGHTS | SECOND_WEIGHTS)[part]
    found = find_weights(folder / part, stem, variants)
    if found is None:
        wanted = folder / part / f"{stem}.safetensors"
        raise ModelError(f"the model lacks {wanted}; ip2p reads safetensors only, never pickle files (.bin, .ckpt)")
    path, variant = found
    try:
        model, info = cls.from_pretrained(
            str(folder / part),
            dtype=dtype,
            variant=variant,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:
        # Truncated file, wrong shapes, wrong config: the libraries raise anything from OSError to RuntimeError.
        raise ModelError(f"{path} cannot be loaded ({reason(error)}); fetch or export the model again") from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(f"{path} lacks {len(missing)} tensors, such as {missing[0]}; fetch or export the model again")
    return model


def _load_tokenizer(cls: Any, tokenizer: Path, **changes: str) -> Any:
    # Without these transformers would make up an empty vocabulary.
    if not any((tokenizer / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ModelError(f"the model lacks {tokenizer / 'tokenizer.json'} (or vocab.json); fetch or export it again")
    try:
        return cls.from_pretrained(str(tokenizer), local_files_only=True, **changes)
    except Exception as error:
        raise ModelError(f"{tokenizer} cannot be loaded ({reason(error)}); fetch or export the model again") from error
