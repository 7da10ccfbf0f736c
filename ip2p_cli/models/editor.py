"""A loaded editing model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ip2p_cli.types import ModelSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class Editor:
    """The parts of a loaded model, without behaviour of its own.

    Attributes:
        scheduler_config: The model's own scheduler config, as read; `diffusion.samplers` builds samplers from it.
        device: Where the parts compute, wherever offloading keeps them.
        dtype: The number format of the UNet and the text encoders. The VAE may be in float32.
        text_encoder_2: SDXL's second text encoder.
        tokenizer_2: SDXL's second tokenizer.
        zero_null_text: Whether the empty instruction is encoded as zeros (SDXL).
        scaled_condition: Whether the image condition is multiplied by `scaling_factor` (CosXL-edit).
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
        return vae_factor(self.vae.config)

    @property
    def scaling_factor(self) -> float:
        """Ratio of the sampler's latents to the VAE's."""
        return float(self.vae.config.scaling_factor)

    @property
    def condition_factor(self) -> float:
        """Factor of the image condition in the UNet's input: 1 except for CosXL-edit."""
        return self.scaling_factor if self.scaled_condition else 1.0

    @property
    def noise_offset(self) -> float:
        """The offset of the initial noise, see `editing.initial_noise`: 0 for most models."""
        return float(self.unet.config.get("noise_offset", 0.0))

    @property
    def latent_channels(self) -> int:
        """Channels of a latent; the UNet takes twice as many."""
        return int(self.vae.config.latent_channels)

    @property
    def text_length(self) -> int:
        """Tokens of an instruction, with its start and end tokens."""
        # A tokenizer without a limit reports 1e30.
        return min(int(self.tokenizer.model_max_length), int(self.text_encoder.config.max_position_embeddings))


def vae_factor(config: Any) -> int:
    """Pixels per latent pixel of the VAE with this `config`."""
    return int(getattr(config, "patch_size", None) or 2 ** (len(config.block_out_channels) - 1))


def token_ids(tokenizer: Any, texts: Sequence[str], length: int) -> torch.Tensor:
    """Tokenize N texts to ids (N, length) on the CPU, padded and cut off."""
    tokens = tokenizer(list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    ids: torch.Tensor = tokens.input_ids
    return ids
