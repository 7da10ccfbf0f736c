"""`--dry-run`: the plan for people and, with --json, for programs, before any model loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ip2p_cli.cli.output import Output

if TYPE_CHECKING:
    from ip2p_cli.editing.tree import EditTree, Step
    from ip2p_cli.jobs.plan import Plan


def print_plan(plan: Plan, output: Output) -> None:
    """Print a line for each item on stdout, and the sum, the time and the memory on stderr."""
    from ip2p_cli.editing.estimate import estimate
    from ip2p_cli.editing.file_specs import file_specs

    for index in plan.indices:
        item = plan.items[index]
        tree: EditTree = item.task.tree
        size = f"{item.size[0]}x{item.size[1]}" if item.size else "unreadable"
        state = "skip" if item.state == "done" else item.state
        record: dict[str, Any] = {"state": state, "size": item.size}
        record |= {"edits": [_facts(step) for step in tree.steps]}
        if len(tree.steps) == 1:
            record |= _facts(tree.steps[0])
        record |= {"input": str(item.source), "output": str(plan.folder / item.name)}
        record["results"] = [spec.name for spec in file_specs(item.task, item.name) if spec.is_result]
        seed = f"seed {tree.steps[0].settings.seed}  " if len(tree.steps) == 1 else ""
        mask = tree.steps[0].mask if tree.name is None else None
        where = f"  ({mask.words()})" if mask is not None else ""
        output.data(f"{state:6} {size:>11}  {seed}{item.source} -> {plan.folder / item.name}{where}", record)
    _print_steps(plan, output)
    guess = estimate(plan)
    groups = len(plan.open_groups)
    output.say(
        f"{len(plan.to_do)} of {len(plan.indices)} to do, in {groups} batches: about {duration(guess.seconds)} "
        f"(a rough guess), {guess.memory_mb:,.0f} MB of memory. Nothing was done."
    )


def _print_steps(plan: Plan, output: Output) -> None:
    """The edits of a chain, which are the same for all photos."""
    tree: EditTree = plan.items[0].task.tree
    if tree.name is None:
        return
    for step in tree.steps:
        first, last = step.seeds[0], step.seeds[-1]
        seeds = f"seed {first}" if step.best_of == 1 else f"best of seeds {first} to {last}"
        mask = f", {step.mask.words()}" if step.mask is not None else ""
        output.say(f"{step.position + 1:2d}{step.label}  {step.instruction}  ({step.choice.spec.name}, {seeds}{mask})")


def _facts(step: Step) -> dict[str, Any]:
    return {
        "instruction": step.instruction,
        "model": step.choice.spec.name,
        **step.settings.facts,
        "seeds": step.seeds,
        **({"mask": step.mask.record(None) | {"problem": step.mask.problem}} if step.mask is not None else {}),
    }


def duration(seconds: float) -> str:
    """Return a time as people write it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
