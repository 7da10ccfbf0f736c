"""Another autoencoder for a model: a folder, one file in either naming, or a hub id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ip2p_cli.errors import ModelError
from ip2p_cli.folders import expand_home
from ip2p_cli.models.hub import find_cached, offline, reason
from ip2p_cli.models.library_logging import download_bars
from ip2p_cli.models.registry import is_weight_file
from ip2p_cli.models.single_file import build_vae
from ip2p_cli.models.tensors import read_tensors

WEIGHTS = "diffusion_pytorch_model.safetensors"


def load_vae(source: str, *, like: Any) -> Any:
    """The AutoencoderKL at `source`, on the CPU, to stand in for the autoencoder `like` and in its dtype.

    A single file's scaling factor is said by a config.json beside it, else it is that of `like`. Raises ModelError
    where there is none, it is damaged, or its latents are not of the same shape as those of `like`.
    """
    from diffusers import AutoencoderKL

    path = find_vae(source)
    if path.is_dir():
        try:
            # The older attention names of published VAEs are known to it; missing tensors are not refused by it.
            vae, info = AutoencoderKL.from_pretrained(
                str(path), dtype=like.dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
        except Exception as error:  # the library raises anything from OSError to RuntimeError
            raise ModelError(
                f"--vae {path} cannot be loaded ({reason(error)}); give another, or fetch it again"
            ) from error
        if info["missing_keys"]:
            raise ModelError(f"--vae {path} lacks tensors, such as {min(info['missing_keys'])}; fetch it again")
    else:
        vae = _from_file(path, like)
    _check(source, vae, like)
    return vae


def find_vae(source: str) -> Path:
    """The file or the folder (with its config.json) that `source` stands for; fetched from the hub if need be.

    A model's folder or repository stands for the `vae` in it. ModelError where there is none.
    """
    path = expand_home(source)
    if is_weight_file(source):
        return path
    folder = path if path.is_dir() else find_cached(source)
    if folder is None or (not path.is_dir() and _inside(folder) is None):
        folder = _fetch(source)
    inside = _inside(folder)
    if inside is None:
        raise ModelError(f"--vae {source}: {folder} holds no config.json with {WEIGHTS}; give an autoencoder's folder")
    return inside.resolve()


def _inside(folder: Path) -> Path | None:
    places = (folder, folder / "vae")
    return next((p for p in places if (p / "config.json").is_file() and (p / WEIGHTS).is_file()), None)


def _fetch(source: str) -> Path:
    fix = "give a folder, a .safetensors file or a hub id (owner/name), such as stabilityai/sd-vae-ft-mse"
    if source.count("/") != 1 or source.startswith(("/", ".", "~")):
        raise ModelError(f"--vae {source}: there is no such folder or file; {fix}")
    if offline():
        raise ModelError(f"--vae {source} is not on this machine, and IP2P_OFFLINE or HF_HUB_OFFLINE is set; {fix}")
    from huggingface_hub import snapshot_download

    names = [f"{place}{name}" for place in ("", "vae/") for name in ("config.json", WEIGHTS)]
    try:
        with download_bars():
            return Path(snapshot_download(source, allow_patterns=names))
    except Exception as error:  # the client's exceptions differ from version to version
        raise ModelError(f"--vae {source} could not be fetched ({reason(error)}); {fix}") from error


def _from_file(file: Path, like: Any) -> Any:
    tensors = read_tensors(file)
    for prefix in ("first_stage_model.", "vae."):
        below = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        tensors = below or tensors
    try:
        return build_vae(file, tensors, like.dtype, _scaling_factor(file, like))
    except KeyError as error:
        raise ModelError(f"--vae {file} is no autoencoder: it lacks the tensor {error.args[0]}") from error


def _scaling_factor(file: Path, like: Any) -> float:
    config = file.parent / "config.json"
    if not config.is_file():
        return float(like.config.scaling_factor)
    try:
        said = json.loads(config.read_text("utf-8"))
        return float(said.get("scaling_factor", like.config.scaling_factor))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{config} cannot be read ({reason(error)}); repair or delete it") from error


def _check(source: str, vae: Any, like: Any) -> None:
    sizes = []
    for model in (vae, like):
        patch = getattr(model.config, "patch_size", None)
        factor = int(patch or 2 ** (len(model.config.block_out_channels) - 1))
        sizes.append(f"{model.config.latent_channels} channels, 1/{factor} of the size")
    if sizes[0] != sizes[1]:
        raise ModelError(f"--vae {source} does not fit: its latents have {sizes[0]}; the model's have {sizes[1]}")
