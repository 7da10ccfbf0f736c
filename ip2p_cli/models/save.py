"""Writing a model folder in diffusers layout, as `load_editor` and diffusers read it."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ip2p_cli.errors import ModelError
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.library_logging import quiet


def save_editor(editor: Editor, folder: Path, *, card: str, dtype: torch.dtype = torch.float32) -> Path:
    """Write a model to a folder; a model there is replaced once the new one is complete.

    Its `ip2p.json` holds the fields of `editor.spec`, so that `--model FOLDER` has the same defaults.

    Args:
        editor: The model.
        folder: The folder to write.
        card: The text of README.md; none is written where it is empty.
        dtype: The number format of the weights in the files.

    Returns:
        The folder.

    Raises:
        ModelError: The model is an SDXL model.
    """
    if editor.text_encoder_2 is not None:
        raise ModelError(f"model {editor.spec.name} is an SDXL model; ip2p writes models of Stable Diffusion 1.5 only")
    part, old = (folder.with_name(folder.name + ending) for ending in (".part", ".old"))
    for left_over in (part, old):
        shutil.rmtree(left_over, ignore_errors=True)
    part.mkdir(parents=True)
    index: dict[str, object] = {"_class_name": "StableDiffusionInstructPix2PixPipeline"}
    for name in ("unet", "vae", "text_encoder"):
        module = getattr(editor, name)
        with quiet():  # transformers draws a progress bar for each file
            (module if module.dtype is dtype else copy.deepcopy(module).to(dtype)).save_pretrained(part / name)
        _remove_origin(part / name / "config.json")
        index[name] = ["transformers" if name == "text_encoder" else "diffusers", type(module).__name__]
    _use_published_names(part / "text_encoder" / "model.safetensors")
    editor.tokenizer.save_pretrained(part / "tokenizer")
    scheduler = _scheduler_config(editor)
    _write_json(part / "scheduler" / "scheduler_config.json", scheduler)
    index |= {"tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", scheduler["_class_name"]]}
    _write_json(part / "model_index.json", index)
    _write_json(part / "ip2p.json", _spec_fields(editor, part))
    if card:
        (part / "README.md").write_text(card, "utf-8")
    if folder.exists():
        folder.replace(old)
    part.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def _spec_fields(editor: Editor, folder: Path) -> dict[str, Any]:
    """The content of ip2p.json, see `registry.find_model`."""
    spec = editor.spec
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    return {
        "name": spec.name,
        "description": spec.description,
        "licence": spec.licence,
        "multiple": spec.multiple,
        "size_mb": max(1, round(size / 1e6)),
        "defaults": {key: value for key, value in asdict(spec.defaults).items() if value is not None},
    }


def _scheduler_config(editor: Editor) -> dict[str, Any]:
    """The model's own scheduler config."""
    about = {"_class_name": "DDIMScheduler", "_diffusers_version": diffusers.__version__}
    return about | {key: value for key, value in editor.scheduler_config.items() if key != "_use_default_values"}


def _remove_origin(path: Path) -> None:
    """Remove the path of the folder that the model was loaded from."""
    config = json.loads(path.read_text("utf-8"))
    config.pop("_name_or_path", None)
    _write_json(path, config)


def _use_published_names(path: Path) -> None:
    """Restore "text_model." in the tensors' names, which transformers 5 drops and other tools expect."""
    with safe_open(path, framework="pt") as file:
        names, metadata = list(file.keys()), file.metadata()
    if any(name.startswith("text_model.") for name in names):
        return
    weights = load_file(path)
    save_file({f"text_model.{name}": weight for name, weight in weights.items()}, path, metadata=metadata)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
