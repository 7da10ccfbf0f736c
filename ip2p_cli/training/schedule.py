"""What training does at which step: stage and learning rate as functions of the step's number."""

from __future__ import annotations

import math

from ip2p_cli.io.train_recipes import StageRecipe, TrainRecipe


def stage_at(recipe: TrainRecipe, step: int) -> StageRecipe:
    """The stage that step `step` (from 0) belongs to."""
    for stage in recipe.stages:
        if step < stage.steps:
            return stage
        step -= stage.steps
    return recipe.stages[-1]


def learning_rate_factor(recipe: TrainRecipe, step: int) -> float:
    """In (0, 1]: linear warm-up, then constant, cosine, or constant with a cosine cooldown over the last part."""
    warm = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    total = recipe.total_steps
    length = {"constant": 0, "cosine": total, "cooldown": round(total * recipe.cooldown)}[recipe.schedule]
    into = step - (total - length)
    if not length or into < 0:
        return warm
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * into / length)))
