"""Checkpoints of a training run: each is written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from pydantic import ValidationError

from ip2p_cli.errors import OutputError, TrainingError
from ip2p_cli.io.names import reason
from ip2p_cli.io.train_recipes import TrainRecipe

KEPT = 2  # the newest, and the one before it

# May change when a run goes on: how long it takes, how fast it learns, and what it writes on the way.
_CHANGEABLE = frozenset(
    "emphasis stages data learning_rate schedule cooldown precision checkpoint_every grid_every "  # noqa: SIM905
    "grid_instructions".split()
)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainState:
    """What a checkpoint saves and restores: the UNet, its averaged weights, the optimizer, the gradient scaler."""

    accelerator: Accelerator
    unet: Any
    ema: EMAModel
    optimizer: Any


def check_recipe(folder: Path, recipe: TrainRecipe, say: Callable[[str], None]) -> None:
    """Write `recipe` into `folder`, after checking that a run in it can go on with this recipe.

    Raises:
        TrainingError: `folder` holds a run of another recipe.
    """
    path = folder / "recipe.json"
    new = _comparable(recipe)
    if path.exists():
        old = _read_recipe(path)
        for key in sorted(key for key in new if new[key] != old[key]):
            if key not in _CHANGEABLE:
                raise TrainingError(
                    f"{folder} holds a run with another {key} ({_brief(old[key])}, now {_brief(new[key])}): "
                    "give another --out, or delete it to begin again."
                )
            if key != "data":
                say(f"{key} has changed since this run began: {_brief(old[key])}, now {_brief(new[key])}")
    folder.mkdir(parents=True, exist_ok=True)
    _write_text(path, json.dumps(recipe.model_dump(mode="json"), indent=2))


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        # Through the recipe's class: a setting that an earlier version did not have gets its default.
        return _comparable(TrainRecipe.model_validate_json(path.read_text("utf-8")))
    except (OSError, ValidationError) as error:
        raise TrainingError(
            f"{path} is not the recipe of a run that this ip2p can go on with: give another --out."
        ) from error


def _comparable(recipe: TrainRecipe) -> dict[str, Any]:
    # The teacher matters only until the starting model is built, and may be in another folder the next time.
    return recipe.model_dump(mode="json", exclude={"start": {"teacher"}} if recipe.is_from_scratch else None)


def _brief(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _write_text(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    part.replace(path)


def complete(folder: Path) -> list[tuple[int, Path]]:
    """List the complete checkpoints of the run in `folder` as (step, folder), the newest last."""
    matches = ((re.fullmatch(r"step-(\d+)", path.name), path) for path in (folder / "checkpoints").glob("step-*"))
    return sorted((int(match[1]), path) for match, path in matches if match)


def save(folder: Path, step: int, state: TrainState) -> None:
    """Write the checkpoint of `step` and delete all but the newest; the main process writes, the others wait."""
    accelerator = state.accelerator
    if accelerator.is_main_process:
        target = folder / "checkpoints" / f"step-{step:07d}"
        part = target.with_suffix(".part")
        for unfinished in (target, *target.parent.glob("*.part")):
            shutil.rmtree(unfinished, ignore_errors=True)
        tensors = {
            "unet": accelerator.unwrap_model(state.unet).state_dict(),
            "ema": state.ema.state_dict(),
            "optimizer": state.optimizer.state_dict(),
        }
        if accelerator.scaler is not None:
            tensors["scaler"] = accelerator.scaler.state_dict()
        try:
            part.mkdir(parents=True)
            with (part / "state.pt").open("wb") as file:
                torch.save(tensors, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except (OSError, RuntimeError) as error:  # torch turns a write that fails into a RuntimeError
            why = reason(error) if isinstance(error, OSError) else str(error).split("\n")[0]
            shutil.rmtree(part, ignore_errors=True)
            raise OutputError(
                f"{target} cannot be written ({why}): free some space, and the same command goes on"
            ) from error
        for _, old in complete(folder)[:-KEPT]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def restore(folder: Path, state: TrainState) -> int:
    """Load the newest checkpoint into `state`; returns the number of steps done, 0 without a checkpoint.

    Raises:
        TrainingError: The checkpoint cannot be read.
    """
    checkpoints = complete(folder)
    if not checkpoints:
        return 0
    step, path = checkpoints[-1]
    accelerator = state.accelerator
    try:
        tensors = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
        accelerator.unwrap_model(state.unet).load_state_dict(tensors["unet"])
        state.ema.load_state_dict(tensors["ema"])
        state.optimizer.load_state_dict(tensors["optimizer"])
        if accelerator.scaler is not None and "scaler" in tensors:
            accelerator.scaler.load_state_dict(tensors["scaler"])
    except (OSError, EOFError, RuntimeError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"{path}: this checkpoint cannot be read; delete it to go on from the one before."
        ) from error
    state.ema.to(accelerator.device)
    return step


def _step_of(line: str) -> float:
    """The step of a line of the log; infinity for a line that was not written whole."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return math.inf


class Log:
    """The file `log.jsonl`, one line a step; lines after the checkpoint that a run resumes from are removed."""

    def __init__(self, path: Path, steps_done: int) -> None:
        """Open the log at `path` for a run that has done `steps_done` steps."""
        self.path = path
        lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
        kept = [line for line in lines if _step_of(line) <= steps_done]
        _write_text(path, "".join(line + "\n" for line in kept))

    def add(self, **row: float) -> None:
        """Append one row."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
