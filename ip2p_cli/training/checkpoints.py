"""Checkpoints of a training run: whole or not there, never half."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from pydantic import ValidationError

from ip2p_cli.errors import TrainingError
from ip2p_cli.io.train_recipes import TrainRecipe

KEPT = 2  # the newest, and the one before it

# May change between the parts of a run: how long it goes on, how fast, and what is written on the way.
_FREE = {
    "emphasis",
    "stages",
    "data",
    "learning_rate",
    "schedule",
    "cooldown",
    "precision",
    "checkpoint_every",
    "grid_every",
    "grid_instructions",
}


def check_recipe(folder: Path, recipe: TrainRecipe, say: Callable[[str], None]) -> None:
    """Record `recipe` in `folder`; raises TrainingError where a run of another recipe lies there."""
    path = folder / "recipe.json"
    now = _comparable(recipe)
    if path.exists():
        then = _read_recipe(path)
        for key in sorted(key for key in now if now[key] != then[key]):
            if key not in _FREE:
                raise TrainingError(
                    f"{folder} holds a run with another {key} ({_brief(then[key])}, now {_brief(now[key])}): "
                    "give another --out, or delete it to begin again."
                )
            if key != "data":
                say(f"{key} is another than when this run began: {_brief(then[key])}, now {_brief(now[key])}")
    folder.mkdir(parents=True, exist_ok=True)
    _write_text(path, json.dumps(recipe.model_dump(mode="json"), indent=2))


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        # Through the recipe's class: a setting that was not there yet has its default.
        return _comparable(TrainRecipe.model_validate_json(path.read_text("utf-8")))
    except (OSError, ValidationError) as error:
        raise TrainingError(
            f"{path} is not the recipe of a run that this ip2p can go on with: give another --out."
        ) from error


def _comparable(recipe: TrainRecipe) -> dict[str, Any]:
    # The teacher matters only until the start is built, and may lie elsewhere the next time.
    return recipe.model_dump(mode="json", exclude={"start": {"teacher"}} if recipe.is_from_scratch else None)


def _brief(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _write_text(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    part.replace(path)


def complete(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of each complete checkpoint of the run in `folder`, the newest last."""
    found = ((re.fullmatch(r"step-(\d+)", p.name), p) for p in (folder / "checkpoints").glob("step-*"))
    return sorted((int(match[1]), path) for match, path in found if match)


def save(folder: Path, step: int, accelerator: Accelerator, unet: Any, ema: EMAModel, optimizer: Any) -> None:
    """Write the checkpoint of `step` and drop all but the newest; the main process writes, the others wait."""
    if accelerator.is_main_process:
        target = folder / "checkpoints" / f"step-{step:07d}"
        part = target.with_suffix(".part")
        for left_over in (target, *target.parent.glob("*.part")):
            shutil.rmtree(left_over, ignore_errors=True)
        part.mkdir(parents=True)
        state = {
            "unet": accelerator.unwrap_model(unet).state_dict(),
            "ema": ema.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        if accelerator.scaler is not None:
            state["scaler"] = accelerator.scaler.state_dict()
        with (part / "state.pt").open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        for _, old in complete(folder)[:-KEPT]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def restore(folder: Path, accelerator: Accelerator, unet: Any, ema: EMAModel, optimizer: Any) -> int:
    """Load the newest checkpoint in place; returns the number of steps done, 0 where there is none."""
    found = complete(folder)
    if not found:
        return 0
    step, path = found[-1]
    try:
        state = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
        accelerator.unwrap_model(unet).load_state_dict(state["unet"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        if accelerator.scaler is not None and "scaler" in state:
            accelerator.scaler.load_state_dict(state["scaler"])
    except (OSError, EOFError, RuntimeError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"{path}: this checkpoint cannot be read; delete it to go on from the one before."
        ) from error
    ema.to(accelerator.device)
    return step


class Log:
    """`log.jsonl`: one line a step. Lines after the checkpoint that a run resumes from are taken back first."""

    def __init__(self, path: Path, steps_done: int) -> None:
        """Open the log at `path` for a run that has done `steps_done` steps."""
        self.path = path
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        # A line that was being written when the process died has no end.
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= steps_done]
        _write_text(path, "".join(line + "\n" for line in kept))

    def add(self, **row: float) -> None:
        """Append one row."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
