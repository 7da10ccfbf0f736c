"""Running a plan from the command line: a bar while it works, a line for each result, what went wrong at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..errors import InterruptionError, Ip2pError
from ..types import Saving
from . import loading
from .output import Output
from .stopping import Terminated, interruptible

if TYPE_CHECKING:
    from ..io.manifest import Manifest
    from ..workflows.batch import Outcome
    from ..workflows.edit import EditBatch
    from ..workflows.loading import ModelChoice
    from ..workflows.plan import Item, Plan

    Batches = tuple[tuple[int, ...], ...]


def run_here(
    plan: Plan,
    batches: Batches,
    choice: ModelChoice,
    saving: Saving,
    manifest: Manifest | None,
    output: Output,
    *,
    run: EditBatch | None = None,
    noun: str = "photos",
) -> Iterator[Outcome]:
    """The outcomes of a run in this process, in the plan's order. run: what makes the edits of a batch."""
    from ..workflows.batch import in_order, run_batches, skipped
    from ..workflows.edit import edit_batch
    from ..workflows.estimate import remember_rate, work_of

    left = plan.open_batches(batches)
    if not left:
        yield from skipped(plan, batches)
        return
    editor = loading.load(choice, output)
    began = time.monotonic()
    loading.hint(editor, (item.instruction for item in plan.items), output)
    count = sum(plan.items[i].state != "done" for batch in left for i in batch)
    label = plan.items[left[0][0]].source.name if count == 1 else f"{count} {noun}"
    with output.progress(label) as bar:
        progress = _Progress(bar, [len(b) for b in left], plan.items[left[0][0]].settings.steps)
        outcomes = run_batches(
            editor, plan, left, manifest=manifest, saving=saving, on_step=progress.step, run=run or edit_batch
        )
        yield from in_order(chain(skipped(plan, batches), outcomes), batches)
    work = sum(work_of(plan.items[i], choice.spec) for batch in left for i in batch)
    if run is None:  # what is shared by variants would make single edits look faster than they are
        remember_rate(choice.spec, choice.device_name, choice.dtype_name, time.monotonic() - began, work)


class _Progress:
    """Denoising steps of all batches as one bar: each counts its items."""

    def __init__(self, bar: Callable[[int, int], None], sizes: list[int], steps: int) -> None:
        self._bar, self._total, self._steps = bar, sum(sizes) * steps, steps
        self._before = 0

    def step(self, items: int, done: int, total: int) -> None:
        """`done` of `total` steps of a batch of `items`."""
        self._bar(self._before + items * done * self._steps // total, self._total)
        if done == total:
            self._before += items * self._steps


def report(
    plan: Plan,
    batches: Batches,
    outcomes: Iterator[Outcome],
    output: Output,
    *,
    noun: str = "photos",
    on_outcome: Callable[[Item, Outcome], None] | None = None,
    data: bool = True,
) -> None:
    """Tell each outcome as it comes; at the end raise what went wrong, or say what was done.

    on_outcome: called after each is told. data: whether results also go to stdout.
    """
    count, done, skipped = sum(map(len, batches)), 0, 0
    failed: list[Ip2pError] = []
    try:
        with interruptible():
            for outcome in outcomes:
                _tell(plan.items[outcome.index], outcome, output, lone=count == 1, data=data)
                if on_outcome is not None:
                    on_outcome(plan.items[outcome.index], outcome)
                done += outcome.state == "done"
                skipped += outcome.state == "skipped"
                if outcome.error is not None:
                    failed.append(outcome.error)
    except KeyboardInterrupt as stop:
        said = f"interrupted: {done + skipped} of {count} {noun} done, nothing half written."
        if count > 1:
            said += " The same command goes on from there." if plan.noted else ""
        raise InterruptionError(said, exit_code=143 if isinstance(stop, Terminated) else 130) from None
    if failed and count == 1:
        raise failed[0]
    if failed:
        raise type(failed[0])(f"{len(failed)} of {count} {noun} failed; see above.")
    if count > 1 or skipped:
        before = f", {skipped} done before" if skipped else ""
        output.say(f"{done} of {count} {noun} edited{before}: {plan.folder}")


def _tell(item: Item, outcome: Outcome, output: Output, lone: bool, data: bool) -> None:
    if outcome.state == "failed":
        if not lone:
            output.error(str(outcome.error))
        return
    for note in outcome.notes:
        output.say(f"{item.source}: {note}")
    record = record_of(item, outcome)
    if data:
        output.data_only(str(item.target), record)
    if outcome.state == "done":
        output.say(f"{item.target}: {record['model']}, seed {item.settings.seed}, {outcome.seconds:.1f} s")


def record_of(item: Item, outcome: Outcome) -> dict[str, Any]:
    """What --json says of a result: how it was made, where it is, and how long it took."""
    from dataclasses import asdict

    record = dict(outcome.record or {"instruction": item.instruction, **asdict(item.settings)})
    seconds = round(outcome.seconds, 2)
    return record | {"input": str(item.source), "output": str(item.target), "state": outcome.state, "seconds": seconds}
