"""From a ModelSpec to an Editor: fetch the files where they are missing, check them, load each component."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ip2p_cli.errors import ModelError
from ip2p_cli.models import sdxl
from ip2p_cli.models.device import torch_dtype
from ip2p_cli.models.hub import offline, reason
from ip2p_cli.models.lora import fuse
from ip2p_cli.models.registry import is_weight_file
from ip2p_cli.models.silence import download_bars, quiet
from ip2p_cli.models.single_file import Contents, companion, read_parts
from ip2p_cli.models.vae import load_vae
from ip2p_cli.types import Lora, ModelSpec, ModelUse

# Component folder -> stem of its weight files.
_WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
_SECOND_WEIGHTS = {sdxl.SECOND_ENCODER: "model"}
_SCHEDULER_CONFIG = "scheduler/scheduler_config.json"


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
    variants = _variants(spec, dtype)
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


_Variants = tuple[str | None, str | None]
# The models by name, the other fields of an Editor, the scheduler's config.
_Loaded = tuple[dict[str, Any], dict[str, Any], Mapping[str, Any]]


def _read_folder(spec: ModelSpec, number: torch.dtype, variants: _Variants, use: ModelUse) -> _Loaded:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    folder = _folder(spec, variants)
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
    tokenizers = {part: _load_tokenizer(CLIPTokenizer, folder / part) for part in _tokenizers(second)}
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


def _read_file(spec: ModelSpec, number: torch.dtype, variants: _Variants, use: ModelUse) -> _Loaded:
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
    for part in _tokenizers(second):
        # OpenCLIP's, whose folders elsewhere say otherwise, is padded with the token 0.
        padding = {"pad_token": "!"} if part == sdxl.SECOND_TOKENIZER else {}
        facts[part] = _load_tokenizer(CLIPTokenizer, companion(file, part, second), **padding)
        words, known = len(facts[part]), parts[part.replace("tokenizer", "text_encoder")].config.vocab_size
        if words != known:
            raise ModelError(
                f"{file}: its text encoder knows {known} tokens, the tokenizer {facts[part].name_or_path} has {words}"
            )
    return parts, facts, found.scheduler


def _complete(file: Path, found: Contents, number: torch.dtype, variants: _Variants) -> None:
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


def fetch(spec: ModelSpec, *, dtype: str) -> Path:
    """The folder of `spec`'s newest files on this machine, after fetching from the hub what `load_editor` needs of it.

    Offline, the files that are here will do. ModelError where they cannot be had.
    """
    return _folder(spec, _variants(spec, dtype), newest=not offline())


def weight_files(spec: ModelSpec, *, dtype: str) -> list[Path]:
    """The weight files that `load_editor` reads for `spec` in `dtype`; fetched where they are missing."""
    if is_weight_file(spec.source):
        return [Path(spec.source)]
    variants = _variants(spec, dtype)
    folder = _folder(spec, variants)
    parts = {**_WEIGHTS, **_SECOND_WEIGHTS}
    found = [_find_weights(folder / part, stem, variants) for part, stem in parts.items()]
    files = [path for match in found if match for path in _shards(match[0])]
    return files or sorted(folder.rglob("*.safetensors"))


def _shards(path: Path) -> list[Path]:
    """The file itself, or those that an index names."""
    if path.suffix != ".json":
        return [path]
    return [path.parent / name for name in sorted(set(_read_json(path).get("weight_map", {}).values()))]


def _variants(spec: ModelSpec, dtype: str) -> _Variants:
    """File variants in order of preference; None is the plain one. Half the bytes will do for half precision."""
    half = spec.variant or "fp16"
    return (half, None) if dtype == "fp16" else (None, half)


# --- Where the files are


def _folder(spec: ModelSpec, variants: _Variants, newest: bool = False) -> Path:
    """The folder that holds `spec`; fetched from the hub where no complete one is on this machine."""
    local = Path(spec.source)
    if local.is_absolute():
        if not local.is_dir():
            raise ModelError(f"model {spec.name}: its folder {local} is missing; install ip2p again, or give --model")
        return local
    try:
        from huggingface_hub import snapshot_download

        cached = None if newest else _cached_folder(spec, variants)
        if cached is not None:
            return cached
        if offline():
            raise ModelError(_unreachable(spec, "working offline, as IP2P_OFFLINE or HF_HUB_OFFLINE says"))
        for variant in variants:
            with download_bars():
                folder = snapshot_download(spec.source, revision=spec.revision, allow_patterns=_patterns(variant))
            if _has_weights(Path(folder), variants):
                break
        return Path(folder)
    except ModelError:
        raise
    except Exception as error:
        # Network, disk, login, missing repository: the hub client's exception tree differs from version to version.
        raise ModelError(_unreachable(spec, reason(error))) from error


def _cached_folder(spec: ModelSpec, variants: _Variants) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(spec.source, revision=spec.revision, local_files_only=True))
    except FileNotFoundError:
        return None
    return folder if _has_weights(folder, variants) else None


def _patterns(variant: str | None) -> list[str]:
    # A model without a second text encoder has no such files to fetch.
    parts = {**_WEIGHTS, **_SECOND_WEIGHTS}
    weights = [f"{part}/{name}" for part, stem in parts.items() for name in _weight_names(stem, variant)]
    sharded = [f"{part}/{stem}-*-of-*.safetensors" for part, stem in parts.items()]
    configs = [f"{part}/config.json" for part in parts]
    tokenizers = [f"{part}/*" for part in _tokenizers(True)]
    return ["model_index.json", "ip2p.json", _SCHEDULER_CONFIG, *tokenizers, *configs, *weights, *sharded]


def _tokenizers(second: bool) -> tuple[str, ...]:
    return ("tokenizer", sdxl.SECOND_TOKENIZER) if second else ("tokenizer",)


def _parts(index: Mapping[str, Any]) -> dict[str, str]:
    """The components with weights that model_index.json makes necessary, with the stems of their files."""
    return {**_WEIGHTS, **(_SECOND_WEIGHTS if sdxl.is_sdxl(index) else {})}


def _weight_names(stem: str, variant: str | None) -> tuple[str, str]:
    """One file with everything, or the index of several."""
    middle = f".{variant}" if variant else ""
    return f"{stem}{middle}.safetensors", f"{stem}.safetensors.index{middle}.json"


def _has_weights(folder: Path, variants: _Variants) -> bool:
    if not (folder / "model_index.json").is_file() or not (folder / _SCHEDULER_CONFIG).is_file():
        return False
    index = _read_json(folder / "model_index.json")
    complete = all(_find_weights(folder / part, stem, variants) for part, stem in _parts(index).items())
    return complete and all((folder / part).is_dir() for part in _tokenizers(sdxl.is_sdxl(index)))


def _find_weights(part: Path, stem: str, variants: _Variants) -> tuple[Path, str | None] | None:
    for variant in variants:
        for name in _weight_names(stem, variant):
            if (part / name).is_file():
                return part / name, variant
    return None


def _unreachable(spec: ModelSpec, reason: str) -> str:
    revision = f" --revision {spec.revision}" if spec.revision else ""
    return (
        f"model {spec.name} is not on this machine, and huggingface.co/{spec.source} could not be fetched ({reason}). "
        f"On a machine with a network run `hf download {spec.source}{revision} --local-dir FOLDER`, copy FOLDER here "
        "and give --model FOLDER; or use the built-in model: --model nano"
    )


# --- What the files hold


def _read_configs(folder: Path) -> dict[str, dict[str, Any]]:
    index = _read_json(folder / "model_index.json")
    configs = {part: _read_json(folder / part / "config.json") for part in _parts(index)}
    return {**configs, "index": index, "scheduler": _read_json(folder / _SCHEDULER_CONFIG)}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"the model lacks {path}; fetch or export it again, in diffusers layout") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({reason(error)}); fetch the model again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} must hold a JSON object; fetch the model again")
    return content


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


def _load(cls: Any, folder: Path, part: str, dtype: torch.dtype, variants: _Variants) -> Any:
    """One component, with every tensor from the file: a model half random would run, and make nonsense."""
    stem = (_WEIGHTS | _SECOND_WEIGHTS)[part]
    found = _find_weights(folder / part, stem, variants)
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
