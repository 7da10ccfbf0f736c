"""The model a training run starts from: a fresh one, an editing model, or a widened text-to-image model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..io.train_recipes import FreshRecipe, TrainRecipe
from ..models.loader import Editor, load_editor
from ..models.registry import find_model
from ..models.save import save_editor
from ..types import ModelSpec


def start_editor(recipe: TrainRecipe, folder: Path, photos: Sequence[Path], say: Callable[[str], None]) -> Editor:
    """The model of `recipe.start`, in fp32; a fresh one is built once and kept in `folder/start`."""
    kept = folder / "start"
    if isinstance(recipe.start, FreshRecipe):
        if not (kept / "model_index.json").exists():
            from .fresh import build_fresh

            save_editor(build_fresh(recipe.start, recipe.name, photos, recipe.seed, say), kept, card="")
        spec = ModelSpec(name=recipe.name, source=str(kept.absolute()), description="being trained", licence="")
    else:
        spec = find_model(recipe.start)
    return load_editor(spec, device="cpu", dtype="fp32")
