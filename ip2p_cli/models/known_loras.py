"""LoRAs with a name: fetched from the hub once, and used by presets. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ip2p_cli.errors import ModelError
from ip2p_cli.models.hub import OnDisk, download, find_cached, offline, on_disk, read_json, reason
from ip2p_cli.models.registry import PAPER_DEFAULTS, SDXL_DEFAULTS, find_model, is_weight_file
from ip2p_cli.types import Lora, ModelSpec

FILE = "pytorch_lora_weights.safetensors"
_TEXT_WIDTH = 768  # of Stable Diffusion 1.5's text encoder

LORAS: Mapping[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="lcm-lora-sdv1-5",
            source="latent-consistency/lcm-lora-sdv1-5",
            description="a LoRA for models of Stable Diffusion 1.5's shape: edits in 4 steps, for --preset turbo",
            licence="CreativeML Open RAIL++-M: see the model's page on huggingface.co",
            size_mb=135,
        ),
    )
}


def known_lora(lora: Lora) -> ModelSpec | None:
    """The entry of `LORAS` that a LoRA names; None for a file or a folder."""
    name = str(lora.path)
    return LORAS[name] if name in LORAS and not lora.path.exists() else None


def lora_on_disk(spec: ModelSpec) -> OnDisk | None:
    """Where a LoRA of `LORAS` is on this machine; None where it is not."""
    folder = find_cached(spec.source, spec.revision)
    file = folder / FILE if folder is not None else None
    return OnDisk(file, file.stat().st_size, True) if file is not None and file.is_file() else None


def fetch_lora(spec: ModelSpec) -> Path:
    """The file of a LoRA of `LORAS`; fetched if it is not on this machine.

    Raises:
        ModelError: It cannot be fetched.
    """
    here = lora_on_disk(spec)
    if here is not None:
        return here.path
    if offline():
        raise ModelError(_unreachable(spec, "working offline, as IP2P_OFFLINE or HF_HUB_OFFLINE says"))
    try:
        return download(spec.source, [FILE], spec.revision) / FILE
    except ModelError:
        raise
    except Exception as error:
        # Network, disk, login: the hub client's exceptions differ from version to version.
        raise ModelError(_unreachable(spec, reason(error))) from error


def fits(spec: ModelSpec) -> bool:
    """Whether the LoRAs of `LORAS` may fit a model, as far as its files here say: whether it is like SD 1.5."""
    if is_weight_file(spec.source):
        return find_model(spec.source).defaults == PAPER_DEFAULTS
    here = on_disk(spec)
    if here is not None and (here.path / "unet" / "config.json").is_file():
        return read_json(here.path / "unet" / "config.json").get("cross_attention_dim") == _TEXT_WIDTH
    return spec.defaults != SDXL_DEFAULTS


def _unreachable(spec: ModelSpec, why: str) -> str:
    return (
        f"the LoRA {spec.name} is not on this machine, and huggingface.co/{spec.source} could not be fetched ({why}). "
        f"On a machine with a network run `ip2p models pull {spec.name}`, or give its {FILE} with --lora FILE"
    )
