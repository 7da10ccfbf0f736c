"""Running a plan from the command line: a bar while it works, a line for each result, what went wrong at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ip2p_cli.cli import loading
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.stopping import Terminated, interruptible
from ip2p_cli.errors import InterruptionError, Ip2pError
from ip2p_cli.types import OutputOptions

if TYPE_CHECKING:
    from ip2p_cli.io.manifest import Manifest
    from ip2p_cli.workflows.batch import Outcome
    from ip2p_cli.workflows.edit import EditBatch
    from ip2p_cli.workflows.loading import ModelChoice
    from ip2p_cli.workflows.plan import Item, Plan

    Batches = tuple[tuple[int, ...], ...]


def run_here(
    plan: Plan,
    batches: Batches,
    choice: ModelChoice,
    saving: OutputOptions,
    manifest: Manifest | None,
    output: Output,
    *,
    run: EditBatch | None = None,
    noun: str = "photos",
) -> Iterator[Outcome]:
    """The outcomes of a run in this process, in the plan's order. run: what makes the edits of a batch."""
    from ip2p_cli.workflows.batch import in_order, run_batches, skipped
    from ip2p_cli.workflows.edit import edit_batch
    from ip2p_cli.workflows.estimate import remember_rate, work_of

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
    with counting(sum(map(len, batches)), output, folder=plan.folder, noun=noun, goes_on=plan.noted) as tally:
        for outcome in outcomes:
            if outcome.error is not None:
                tally.fail(outcome.error)
            else:
                _tell(plan.items[outcome.index], outcome, output, data=data)
            if on_outcome is not None:
                on_outcome(plan.items[outcome.index], outcome)
            tally.done += outcome.state == "done"
            tally.skipped += outcome.state == "skipped"


@dataclass(kw_only=True)
class Tally:
    """What became of `count` items so far; who cannot know the count beforehand sets it as it grows."""

    count: int
    output: Output
    done: int = 0
    skipped: int = 0
    failed: list[Ip2pError] = field(default_factory=list)

    def fail(self, error: Ip2pError) -> None:
        """One item failed; among several it is told at once."""
        self.failed.append(error)
        if self.count > 1:
            self.output.error(str(error))


@contextmanager
def counting(
    count: int, output: Output, *, folder: Path, noun: str, goes_on: bool, verb: str = "edited"
) -> Iterator[Tally]:
    """A tally to keep while items are worked on; at the end it is told.

    A lone failure is raised as it is, several as one of the first one's kind; SIGINT and SIGTERM as InterruptionError.
    goes_on: whether the same command, given again, goes on from there.
    """
    tally = Tally(count=count, output=output)
    try:
        with interruptible():
            yield tally
    except KeyboardInterrupt as stop:
        said = f"interrupted: {tally.done + tally.skipped} of {tally.count} {noun} done, nothing half written."
        said += " The same command goes on from there." if goes_on and tally.count > 1 else ""
        raise InterruptionError(said, exit_code=143 if isinstance(stop, Terminated) else 130) from None
    if tally.failed and tally.count == 1:
        raise tally.failed[0]
    if tally.failed:
        raise type(tally.failed[0])(f"{len(tally.failed)} of {tally.count} {noun} failed; see above.")
    if tally.count > 1 or tally.skipped:
        before = f", {tally.skipped} done before" if tally.skipped else ""
        output.say(f"{tally.done} of {tally.count} {noun} {verb}{before}: {folder}")


def _tell(item: Item, outcome: Outcome, output: Output, data: bool) -> None:
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
