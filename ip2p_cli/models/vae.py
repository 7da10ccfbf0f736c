"""Replacing a model's VAE by another: a folder, a file in either naming, or a hub id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ip2p_cli.errors import ModelError
from ip2p_cli.folders import expand_home
from ip2p_cli.models.editor import vae_factor
from ip2p_cli.models.hub import download, find_cached, offline, read_json, reason
from ip2p_cli.models.library_logging import loading
from ip2p_cli.models.registry import is_weight_file
from ip2p_cli.models.single_file import below, build_vae
from ip2p_cli.models.tensors import read_tensors

WEIGHTS = "diffusion_pytorch_model.safetensors"


def load_vae(source: str, *, like: Any) -> Any:
    """Load an AutoencoderKL onto the CPU that can replace the VAE `like`, in its dtype.

    The scaling factor of a file is that of a config.json beside it, otherwise that of `like`.

    Raises:
        ModelError: There is no VAE at `source`, it is damaged, or its latents have another shape.
    """
    from diffusers import AutoencoderKL

    path = find_vae(source)
    if path.is_dir():
        with loading(f"--vae {path} cannot be loaded", "give another, or fetch it again"):
            # This converts the older attention names of published VAEs, and does not refuse missing tensors.
            vae, info = AutoencoderKL.from_pretrained(
                str(path), dtype=like.dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
        if info["missing_keys"]:
            raise ModelError(f"--vae {path} lacks tensors, such as {min(info['missing_keys'])}; fetch it again")
    else:
        vae = _from_file(path, like)
    _check(source, vae, like)
    return vae


def find_vae(source: str) -> Path:
    """Find the VAE's file, or its folder with config.json, and fetch it from the hub where it is missing.

    Args:
        source: A file, a folder or a hub id; a whole model stands for the `vae` in it.

    Raises:
        ModelError: There is no VAE.
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
    for candidate in (folder, folder / "vae"):
        if (candidate / "config.json").is_file() and (candidate / WEIGHTS).is_file():
            return candidate
    return None


def _fetch(source: str) -> Path:
    fix = "give a folder, a .safetensors file or a hub id (owner/name), such as stabilityai/sd-vae-ft-mse"
    if source.count("/") != 1 or source.startswith(("/", ".", "~")):
        raise ModelError(f"--vae {source}: there is no such folder or file; {fix}")
    if offline():
        raise ModelError(f"--vae {source} is not on this machine, and IP2P_OFFLINE or HF_HUB_OFFLINE is set; {fix}")
    try:
        return download(source, [f"{place}{name}" for place in ("", "vae/") for name in ("config.json", WEIGHTS)])
    except Exception as error:  # the client's exceptions differ from version to version
        raise ModelError(f"--vae {source} could not be fetched ({reason(error)}); {fix}") from error


def _from_file(file: Path, like: Any) -> Any:
    tensors = read_tensors(file)
    tensors = below(tensors, "first_stage_model.") or below(tensors, "vae.") or tensors
    try:
        return build_vae(file, tensors, like.dtype, _scaling_factor(file, like))
    except KeyError as error:
        raise ModelError(f"--vae {file} is no autoencoder: it lacks the tensor {error.args[0]}") from error


def _scaling_factor(file: Path, like: Any) -> float:
    config = file.parent / "config.json"
    if not config.is_file():
        return float(like.config.scaling_factor)
    factor = read_json(config, "repair or delete it").get("scaling_factor", like.config.scaling_factor)
    try:
        return float(factor)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{config}: scaling_factor must be a number, not {factor!r}; repair or delete it") from error


def _check(source: str, vae: Any, like: Any) -> None:
    has, needs = (
        f"{config.latent_channels} channels, 1/{vae_factor(config)} of the size" for config in (vae.config, like.config)
    )
    if has != needs:
        raise ModelError(f"--vae {source} does not fit: its latents have {has}; the model's have {needs}")
