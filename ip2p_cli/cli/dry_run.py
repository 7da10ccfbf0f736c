"""`--dry-run`: the plan for people and, with --json, for programs, before any weights load."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from ip2p_cli.cli.output import Output

if TYPE_CHECKING:
    from ip2p_cli.workflows.loading import ModelChoice
    from ip2p_cli.workflows.plan import Plan


def print_plan(plan: Plan, batches: tuple[tuple[int, ...], ...], choice: ModelChoice, output: Output) -> None:
    """One line an item on stdout (state, size, seed, output); the sum, the time and the memory on stderr."""
    from ip2p_cli.workflows.estimate import estimate

    indices = sorted(index for batch in batches for index in batch)
    for index in indices:
        item = plan.items[index]
        size = f"{item.size[0]}x{item.size[1]}" if item.size else "unreadable"
        state = "skip" if item.state == "done" else item.state
        line = f"{state:6} {size:>11}  seed {item.settings.seed}  {item.source} -> {item.target}"
        record = {"state": state, "size": item.size, "instruction": item.instruction, **asdict(item.settings)}
        output.data(line, {**record, "input": str(item.source), "output": str(item.target)})
    left = plan.open_batches(batches)
    todo = sum(plan.items[i].state != "done" for batch in left for i in batch)
    guess = estimate(plan, left, choice.spec, choice.device_name, choice.dtype_name)
    known = "as measured before on this machine" if guess.measured else "a rough guess: nothing was measured here yet"
    output.say(
        f"{todo} of {len(indices)} to do with {choice.spec.name} on {choice.device_name}, in {len(left)} batches: "
        f"about {duration(guess.seconds)} ({known}), {guess.memory_mb:,.0f} MB of memory. Nothing was done."
    )


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
