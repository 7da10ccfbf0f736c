"""The stage and the learning rate of a training run as functions of the step's number."""

from __future__ import annotations

import math

from ip2p_cli.io.train_recipes import StageRecipe, TrainRecipe

_LEAST = 0.02  # the share of the learning rate that is left at the end of a cosine


def stage_at(recipe: TrainRecipe, step: int) -> StageRecipe:
    """Return the stage that `step` (from 0) belongs to."""
    for stage in recipe.stages:
        if step < stage.steps:
            return stage
        step -= stage.steps
    return recipe.stages[-1]


def learning_rate_factor(recipe: TrainRecipe, step: int) -> float:
    """Return the factor of the learning rate at `step` (from 0), in (0, 1].

    After a linear warm-up it is constant, falls as a cosine, or is constant with a cosine over the last part.
    """
    warm_up = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    total = recipe.total_steps
    length = {"constant": 0, "cosine": total, "cooldown": round(total * recipe.cooldown)}[recipe.schedule]
    position = step - (total - length)
    if not length or position < 0:
        return warm_up
    return warm_up * (_LEAST + (1 - _LEAST) * 0.5 * (1 + math.cos(math.pi * position / length)))
