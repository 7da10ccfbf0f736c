"""Checkpoints of a training run: whole or not there, never half."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel

from ..errors import TrainingError
from ..io.train_recipes import TrainRecipe

# May change between the parts of a run: how long it goes on and what is written on the way.
_FREE = {"stages", "data", "checkpoint_every", "grid_every", "grid_instructions", "precision", "cooldown", "schedule"}


def check_recipe(folder: Path, recipe: TrainRecipe) -> None:
    """Record `recipe` in `folder`; raises TrainingError where a run of another recipe lies there."""
    path = folder / "recipe.json"
    now = recipe.model_dump(mode="json")
    if path.exists():
        then = json.loads(path.read_text("utf-8"))
        for key in now.keys() - _FREE:
            if now[key] != then.get(key):
                raise TrainingError(
                    f"{folder}: holds a run with another {key} ({then.get(key)!r}, now {now[key]!r}); give another --out."
                )
    folder.mkdir(parents=True, exist_ok=True)
    _write_text(path, json.dumps(now, indent=2))


def _write_text(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    os.replace(part, path)


def newest(folder: Path) -> tuple[int, Path] | None:
    """(step, folder) of the newest complete checkpoint, or None."""
    found = [p for p in (folder / "checkpoints").glob("step-*") if p.suffix != ".part"]
    return max(((int(p.name.split("-")[1]), p) for p in found), default=None)


def save(folder: Path, step: int, accelerator: Accelerator, unet: Any, ema: EMAModel, optimizer: Any) -> None:
    """Write the checkpoint of `step` and drop all but the newest two; the main process only."""
    accelerator.wait_for_everyone()
    if not accelerator.is_main_process:
        return
    target = folder / "checkpoints" / f"step-{step:07d}"
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    state = {
        "unet": accelerator.unwrap_model(unet).state_dict(),
        "ema": ema.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with (part / "state.pt").open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    shutil.rmtree(target, ignore_errors=True)
    os.replace(part, target)
    for old in sorted(target.parent.glob("step-*"))[:-2]:
        shutil.rmtree(old)


def restore(folder: Path, unet: Any, ema: EMAModel, optimizer: Any) -> int:
    """Load the newest checkpoint in place; returns the number of steps done, 0 where there is none."""
    found = newest(folder)
    if found is None:
        return 0
    step, path = found
    try:
        state = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
        getattr(unet, "module", unet).load_state_dict(state["unet"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise TrainingError(f"{path}: this checkpoint cannot be read; delete it to go on from the one before.") from error
    return step


class Log:
    """`log.jsonl`: one line a step. Lines after the checkpoint that a run resumes from are taken back first."""

    def __init__(self, path: Path, steps_done: int) -> None:
        self.path = path
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= steps_done]
        _write_text(path, "".join(line + "\n" for line in kept))

    def add(self, **row: float) -> None:
        """Append one row."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
