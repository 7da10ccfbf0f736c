"""What a step's record says of how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ip2p_cli import __version__
from ip2p_cli.editing.step_cache import StepResult
from ip2p_cli.editing.tree import EditTree, Step
from ip2p_cli.io.images import Picture

# What an index says of a step besides how it was made.
_OF_THE_INDEX = ("edit", "label", "name", "file", "key", "verdict", "advice", "measures")


def made(step: Step, result: StepResult, mask: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return how a step was made: model, instruction, settings, mask, and what was tried, if several were."""
    chosen = result.chosen.facts(step) if result.chosen is not None else None
    won = {"seed": chosen["seed"], "best_of": chosen} if chosen else {}
    if result.tuned is not None:
        won = {**result.tuned.settings, "auto_tune": result.tuned.facts}
    masked = {"mask": {**mask, **step.inpainted_by}} if mask is not None else {}
    return {**step.choice.identity(), **step.instructions, **step.settings.facts, **won, **masked}


def made_earlier(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a step was made from what an index says of it."""
    return {name: value for name, value in entry.items() if name not in _OF_THE_INDEX}


def step_record(
    step: Step, facts: Mapping[str, Any], tree: EditTree, picture: Picture, batch: str, memory: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the record of a step, without the steps before it.

    Args:
        step: The step.
        facts: From `made`.
        tree: The tree that it is part of.
        picture: The photo.
        batch: The step's place in its batch, and how large that was.
        memory: How the model was run, if memory was too short for the usual way.
    """
    record = {"ip2p": __version__, **facts, "batch": batch}
    record |= {"input": picture.path.name, "input_sha256": picture.digest}
    if memory is not None:
        record["memory"] = memory
    if tree.name is None:
        return record
    guard = {} if tree.guard == "none" else {"guard": tree.guard}
    chain = {"name": tree.name, "edit": step.position + 1, "handoff": tree.handoff, **guard}
    return record | {"chain": chain}
