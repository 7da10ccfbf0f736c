"""A rough guess of how long a job takes and how much memory it needs."""

from __future__ import annotations

from dataclasses import dataclass

from ip2p_cli.editing.tree import Step
from ip2p_cli.errors import Ip2pError
from ip2p_cli.io.sizes import fit_for
from ip2p_cli.jobs.item import Item
from ip2p_cli.jobs.plan import Plan

# Seconds for a million model pixels and one step with three branches: two CPU cores (random weights of full size,
# fp32), a current GPU.
_SECONDS = {"cpu": 67.0, "mps": 4.0, "cuda": 0.4}
_SMALL_MB = 200
_SMALL_IS_FASTER = 40  # nano against Stable Diffusion 1.5
_FULL_SIZE_SECONDS = 0.15  # for a million pixels of the photo: reading, return to full size, writing


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds of work; MB of memory."""

    seconds: float
    memory_mb: float


def estimate(plan: Plan) -> Estimate:
    """Estimate what is left to do of a plan, as if nothing were in a cache."""
    items = [plan.items[index] for index in plan.to_do]
    photos = sum(item.size[0] * item.size[1] for item in items if item.size) / 1e6
    steps = sum(_seconds(item, step) for item in items for step in item.task.tree.steps)
    memory = max((_memory(plan, group) for group in plan.open_groups), default=0.0)
    return Estimate(seconds=steps + _FULL_SIZE_SECONDS * photos, memory_mb=memory)


def _model_pixels(item: Item, step: Step) -> float:
    """Millions of pixels at the model's size."""
    if item.size is None:
        return 0.0
    try:
        width, height = fit_for(item.size, step.settings, step.choice.spec.multiple).padded
    except Ip2pError:
        return 0.0
    return width * height / 1e6


def _seconds(item: Item, step: Step) -> float:
    spec = step.choice.spec
    rate = _SECONDS[step.choice.device_name] / (_SMALL_IS_FASTER if (spec.size_mb or 4000) < _SMALL_MB else 1)
    return rate * _model_pixels(item, step) * step.settings.steps * step.best_of


def _memory(plan: Plan, group: tuple[int, ...]) -> float:
    """MB: the program, the weights, the branches of the group, the photos in flight."""
    items = [plan.items[index] for index in group]
    photos = max((item.size[0] * item.size[1] / 1e6 for item in items if item.size), default=0.0)
    needs = 0.0
    for step in items[0].task.tree.steps:
        full = step.choice.dtype_name == "fp32"
        weights = (step.choice.spec.size_mb or 4000) * (1.0 if full or step.choice.spec.name == "nano" else 0.5)
        branch = (300 if weights < _SMALL_MB else 1500) * (1.0 if full else 0.5)  # MB for a million pixels
        pixels = sum(_model_pixels(item, step) for item in items)
        needs = max(needs, weights + 3 * branch * pixels)
    return 350 + needs + 40 * photos
