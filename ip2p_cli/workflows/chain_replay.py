"""Making the picture of a chain again from its own record: all edits that led to it, as each one's record says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ip2p_cli.errors import InputError
from ip2p_cli.io.images import read_image
from ip2p_cli.io.names import printable
from ip2p_cli.settings import resolve, supported
from ip2p_cli.types import Guard, Handoff, OutputOptions
from ip2p_cli.workflows.chain import ChainRun, EditorOf, OnStep
from ip2p_cli.workflows.chain_plan import ChainPlan, Step
from ip2p_cli.workflows.loading import ModelChoice
from ip2p_cli.workflows.replay import Recorded, differences, now_of, read_recorded
from ip2p_cli.workflows.saving import encoded


def is_of_chain(record: Mapping[str, Any]) -> bool:
    """Whether more than one plain edit led from the photo to the picture: edits before it, or several seeds tried."""
    made_by = record.get("chain")
    return isinstance(made_by, dict) and (made_by.get("edit") != 1 or "best_of" in record)


def read_chain(recorded: Recorded) -> list[Recorded]:
    """The chain's edits up to the recorded one, in order; InputError where the record does not hold them all."""
    made_by = recorded.record["chain"]
    number, parents = made_by.get("edit"), recorded.record.get("parents") or []
    how = f"make it again with ip2p chain ({printable(str(made_by.get('name')))})"
    if not isinstance(number, int) or not 1 <= number <= 1 + len(parents):
        raise InputError(f"{printable(recorded.picture)}: its record does not hold all edits before it: {how}")
    records = [*parents[len(parents) - number + 1 :], recorded.record]
    for place, one in enumerate(records, start=1):
        chain = one.get("chain") if isinstance(one, dict) else None
        if not isinstance(chain, dict) or chain.get("edit") != place:
            raise InputError(f"{printable(recorded.picture)}: its record does not hold edit {place}: {how}")
    return [read_recorded(recorded.picture, one) for one in records]


def chain_plan_of(edits: Sequence[Recorded], choice_of: Callable[[Recorded], ModelChoice]) -> ChainPlan:
    """A plan with one path, that of the records. Raises UsageError for settings that are not possible now."""
    steps = []
    for position, one in enumerate(edits):
        choice = choice_of(one)
        settings = resolve(supported(one.settings, choice.spec), choice.spec)
        best_of, winner = 1, None
        tried = one.record.get("best_of")
        if isinstance(tried, dict):
            seeds = tried.get("seeds")
            if not isinstance(seeds, list) or one.settings.seed not in seeds or not 1 <= len(seeds) <= 64:
                raise InputError(f"{printable(one.picture)}: its record does not say which seeds were tried")
            # All at once again: a batch's shape decides the last bits.
            best_of, winner = len(seeds), seeds.index(one.settings.seed)
            settings = replace(settings, seed=int(seeds[0]))
        steps.append(
            Step(
                position=position,
                label="",
                name=one.instruction,
                instruction=one.instruction,
                settings=settings,
                choice=choice,
                best_of=best_of,
                winner=winner,
            )
        )
    made_by = edits[-1].record["chain"]
    handoff: Handoff = "pixels" if made_by.get("handoff") == "pixels" else "latent"
    guard: Guard = "low" if made_by.get("guard") == "low" else "none"
    return ChainPlan(name=str(made_by.get("name")), handoff=handoff, guard=guard, paths=(tuple(steps),))


def chain_differences(edits: Sequence[Recorded], plan: ChainPlan, same_input: bool) -> list[str]:
    """What is another than then, for people, of each edit."""
    said = [] if same_input else ["the photo is another one"]
    for one, step in zip(edits, plan.steps, strict=True):
        settings = step.settings
        if step.winner is not None:
            settings = replace(settings, seed=step.seeds[step.winner])
        now = now_of(step.instruction, settings, step.choice.identity())
        said += [what for what in differences(one, now, True) if what not in said]
    return said


def replay_chain(
    plan: ChainPlan,
    source: Path,
    target: Path,
    editor_of: EditorOf,
    saving: OutputOptions,
    say: Callable[[str], None],
    on_step: OnStep | None = None,
) -> tuple[bytes, dict[str, Any]]:
    """(the last picture of the plan's one path as the bytes of the file `target`, how it was made)"""
    picture = read_image(source)
    run = ChainRun(plan, picture, None, editor_of, say=say, on_step=on_step)
    last = plan.paths[0][-1]
    image = run.image(last)
    record = {**run.record(last, image.size), "quality": saving.quality}
    return encoded(image, target, picture, record, saving), record
