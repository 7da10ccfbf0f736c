"""Writing a model folder in diffusers layout, as `load_editor` and diffusers read it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch
from diffusers import DDIMScheduler

from .loader import Editor


def save_editor(editor: Editor, folder: Path, *, card: str, dtype: torch.dtype = torch.float32) -> Path:
    """Write `editor` to `folder` (replacing a model there only once the new one is complete); returns `folder`."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    index: dict[str, object] = {"_class_name": "StableDiffusionInstructPix2PixPipeline"}
    for name in ("unet", "vae", "text_encoder"):
        module = getattr(editor, name)
        before = next(iter(module.state_dict().values())).dtype
        module.to(dtype).save_pretrained(part / name)
        module.to(before)
        library = "transformers" if name == "text_encoder" else "diffusers"
        index[name] = [library, type(module).__name__]
    editor.tokenizer.save_pretrained(part / "tokenizer")
    scheduler = DDIMScheduler.from_config(dict(editor.scheduler_config))
    scheduler.save_pretrained(part / "scheduler")
    index |= {"tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "DDIMScheduler"]}
    (part / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", "utf-8")
    if card:
        (part / "README.md").write_text(card, "utf-8")
    old = folder.with_name(folder.name + ".old")
    if folder.exists():
        os.replace(folder, old)
    os.replace(part, folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder
