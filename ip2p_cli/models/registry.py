"""The models with a name, and finding the ModelSpec of a name. Imports neither torch nor a hub client."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from ip2p_cli.errors import ModelError
from ip2p_cli.folders import expand_home
from ip2p_cli.models.hub import read_json
from ip2p_cli.models.pipelines import PIPELINES
from ip2p_cli.models.sdxl import COSXL_KEY, is_edm, is_sdxl
from ip2p_cli.suggest import did_you_mean
from ip2p_cli.types import EditSettings, ModelSpec

# The paper's settings, and the defaults of models that state none.
PAPER_DEFAULTS = EditSettings(steps=100, cfg_text=7.5, cfg_image=1.5, sampler="euler_a", resolution=512)
# As in diffusers' example for its SDXL InstructPix2Pix (examples/instruct_pix2pix/README_sdxl.md).
SDXL_DEFAULTS = EditSettings(steps=30, cfg_text=3.0, cfg_image=1.5, sampler="euler", resolution=768)
# diffusers' own scales; CosXL-edit was made for 1024 pixels, and its noise levels work with `euler` alone.
COSXL_DEFAULTS = EditSettings(steps=20, cfg_text=5.0, cfg_image=1.5, sampler="euler", resolution=1024)

_PAGE = "see the model's page on huggingface.co"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# The embedding of sizes, which only SDXL's UNet has, in the authors' naming and diffusers'.
_SDXL_NAMES = (b"label_emb.0.0.weight", b"add_embedding.linear_1.weight")
_LONGEST_HEADER = 100_000_000  # of safetensors, in bytes
_FILE_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth")


def _nano_folder() -> str:
    return str(resources.files("ip2p_cli.models").joinpath("nano", "weights"))


MODELS: Mapping[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="nano",
            source=_nano_folder(),
            description="the small built-in model: photographic looks (season, light, colour, medium), no download",
            licence="Apache-2.0",
            size_mb=40,
            multiple=32,
            defaults=EditSettings(steps=1, cfg_text=1.0, cfg_image=1.0, sampler="ddim", resolution=256),
        ),
        ModelSpec(
            name="instruct-pix2pix",
            source="timbrooks/instruct-pix2pix",
            description="the paper's model (Brooks et al. 2022), Stable Diffusion 1.5; sizes in fp32, half in fp16",
            licence=f"MIT; fine-tuned from Stable Diffusion 1.5 (CreativeML OpenRAIL-M): {_PAGE}",
            variant="fp16",
            size_mb=4270,
            defaults=PAPER_DEFAULTS,
        ),
        ModelSpec(
            name="magicbrush",
            source="vinesmsuic/magicbrush-jul7",
            # Safetensors exist only in the hub's conversion request; the main branch holds pickle files.
            revision="refs/pr/2",
            description="the paper's model fine-tuned on MagicBrush: real photos, local edits by hand",
            licence=f"fine-tuned from Stable Diffusion 1.5 (CreativeML OpenRAIL-M): {_PAGE}",
            size_mb=4270,
            defaults=PAPER_DEFAULTS,
        ),
        ModelSpec(
            name="hq-edit",
            source="MudeHui/HQ-Edit",
            description="the paper's model fine-tuned on HQ-Edit: 200,000 edits made with GPT-4V and DALL-E 3",
            licence=f"fine-tuned from Stable Diffusion 1.5 (CreativeML OpenRAIL-M): {_PAGE}",
            size_mb=4270,
            # Steps and scales as in the authors' example.
            defaults=EditSettings(steps=30, cfg_text=7.0, cfg_image=1.5, sampler="euler_a", resolution=512),
        ),
        ModelSpec(
            name="sdxl-instruct-pix2pix",
            source="diffusers/sdxl-instructpix2pix-768",
            description="Stable Diffusion XL trained on the paper's data at 768 px, by the diffusers team",
            licence=f"CreativeML Open RAIL++-M: {_PAGE}",
            size_mb=12270,
            defaults=SDXL_DEFAULTS,
        ),
    )
}


def is_weight_file(source: str) -> bool:
    """Whether `source` is a file with weights, and not a folder or a hub id."""
    return Path(source).suffix.lower() in _FILE_SUFFIXES and not Path(source).is_dir()


def known_models(extra: Mapping[str, ModelSpec] | None = None) -> dict[str, ModelSpec]:
    """The built-in models and the user's own, `extra`; raises ModelError where a name is in both."""
    extra = extra or {}
    for name in extra:
        if name in MODELS:
            raise ModelError(f"the config file's models.{name}: {name} is a built-in name; choose another")
    return {**MODELS, **extra}


def find_model(name: str, extra: Mapping[str, ModelSpec] | None = None) -> ModelSpec:
    """Find a model.

    A folder's file `ip2p.json` may state "name", "description", "licence", "multiple", "size_mb" and "defaults" (fields
    of EditSettings).

    Args:
        name: A model's name, a folder in diffusers layout, a file, or a hub id.
        extra: The user's own models by name; missing fields are those of their source.

    Raises:
        ModelError: There is no such model; the message has the nearest names.
    """
    known = known_models(extra)
    if name in MODELS:
        return MODELS[name]
    if name in known:
        return _own_spec(known[name])
    folder = expand_home(name)
    if name and folder.is_dir():
        return _folder_spec(folder.resolve())
    if is_weight_file(name):
        return _file_spec(folder)
    by_source = {spec.source: spec for spec in MODELS.values()}
    if name in by_source:
        return by_source[name]
    if _HUB_ID.fullmatch(name):
        return ModelSpec(name=name, source=name, description="from the hub", licence=_PAGE, defaults=PAPER_DEFAULTS)
    raise ModelError(
        f"unknown model {name!r}.{did_you_mean(name, known)} Give one of {', '.join(known)}, "
        "a hub id (owner/name), an existing folder in diffusers layout, or a .safetensors or .ckpt file"
    )


def _own_spec(entry: ModelSpec) -> ModelSpec:
    """Complete a model of the config file by the fields of its source."""
    if entry.revision and Path(entry.source).is_absolute():
        raise ModelError(f"the config file's models.{entry.name}: a revision is for hub ids; {entry.source} is local")
    source = find_model(entry.source)
    return replace(
        source,
        name=entry.name,
        description=entry.description or source.description,
        revision=entry.revision or source.revision,
        defaults=entry.defaults.or_else(source.defaults),
    )


def _file_spec(file: Path) -> ModelSpec:
    if not file.is_file():
        raise ModelError(f"{file}: there is no such file; give a .safetensors or .ckpt file that exists")
    file = file.resolve()
    return ModelSpec(
        name=file.stem,
        source=str(file),
        description=f"from {file}",
        licence="see where the file is from",
        size_mb=max(1, round(file.stat().st_size / 1e6)),
        defaults=_file_defaults(file),
    )


def _file_defaults(file: Path) -> EditSettings:
    """Default settings of the model in a file, by the names of its tensors."""
    names = _header(file)
    if COSXL_KEY.encode() in names:
        return COSXL_DEFAULTS
    return SDXL_DEFAULTS if any(name in names for name in _SDXL_NAMES) else PAPER_DEFAULTS


def _header(file: Path) -> bytes:
    """The bytes that contain a file's tensor names, unparsed: a safetensors header, or the pickle of a checkpoint.

    Empty for a damaged file, which the loader reports.
    """
    try:
        if file.suffix.lower() == ".safetensors":
            with file.open("rb") as opened:
                return opened.read(min(_LONGEST_HEADER, int.from_bytes(opened.read(8), "little")))
        with zipfile.ZipFile(file) as archive:
            pickled = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
            return archive.open(pickled).read(_LONGEST_HEADER) if pickled else b""
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return b""


def _folder_spec(folder: Path) -> ModelSpec:
    if not (folder / "model_index.json").is_file():
        if re.fullmatch(r"(checkpoint|step)-\d+", folder.name):
            fix = "it is a training checkpoint: give the model that the run wrote, such as RUN/model"
        else:
            fix = "give the folder of a model in diffusers layout"
        raise ModelError(f"{folder} has no model_index.json: {fix}")
    index = read_json(folder / "model_index.json", "repair or delete it")
    stated = read_json(folder / "ip2p.json", "repair or delete it") if (folder / "ip2p.json").is_file() else {}
    defaults = stated.pop("defaults", {})
    if not isinstance(defaults, dict):
        raise ModelError(f'{folder / "ip2p.json"} must hold a JSON object as "defaults"; repair or delete it')
    fallback: dict[str, Any] = {"name": folder.name, "description": f"from {folder}", "licence": "see its folder"}
    fixed: dict[str, Any] = {"source": str(folder)}
    pipeline = PIPELINES.get(str(index.get("_class_name")))
    if pipeline is not None:
        fallback["multiple"] = pipeline.multiple
        fixed |= {
            "pipeline": index["_class_name"],
            "supports": pipeline.supports,
            "least_cfg_text": pipeline.least_cfg_text,
        }
    try:
        fixed["defaults"] = EditSettings(**defaults).or_else(pipeline.defaults if pipeline else _index_defaults(index))
        return ModelSpec(**(fallback | stated | fixed))
    except TypeError:
        known = [f.name for f in fields(ModelSpec)] + [f"defaults.{f.name}" for f in fields(EditSettings)]
        raise ModelError(f"{folder / 'ip2p.json'} has an unknown field; known: {', '.join(known)}") from None


def _index_defaults(index: Mapping[str, Any]) -> EditSettings:
    """Default settings of the model with this model_index.json."""
    if not is_sdxl(index):
        return PAPER_DEFAULTS
    scheduler = index.get("scheduler")
    class_name = scheduler[-1] if isinstance(scheduler, list) and scheduler else ""
    return COSXL_DEFAULTS if is_edm({"_class_name": class_name}) else SDXL_DEFAULTS
