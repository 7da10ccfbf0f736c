"""The files of a model in a folder or the hub's cache, fetched from the hub where they are missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ip2p_cli.errors import ModelError
from ip2p_cli.models import sdxl
from ip2p_cli.models.hub import download, find_cached, offline, read_json, reason
from ip2p_cli.models.registry import is_weight_file
from ip2p_cli.types import ModelSpec

# Stem of the weight files by the part's folder.
WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
SECOND_WEIGHTS = {sdxl.SECOND_ENCODER: "model"}
_ALL_WEIGHTS = {**WEIGHTS, **SECOND_WEIGHTS}
SCHEDULER_CONFIG = "scheduler/scheduler_config.json"
# File variants in order of preference; None is the variant without a name.
Variants = tuple[str | None, str | None]


def fetch(spec: ModelSpec, *, dtype: str) -> Path:
    """Fetch the newest files that `load_editor` needs, unless offline; returns the model's folder.

    Raises:
        ModelError: The files cannot be fetched, or are missing offline.
    """
    return model_folder(spec, variants_of(spec, dtype), newest=not offline())


def weight_files(spec: ModelSpec, *, dtype: str) -> list[Path]:
    """List the weight files that `load_editor` reads in `dtype`, and fetch missing ones."""
    if is_weight_file(spec.source):
        return [Path(spec.source)]
    variants = variants_of(spec, dtype)
    folder = model_folder(spec, variants)
    weights = [find_weights(folder / part, stem, variants) for part, stem in _ALL_WEIGHTS.items()]
    files = [file for path_and_variant in weights if path_and_variant for file in _indexed(path_and_variant[0])]
    return files or sorted(folder.rglob("*.safetensors"))


def _indexed(path: Path) -> list[Path]:
    """The files that an index names; a weight file itself."""
    if path.suffix != ".json":
        return [path]
    return [path.parent / name for name in sorted(set(read_json(path).get("weight_map", {}).values()))]


def variants_of(spec: ModelSpec, dtype: str) -> Variants:
    """File variants to look for in this order: smaller files first for half precision."""
    half = spec.variant or "fp16"
    return (half, None) if dtype == "fp16" else (None, half)


def model_folder(spec: ModelSpec, variants: Variants, newest: bool = False) -> Path:
    """The folder of `spec`; its files are fetched where they are incomplete, or where the `newest` are needed."""
    local = Path(spec.source)
    if local.is_absolute():
        if not local.is_dir():
            raise ModelError(f"model {spec.name}: its folder {local} is missing; install ip2p again, or give --model")
        return local
    cached = None if newest else find_cached(spec.source, spec.revision)
    if cached is not None and _has_weights(cached, variants):
        return cached
    if offline():
        raise ModelError(_unreachable(spec, "working offline, as IP2P_OFFLINE or HF_HUB_OFFLINE says"))
    try:
        for variant in variants:
            folder = download(spec.source, _patterns(variant), spec.revision)
            if _has_weights(folder, variants):
                break
        return folder
    except ModelError:
        raise
    except Exception as error:
        # Network, disk, login, missing repository: the hub client's exceptions differ from version to version.
        raise ModelError(_unreachable(spec, reason(error))) from error


def _patterns(variant: str | None) -> list[str]:
    # The second text encoder's match nothing in a model without it.
    weights = [f"{part}/{name}" for part, stem in _ALL_WEIGHTS.items() for name in _weight_names(stem, variant)]
    sharded = [f"{part}/{stem}-*-of-*.safetensors" for part, stem in _ALL_WEIGHTS.items()]
    configs = [f"{part}/config.json" for part in _ALL_WEIGHTS]
    tokenizers = [f"{part}/*" for part in tokenizer_folders(True)]
    return ["model_index.json", "ip2p.json", SCHEDULER_CONFIG, *tokenizers, *configs, *weights, *sharded]


def tokenizer_folders(is_sdxl: bool) -> tuple[str, ...]:
    """The tokenizers' folders; SDXL has two."""
    return ("tokenizer", sdxl.SECOND_TOKENIZER) if is_sdxl else ("tokenizer",)


def parts_of(index: Mapping[str, Any]) -> dict[str, str]:
    """The parts with weights of a model with this model_index.json, and the stems of their files."""
    return _ALL_WEIGHTS if sdxl.is_sdxl(index) else WEIGHTS


def _weight_names(stem: str, variant: str | None) -> tuple[str, str]:
    """A part's weight file, or the index of several."""
    middle = f".{variant}" if variant else ""
    return f"{stem}{middle}.safetensors", f"{stem}.safetensors.index{middle}.json"


def _has_weights(folder: Path, variants: Variants) -> bool:
    if not (folder / "model_index.json").is_file() or not (folder / SCHEDULER_CONFIG).is_file():
        return False
    index = read_json(folder / "model_index.json")
    complete = all(find_weights(folder / part, stem, variants) for part, stem in parts_of(index).items())
    return complete and all((folder / part).is_dir() for part in tokenizer_folders(sdxl.is_sdxl(index)))


def find_weights(part: Path, stem: str, variants: Variants) -> tuple[Path, str | None] | None:
    """The weight file of a part, or the index of several, and its variant; None where there is none."""
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
