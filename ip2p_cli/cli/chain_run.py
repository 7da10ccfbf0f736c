"""A chain on its photos, from the command line: where results go, the bar, a line for each, `--dry-run`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ip2p_cli.cli import loading
from ip2p_cli.cli.dry_run import duration
from ip2p_cli.cli.input_args import check_lone, make_folder
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.running import counting
from ip2p_cli.types import OutputOptions

if TYPE_CHECKING:
    from ip2p_cli.models.adapters import Adapter
    from ip2p_cli.models.loader import Editor
    from ip2p_cli.workflows.chain_batch import ChainBatch, ChainOutcome
    from ip2p_cli.workflows.chain_plan import ChainPlan, Step
    from ip2p_cli.workflows.loading import ModelChoice


class ChainPlace:
    """The folder that results go to, its manifest, and which part of the photos is done here."""

    def __init__(self, folder: Path, part: tuple[int, int] | None, dry_run: bool) -> None:
        from ip2p_cli.io.manifest import open_manifest

        self.folder, self._part, self._dry_run = folder, part, dry_run
        self.manifest = open_manifest(folder, f"{part[0]}-of-{part[1]}" if part else "")

    def batch(
        self,
        inputs: list[str],
        plan_of: Callable[[], ChainPlan],
        saving: OutputOptions,
        *,
        recursive: bool,
        redo: bool,
        overwrite: bool,
        cached: bool,
    ) -> ChainBatch:
        """What is to do: the photos that `inputs` name, each in its folder. The output folder is made."""
        from ip2p_cli.io.inputs import expand
        from ip2p_cli.workflows.chain_batch import make_chain_batch

        photos = expand(inputs, recursive=recursive, stdin=sys.stdin, exclude=self.folder)
        check_lone([photo.path for photo in photos], self.manifest)
        if not self._dry_run:
            make_folder(self.folder)
        plan = plan_of()
        return make_chain_batch(
            photos,
            self.folder,
            self.manifest,
            plan,
            identity=plan.identity(fetch=not self._dry_run),
            saving=saving,
            redo=redo,
            overwrite=overwrite,
            cached=cached,
        )

    def indices(self, batch: ChainBatch) -> list[int]:
        """The items that are done here."""
        return batch.shard(*self._part) if self._part else list(range(len(batch.items)))


class Editors:
    """Models, each loaded when it is first needed."""

    def __init__(self, plan: ChainPlan, output: Output) -> None:
        self._plan, self._output = plan, output
        self._loaded: dict[ModelChoice, Editor | Adapter] = {}

    def __call__(self, choice: ModelChoice) -> Editor | Adapter:
        """The model; when it is loaded, a word on instructions that it will not follow."""
        if choice not in self._loaded:
            editor = self._loaded[choice] = loading.load(choice, self._output)
            texts = (step.instruction for step in self._plan.steps if step.choice == choice)
            loading.hint(editor, texts, self._output)
        return self._loaded[choice]


def here(batch: ChainBatch, place: ChainPlace, output: Output) -> Iterator[ChainOutcome]:
    """The outcomes of a run in this process, in order; what is no longer used is dropped from the cache then."""
    from ip2p_cli.workflows.chain_batch import prune_cache, run_chains

    indices = place.indices(batch)
    left = batch.left(indices)
    each = sum(step.settings.steps * step.best_of for step in batch.plan.steps)
    label = batch.items[left[0]].source.name if len(left) == 1 else f"{len(left)} photos"
    before = {index: number for number, index in enumerate(left)}
    counted: dict[int, dict[tuple[str, int], int]] = {}
    with output.progress(label) as bar:

        def on_edit(index: int, step: Step, done: int, _: int) -> None:
            of_photo = counted.setdefault(index, {})
            of_photo[step.place] = done
            bar(before[index] * each + sum(of_photo.values()), len(left) * each)

        yield from run_chains(batch, indices, Editors(batch.plan, output), place.manifest, on_edit=on_edit)
    if left:
        prune_cache(batch, place.manifest)


def on_ray(batch: ChainBatch, indices: Sequence[int], workers: int | None, output: Output) -> Iterator[ChainOutcome]:
    """The outcomes of a run on a Ray cluster, in order."""
    from ip2p_cli.workflows.batch import in_order
    from ip2p_cli.workflows.chain_batch import skipped_chains
    from ip2p_cli.workflows.cluster import run_chains_on_ray

    outcomes = run_chains_on_ray(batch, batch.left(indices), workers)
    with output.progress(f"{len(indices)} photos") as bar:
        ordered = in_order(chain(skipped_chains(batch, indices), outcomes), [tuple(indices)])
        for done, outcome in enumerate(ordered, start=1):
            bar(done, len(indices))
            yield outcome


def tell(
    batch: ChainBatch,
    place: ChainPlace,
    outcomes: Iterator[ChainOutcome],
    output: Output,
    *,
    after: Callable[[Path, Path, ChainPlan], None] | None = None,
) -> None:
    """Tell each outcome as it comes; at the end raise what went wrong, or say what was done.

    after: called with the photo, its folder and the plan once a photo's results are there.
    """
    count = len(place.indices(batch))
    with counting(count, output, folder=place.folder, noun="photos", goes_on=True) as tally:
        for outcome in outcomes:
            if outcome.error is not None:
                tally.fail(outcome.error)
                continue
            _tell(batch, outcome, output)
            tally.done += outcome.state == "done"
            tally.skipped += outcome.state == "skipped"
            if after is not None:
                item = batch.items[outcome.index]
                after(item.source, item.target, batch.plan)


def _tell(batch: ChainBatch, outcome: ChainOutcome, output: Output) -> None:
    item, plan = batch.items[outcome.index], batch.plan
    for note in outcome.notes:
        output.say(f"{item.source}: {note}")
    for path, way in zip(outcome.results, plan.paths, strict=True):
        record: dict[str, Any] = {
            "input": str(item.source),
            "output": str(path),
            "recipe": plan.name,
            "edits": [step.instruction for step in way],
            "seed": way[-1].settings.seed,
            "handoff": plan.handoff,
            "state": outcome.state,
            "seconds": round(outcome.seconds, 2),
        }
        if outcome.state == "done":
            output.result(f"{path}: {', '.join(step.instruction for step in way)}, {outcome.seconds:.1f} s", record)
        else:
            output.data_only(str(path), record)


def print_chains(batch: ChainBatch, indices: Sequence[int], output: Output) -> None:
    """One line a photo on stdout (state, size, folder); the edits with their seeds, the sum and the time on stderr."""
    plan = batch.plan
    for index in indices:
        item = batch.items[index]
        size = f"{item.size[0]}x{item.size[1]}" if item.size else "unreadable"
        state = "skip" if item.state == "done" else item.state
        output.data(
            f"{state:6} {size:>11}  {item.source} -> {item.target}",
            {
                "state": state,
                "size": item.size,
                "input": str(item.source),
                "output": str(item.target),
                "recipe": plan.name,
                "edits": [
                    {"instruction": s.instruction, "seeds": s.seeds, "steps": s.settings.steps} for s in plan.steps
                ],
                "results": [plan.result_file(path) for path in plan.paths],
            },
        )
    for step in plan.steps:
        seeds = f"seed {step.seeds[0]}" if step.best_of == 1 else f"best of seeds {step.seeds[0]} to {step.seeds[-1]}"
        output.say(f"{step.position + 1:2d}{step.label}  {step.instruction}  ({step.choice.spec.name}, {seeds})")
    left = batch.left(indices)
    seconds, measured = _estimate(batch, left)
    known = "as measured before on this machine" if measured else "a rough guess: nothing was measured here yet"
    output.say(
        f"{len(left)} of {len(indices)} photos to do, {len(plan.steps)} edits and {len(plan.paths)} results each: "
        f"about {duration(seconds)} ({known}). Nothing was done."
    )


def _estimate(batch: ChainBatch, indices: Sequence[int]) -> tuple[float, bool]:
    """(seconds that all edits take where nothing is in the cache, whether each model's speed was measured here)"""
    from ip2p_cli.workflows.estimate import estimate
    from ip2p_cli.workflows.plan import Item, Plan

    seconds, measured = 0.0, True
    steps = [step for step in batch.plan.steps if step.position >= batch.plan.first]
    for choice in dict.fromkeys(step.choice for step in steps):
        items = tuple(
            Item(
                source=batch.items[index].source,
                instruction=step.instruction,
                settings=step.settings,
                target=batch.items[index].target,
                key="",
                size=batch.items[index].size,
            )
            for index in indices
            for step in steps
            if step.choice == choice
            for _ in range(step.best_of)
        )
        every = tuple((place,) for place in range(len(items)))
        plan = Plan(folder=batch.folder, items=items, batches=every, identity={}, noted=True)
        guess = estimate(plan, every, choice.spec, choice.device_name, choice.dtype_name)
        seconds, measured = seconds + guess.seconds, measured and guess.measured
    return seconds, measured
