"""What of a chain is another than when its folder was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ip2p_cli.workflows.chain_files import earlier_edits
from ip2p_cli.workflows.chain_plan import ChainPlan


def changed_edit(plan: ChainPlan, notes: Mapping[str, Any] | None) -> str | None:
    """The first thing in which the plan's edits are not those of chain.json, for people; None where there is none."""
    then = earlier_edits(notes)
    if notes is not None and notes.get("handoff") != plan.handoff:
        return f"handoff {notes.get('handoff')}, now {plan.handoff}"
    if notes is not None and notes.get("guard", "none") != plan.guard:
        return f"guard {notes.get('guard', 'none')}, now {plan.guard}"
    for step in plan.steps:
        if step.position < plan.first:
            continue
        made = then.get(step.place)
        where = f"edit {step.position + 1}{step.label}"
        if made is None:
            return f"{where} is new"
        tried = made.get("best_of")
        seeds = (tried.get("seeds") if isinstance(tried, dict) else None) or [made.get("seed")]
        now = {"instruction": step.instruction, **step.choice.identity(fetch=False), **asdict(step.settings)}
        for name, value in now.items():
            before = seeds[0] if name == "seed" else made.get(name)
            if before != value and not (name == "weights" and value is None):
                return f"{where}: {name} {before}, now {value}"
        if len(seeds) != step.best_of:
            return f"{where}: best_of {len(seeds)}, now {step.best_of}"
    return f"{len(then)} edits, now {len(plan.steps)}" if len(then) != len(plan.steps) else None
