"""Models of SDXL's architecture: two text encoders, size conditions, and CosXL's noise levels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ip2p_cli.errors import ModelError

SECOND_ENCODER = "text_encoder_2"
SECOND_TOKENIZER = "tokenizer_2"

# CosXL's "cosine-continuous EDM v-prediction", as diffusers' documentation sets it up for cosxl_edit.safetensors.
COSXL_SCHEDULER: Mapping[str, Any] = MappingProxyType(
    {
        "_class_name": "EDMEulerScheduler",
        "sigma_min": 0.002,
        "sigma_max": 120.0,
        "sigma_data": 1.0,
        "sigma_schedule": "exponential",
        "prediction_type": "v_prediction",
        "final_sigmas_type": "zero",
        "num_train_timesteps": 1000,
    }
)

# Of Stable Diffusion 1.5 and SDXL.
NOISE_SCHEDULE: Mapping[str, Any] = MappingProxyType(
    {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "steps_offset": 1,
    }
)
# Of stable-diffusion-xl-base-1.0.
SDXL_SCHEDULER: Mapping[str, Any] = MappingProxyType(
    {"_class_name": "EulerDiscreteScheduler", **NOISE_SCHEDULE, "timestep_spacing": "leading"}
)
SCALING = 0.13025  # scaling factor of SDXL's VAE
# Tensors in a single file that tell how it was trained.
COSXL_KEY = "edm_vpred.sigma_max"
V_PREDICTION_KEY = "v_pred"


def is_sdxl(index: Mapping[str, Any]) -> bool:
    """Whether model_index.json names a second text encoder."""
    named = index.get(SECOND_ENCODER)
    return isinstance(named, list) and bool(named) and named[0] is not None


def zeroes_null_text(index: Mapping[str, Any]) -> bool:
    """Whether the empty instruction is encoded as zeros: the default of SDXL models."""
    return is_sdxl(index) and bool(index.get("force_zeros_for_empty_prompt", True))


def scales_condition(index: Mapping[str, Any], scheduler: Mapping[str, Any]) -> bool:
    """Whether the image condition is multiplied by the VAE's scaling factor, as in CosXL-edit.

    diffusers 0.42 does not save the flag `is_cosxl_edit`. Without it an EDM schedule identifies the model.
    """
    flag = index.get("is_cosxl_edit")
    return is_sdxl(index) and (is_edm(scheduler) if flag is None else bool(flag))


def is_edm(scheduler: Mapping[str, Any]) -> bool:
    """Whether the noise levels are those of EDM (Karras et al. 2022, arXiv:2206.00364), and not discrete betas."""
    return str(scheduler.get("_class_name", "")).startswith("EDM")


def check_parts(name: str, folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ModelError where the UNet and the text encoders of a model do not fit together.

    Args:
        name: The model's name.
        folder: The model's folder.
        configs: The configs by part; "index" is model_index.json.
    """
    unet = configs["unet"]
    where = folder / "unet" / "config.json"
    adds = unet.get("addition_embed_type")
    if not is_sdxl(configs["index"]):
        # "text" needs the hidden states only.
        if adds not in (None, "text"):
            raise ModelError(
                f"model {name} is incomplete: its UNet wants {adds!r} ({where}), but {folder / 'model_index.json'} "
                "names no text_encoder_2; fetch or export it again"
            )
        return
    if adds != "text_time":
        raise ModelError(
            f"model {name} has two text encoders, but its UNet is not SDXL's: addition_embed_type is {adds!r} instead "
            f"of 'text_time' ({where})"
        )
    check_pooled(name, where, unet, configs[SECOND_ENCODER])
    if configs["vae"].get("latents_mean") is not None:
        raise ModelError(f"model {name}: a VAE with latents_mean ({folder / 'vae' / 'config.json'}) is not supported")


def check_pooled(name: str, where: Path, unet: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Raise ModelError unless the UNet takes the second text encoder's pooled text.

    Args:
        name: The model's name.
        where: The file with the UNet's config.
        unet: The UNet's config.
        second: The second text encoder's config.
    """
    takes = unet.get("projection_class_embeddings_input_dim")
    gives = second.get("projection_dim", 512) + 6 * (unet.get("addition_time_embed_dim") or 0)
    if takes != gives:
        raise ModelError(
            f"model {name} does not fit together: its UNet takes {takes} numbers of size and pooled text ({where}), "
            f"its second text encoder and the sizes give {gives}"
        )
