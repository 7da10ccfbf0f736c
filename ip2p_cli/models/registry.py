"""The models ip2p knows by name, and how a name becomes a ModelSpec. Imports neither torch nor a hub client."""

from __future__ import annotations

import json
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
from ip2p_cli.models.adapters import KINDS
from ip2p_cli.models.sdxl import COSXL_KEY, is_edm, is_sdxl
from ip2p_cli.suggest import did_you_mean
from ip2p_cli.types import EditSettings, ModelSpec

# The paper's own settings, and what a model without a word of its own gets.
PAPER_DEFAULTS = EditSettings(steps=100, cfg_text=7.5, cfg_image=1.5, sampler="euler_a", resolution=512)
# As in diffusers' example for its SDXL InstructPix2Pix (examples/instruct_pix2pix/README_sdxl.md).
SDXL_DEFAULTS = EditSettings(steps=30, cfg_text=3.0, cfg_image=1.5, sampler="euler", resolution=768)
# diffusers' own scales; CosXL-edit was made for 1024 pixels, and its noise levels work with `euler` alone.
COSXL_DEFAULTS = EditSettings(steps=20, cfg_text=5.0, cfg_image=1.5, sampler="euler", resolution=1024)

_PAGE = "see the model's page on huggingface.co"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# Only SDXL's UNet is told sizes; under the authors' name and diffusers'.
_SDXL_NAMES = (b"label_emb.0.0.weight", b"add_embedding.linear_1.weight")
_NAMES_AT_MOST = 100_000_000  # what safetensors allows for a header
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
    """Whether `source` names one file with weights, and not a folder or a hub id."""
    return Path(source).suffix.lower() in _FILE_SUFFIXES and not Path(source).is_dir()


def known_models(extra: Mapping[str, ModelSpec] | None = None) -> dict[str, ModelSpec]:
    """The table and the user's own entries `extra`; ModelError where an entry has a name of the table."""
    extra = extra or {}
    for name in extra:
        if name in MODELS:
            raise ModelError(f"the config file's models.{name}: {name} is a built-in name; choose another")
    return {**MODELS, **extra}


def find_model(name: str, extra: Mapping[str, ModelSpec] | None = None) -> ModelSpec:
    """The model called `name`: of the table or of `extra`, a folder in diffusers layout, a file, or a hub id.

    extra: the user's own entries by name; what they leave open comes from their folder or is the paper's. A folder
    may say what it wants in an `ip2p.json`: "name", "description", "licence", "multiple", "size_mb" and "defaults"
    (fields of EditSettings); otherwise it gets the paper's settings.
    Raises ModelError, with the nearest known names, for anything else.
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
    """An entry of the config file, completed by what its folder, its file or the table says of the source."""
    if entry.revision and Path(entry.source).is_absolute():
        raise ModelError(f"the config file's models.{entry.name}: a revision is for hub ids; {entry.source} is local")
    found = find_model(entry.source)
    return replace(
        found,
        name=entry.name,
        description=entry.description or found.description,
        revision=entry.revision or found.revision,
        defaults=entry.defaults.or_else(found.defaults),
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
    """What a model wants by the names of its tensors."""
    names = _names_in(file)
    if COSXL_KEY.encode() in names:
        return COSXL_DEFAULTS
    return SDXL_DEFAULTS if any(name in names for name in _SDXL_NAMES) else PAPER_DEFAULTS


def _names_in(file: Path) -> bytes:
    """The bytes among which a file's tensors are named, unread: a safetensors header, or the pickle of a checkpoint.

    Empty where there are none to be found; the loader says why.
    """
    try:
        if file.suffix.lower() == ".safetensors":
            with file.open("rb") as opened:
                return opened.read(min(_NAMES_AT_MOST, int.from_bytes(opened.read(8), "little")))
        with zipfile.ZipFile(file) as archive:
            pickled = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
            return archive.open(pickled).read(_NAMES_AT_MOST) if pickled else b""
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return b""


def _folder_spec(folder: Path) -> ModelSpec:
    if not (folder / "model_index.json").is_file():
        raise ModelError(f"{folder} has no model_index.json: give the folder of a model in diffusers layout")
    said = _read_object(folder / "ip2p.json")
    if not isinstance(said.get("defaults", {}), dict):
        raise ModelError(f'{folder / "ip2p.json"} must hold a JSON object as "defaults"; repair or delete it')
    wishes = said.pop("defaults", {})
    settings: dict[str, Any] = {"name": folder.name, "description": f"from {folder}", "licence": "see its folder"}
    index = _read_object(folder / "model_index.json")
    fixed: dict[str, Any] = {"source": str(folder)}
    kind = KINDS.get(str(index.get("_class_name")))
    if kind is not None:
        settings |= {"multiple": kind.multiple}
        fixed |= {"pipeline": index["_class_name"], "supports": kind.supports, "least_cfg_text": kind.least_cfg_text}
    try:
        fixed["defaults"] = EditSettings(**wishes).or_else(kind.defaults if kind else _shape_defaults(index))
        return ModelSpec(**(settings | said | fixed))
    except TypeError:
        known = [f.name for f in fields(ModelSpec)] + [f"defaults.{f.name}" for f in fields(EditSettings)]
        raise ModelError(f"{folder / 'ip2p.json'} has an unknown field; known: {', '.join(known)}") from None


def _shape_defaults(index: Mapping[str, Any]) -> EditSettings:
    """What a model wants by the look of its model_index.json."""
    if not is_sdxl(index):
        return PAPER_DEFAULTS
    scheduler = index.get("scheduler")
    named = scheduler[-1] if isinstance(scheduler, list) and scheduler else ""
    return COSXL_DEFAULTS if is_edm({"_class_name": named}) else SDXL_DEFAULTS


def _read_object(path: Path) -> dict[str, Any]:
    """A file's JSON object; empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}); repair or delete it") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} must hold a JSON object; repair or delete it")
    return content
