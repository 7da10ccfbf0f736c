"""Running a plan from the command line: a bar while it works, a line for each result, what went wrong at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ip2p_cli.cli.flags import RunFlags
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.stopping import Terminated, interruptible
from ip2p_cli.cli.verdicts import VerdictCount, in_words
from ip2p_cli.errors import InterruptionError, Ip2pError, LeftOutError
from ip2p_cli.types import VERDICT_FACTS

if TYPE_CHECKING:
    from ip2p_cli.editing.work import EditWork, MakeWork
    from ip2p_cli.jobs.item import Item, Outcome
    from ip2p_cli.jobs.manifest import Manifest
    from ip2p_cli.jobs.plan import Plan

AfterEach = Callable[["Item", "Outcome"], None]


def outcomes_of(
    plan: Plan,
    make: MakeWork,
    manifest: Manifest | None,
    flags: RunFlags,
    output: Output,
    *,
    work: EditWork,
    noun: str = "photos",
) -> Iterator[Outcome]:
    """Run a plan here or, as --engine says, on Ray; yield the outcomes in the plan's order.

    Args:
        plan: What to do.
        make: Makes the work in another process.
        manifest: Where results are noted.
        flags: --engine and --workers.
        output: Shows progress.
        work: The work of this process.
        noun: What the items are called.
    """
    from ip2p_cli.jobs.cluster import run_on_ray
    from ip2p_cli.jobs.runner import Runner, in_order

    to_do = plan.to_do
    label = plan.items[to_do[0]].source.name if len(to_do) == 1 else f"{len(to_do)} {noun}"
    with output.progress(label) as bar:
        if flags.engine != "ray":
            runner = Runner(plan=plan, work=work, manifest=manifest, on_units=bar)
            yield from in_order(runner.run(), plan.indices)
            return
        for done, outcome in enumerate(in_order(run_on_ray(plan, make, flags.workers), plan.indices), start=1):
            bar(done, len(plan.indices))
            yield outcome


def report_outcomes(
    plan: Plan,
    outcomes: Iterator[Outcome],
    output: Output,
    *,
    noun: str = "photos",
    after_each: AfterEach | None = None,
    to_stdout: bool = True,
    fail_on: frozenset[str] = frozenset(),
) -> None:
    """Report each outcome as it comes; at the end raise what went wrong, or say what was done.

    Args:
        plan: What is done.
        outcomes: What became of its items.
        output: Prints.
        noun: What the items are called.
        after_each: Called after each outcome is reported.
        to_stdout: Whether results also go to stdout.
        fail_on: Verdicts for which a VerdictError is raised at the end.
    """
    with counting(len(plan.indices), output, folder=plan.folder, noun=noun, goes_on=plan.has_manifest) as tally:
        for outcome in outcomes:
            item = plan.items[outcome.index]
            if outcome.state == "left out":
                tally.leave_out(outcome.error)
            elif outcome.error is not None:
                tally.fail(outcome.error)
            else:
                _report(item, outcome, output, to_stdout)
            if after_each is not None:
                after_each(item, outcome)
            tally.done += outcome.state == "done"
            tally.skipped += outcome.state == "skipped"
            for facts in outcome.verdicts or ():
                tally.verdicts.add(facts)
    tally.verdicts.check(fail_on)


@dataclass(kw_only=True)
class Tally:
    """What became of items so far.

    Attributes:
        count: Of all items; set as it grows if it is not known beforehand.
    """

    count: int
    output: Output
    done: int = 0
    skipped: int = 0
    failed: list[Ip2pError] = field(default_factory=list)
    left_out: list[Ip2pError] = field(default_factory=list)
    verdicts: VerdictCount = field(default_factory=VerdictCount)

    def leave_out(self, why: Ip2pError | None) -> None:
        """Count an item that the user wants left out; each reason is reported once."""
        assert why is not None
        if self.count > 1 and str(why) not in map(str, self.left_out):
            self.output.warn(str(why))
        self.left_out.append(why)

    def fail(self, error: Ip2pError) -> None:
        """Count an item that failed; among several it is reported at once."""
        self.failed.append(error)
        if self.count > 1:
            self.output.error(str(error))


@contextmanager
def counting(
    count: int, output: Output, *, folder: Path, noun: str, goes_on: bool, verb: str = "edited"
) -> Iterator[Tally]:
    """Keep a tally while items are worked on, and report it at the end.

    Args:
        count: How many items there are, as far as it is known.
        output: Prints.
        folder: Where the results are.
        noun: What the items are called.
        verb: What is done to them, as in "3 of 4 photos edited".
        goes_on: Whether the same command, given again, continues.

    Raises:
        Ip2pError: The only item failed; or several did, with the kind of the first.
        InterruptionError: SIGINT or SIGTERM came.
    """
    tally = Tally(count=count, output=output)
    try:
        with interruptible():
            yield tally
    except KeyboardInterrupt as stop:
        text = f"interrupted: {tally.done + tally.skipped} of {tally.count} {noun} done, nothing half written."
        text += " The same command goes on from there." if goes_on and tally.count > 1 else ""
        raise InterruptionError(text, exit_code=143 if isinstance(stop, Terminated) else 130) from None
    if tally.failed and tally.count == 1:
        raise tally.failed[0]
    if tally.failed:
        raise type(tally.failed[0])(f"{len(tally.failed)} of {tally.count} {noun} failed; see above.")
    if tally.left_out and tally.done + tally.skipped == 0:
        raise tally.left_out[0] if tally.count == 1 else LeftOutError(f"all {tally.count} {noun} skipped; see above.")
    if tally.count > 1 or tally.skipped:
        before = f", {tally.skipped} done before" if tally.skipped else ""
        before += f", {len(tally.left_out)} skipped" if tally.left_out else ""
        verdicts = f" ({tally.verdicts})" if str(tally.verdicts) else ""
        output.say(f"{tally.done} of {tally.count} {noun} {verb}{before}: {folder}{verdicts}")


def _report(item: Item, outcome: Outcome, output: Output, to_stdout: bool) -> None:
    for note in outcome.notes:
        output.say(f"{item.source}: {note}")
    for path, record in zip(outcome.results, records_of(item, outcome), strict=True):
        if to_stdout:
            output.data_only(str(path), record)
        if outcome.state == "done":
            edits = f"{', '.join(record['edits'])}, " if len(record["edits"]) > 1 else ""
            verdict = in_words(record)
            output.say(f"{path}: {edits}{record['model']}, seed {record['seed']}, {outcome.seconds:.1f} s{verdict}")


def records_of(item: Item, outcome: Outcome) -> list[dict[str, Any]]:
    """Return what --json says of each result: how it was made, where it is, and how long it took."""
    task = item.task
    records = []
    for place, (path, steps) in enumerate(zip(outcome.results, task.tree.paths, strict=True)):
        step = steps[-1]
        made = {"model": step.choice.spec.name, **step.instructions, **step.settings.facts}
        record = dict(outcome.records[place]) if outcome.records else made
        chain = {"recipe": task.tree.name, "handoff": task.tree.handoff} if task.tree.name is not None else {}
        record |= {"edits": [one.instruction for one in steps], **chain}
        record |= {"input": str(item.source), "output": str(path), "state": outcome.state}
        verdict = outcome.verdicts[place] if outcome.verdicts is not None and place < len(outcome.verdicts) else {}
        record |= {name: verdict[name] for name in VERDICT_FACTS if name in verdict}
        records.append({**record, "seconds": round(outcome.seconds, 2)})
    return records
