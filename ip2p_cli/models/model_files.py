"""Where a model's files are: in a folder, in the hub's cache, or fetched from the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ip2p_cli.errors import ModelError
from ip2p_cli.models import sdxl
from ip2p_cli.models.hub import offline, reason
from ip2p_cli.models.library_logging import download_bars
from ip2p_cli.models.registry import is_weight_file
from ip2p_cli.types import ModelSpec

# Component folder -> stem of its weight files.
WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
SECOND_WEIGHTS = {sdxl.SECOND_ENCODER: "model"}
SCHEDULER_CONFIG = "scheduler/scheduler_config.json"
# File variants in order of preference; None is the plain one.
Variants = tuple[str | None, str | None]


def fetch(spec: ModelSpec, *, dtype: str) -> Path:
    """The folder of `spec`'s newest files on this machine, after fetching from the hub what `load_editor` needs of it.

    Offline, the files that are here will do. ModelError where they cannot be had.
    """
    return model_folder(spec, variants_of(spec, dtype), newest=not offline())


def weight_files(spec: ModelSpec, *, dtype: str) -> list[Path]:
    """The weight files that `load_editor` reads for `spec` in `dtype`; fetched where they are missing."""
    if is_weight_file(spec.source):
        return [Path(spec.source)]
    variants = variants_of(spec, dtype)
    folder = model_folder(spec, variants)
    parts = {**WEIGHTS, **SECOND_WEIGHTS}
    found = [find_weights(folder / part, stem, variants) for part, stem in parts.items()]
    files = [path for match in found if match for path in _shards(match[0])]
    return files or sorted(folder.rglob("*.safetensors"))


def _shards(path: Path) -> list[Path]:
    """The file itself, or those that an index names."""
    if path.suffix != ".json":
        return [path]
    return [path.parent / name for name in sorted(set(read_json(path).get("weight_map", {}).values()))]


def variants_of(spec: ModelSpec, dtype: str) -> Variants:
    """File variants in order of preference; None is the plain one. Half the bytes will do for half precision."""
    half = spec.variant or "fp16"
    return (half, None) if dtype == "fp16" else (None, half)


def model_folder(spec: ModelSpec, variants: Variants, newest: bool = False) -> Path:
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


def _cached_folder(spec: ModelSpec, variants: Variants) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(spec.source, revision=spec.revision, local_files_only=True))
    except FileNotFoundError:
        return None
    return folder if _has_weights(folder, variants) else None


def _patterns(variant: str | None) -> list[str]:
    # A model without a second text encoder has no such files to fetch.
    parts = {**WEIGHTS, **SECOND_WEIGHTS}
    weights = [f"{part}/{name}" for part, stem in parts.items() for name in _weight_names(stem, variant)]
    sharded = [f"{part}/{stem}-*-of-*.safetensors" for part, stem in parts.items()]
    configs = [f"{part}/config.json" for part in parts]
    tokenizers = [f"{part}/*" for part in tokenizer_folders(True)]
    return ["model_index.json", "ip2p.json", SCHEDULER_CONFIG, *tokenizers, *configs, *weights, *sharded]


def tokenizer_folders(second: bool) -> tuple[str, ...]:
    """The tokenizers' folders; second: SDXL has two."""
    return ("tokenizer", sdxl.SECOND_TOKENIZER) if second else ("tokenizer",)


def parts_of(index: Mapping[str, Any]) -> dict[str, str]:
    """The components with weights that model_index.json makes necessary, with the stems of their files."""
    return {**WEIGHTS, **(SECOND_WEIGHTS if sdxl.is_sdxl(index) else {})}


def _weight_names(stem: str, variant: str | None) -> tuple[str, str]:
    """One file with everything, or the index of several."""
    middle = f".{variant}" if variant else ""
    return f"{stem}{middle}.safetensors", f"{stem}.safetensors.index{middle}.json"


def _has_weights(folder: Path, variants: Variants) -> bool:
    if not (folder / "model_index.json").is_file() or not (folder / SCHEDULER_CONFIG).is_file():
        return False
    index = read_json(folder / "model_index.json")
    complete = all(find_weights(folder / part, stem, variants) for part, stem in parts_of(index).items())
    return complete and all((folder / part).is_dir() for part in tokenizer_folders(sdxl.is_sdxl(index)))


def find_weights(part: Path, stem: str, variants: Variants) -> tuple[Path, str | None] | None:
    """The weight file of a component, or the index of several, and its variant; None where there is none."""
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


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; ModelError where the file is missing or holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"the model lacks {path}; fetch or export it again, in diffusers layout") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({reason(error)}); fetch the model again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} must hold a JSON object; fetch the model again")
    return content
