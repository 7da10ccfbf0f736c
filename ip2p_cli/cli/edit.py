"""`ip2p edit IN… INSTRUCTION -o OUT`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InterruptionError, Ip2pError, UsageError
from ..types import EditSettings, Saving
from . import loading
from . import options as opt
from .asking import Asked, Place, batch_size_of, part_of, seed_of
from .output import Output
from .preview import check_preview
from .stopping import Terminated, interruptible

if TYPE_CHECKING:
    from ..types import ModelSpec
    from ..workflows.batch import Outcome
    from ..workflows.loading import ModelChoice
    from ..workflows.plan import Item, Plan, Wanted

    Batches = tuple[tuple[int, ...], ...]


def edit(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar='IN... "INSTRUCTION"',
            help="Photos, folders, globs, or - for paths on stdin; then the instruction.",
        ),
    ] = None,
    out: opt.Out = None,
    model: opt.Model = None,
    revision: opt.Revision = None,
    loras: opt.Loras = None,
    vae: opt.Vae = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    offload: opt.Offload = "none",
    steps: opt.Steps = None,
    cfg_text: opt.CfgText = None,
    cfg_image: opt.CfgImage = None,
    seed: opt.Seed = None,
    sampler: opt.Sampler = None,
    resolution: opt.Resolution = None,
    fit: opt.Fit = None,
    preset: opt.Preset = None,
    output_size: opt.OutputSize = None,
    compare: opt.Compare = False,
    gif: opt.Gif = False,
    preview: opt.Preview = False,
    quality: opt.Quality = 92,
    sidecar: opt.Sidecar = False,
    no_metadata: opt.NoMetadata = False,
    strip_location: opt.StripLocation = False,
    recursive: opt.Recursive = False,
    jobs: opt.Jobs = None,
    batch_size: opt.BatchSize = "auto",
    shard: opt.Shard = None,
    engine: opt.Engine = "local",
    workers: opt.Workers = None,
    redo: opt.Redo = False,
    dry_run: opt.DryRun = False,
    overwrite: opt.Overwrite = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Edit photos as an instruction says: ip2p edit in.jpg "make it winter" -o out.jpg

    Give photos, folders or globs and, last, the instruction in quotes. With a folder as -o the results are noted in
    a manifest there, and the same command goes on where it was stopped.
    """
    from ..workflows.plan import batch_size as size_of
    from ..workflows.plan import make_plan

    output = Output(json=json, quiet=quiet)
    asked = Asked(words=words or [], jobs=jobs, recursive=recursive, out=out)
    asked.check()
    said = EditSettings(
        steps=steps,
        cfg_text=cfg_text,
        cfg_image=cfg_image,
        sampler=sampler,
        seed=seed,
        resolution=resolution,
        output_size=output_size,
        fit=fit,
    )
    if preview:
        check_preview()
    part, count = part_of(shard), batch_size_of(batch_size)
    choice = loading.choose(model, device, dtype, loras=loras or [], vae=vae, revision=revision, offload=offload)
    place = Place(asked, part, dry_run)
    plan = make_plan(
        _wanted(asked, said, preset, choice.spec, place, output),
        place.folder,
        place.manifest,
        spec=choice.spec,
        identity=choice.identity(fetch=not dry_run),
        size_of=size_of(count, choice.device_name),
        redo=redo,
        overwrite=overwrite,
    )
    batches = plan.shard(*part) if part else plan.batches
    if dry_run:
        from .dry_run import print_plan

        print_plan(plan, batches, choice, output)
        return
    _check_lone(plan)
    saving = Saving(
        quality=quality,
        metadata=not no_metadata,
        sidecar=sidecar,
        strip_location=strip_location,
        compare=compare,
        gif=gif,
    )
    if engine == "ray":
        outcomes = _on_ray(plan, batches, choice, saving, workers, output)
    else:
        outcomes = _here(plan, batches, choice, saving, place, output)
    _report(plan, batches, outcomes, output, preview)


def _wanted(
    asked: Asked, said: EditSettings, preset: str | None, spec: ModelSpec, place: Place, output: Output
) -> list[Wanted]:
    from ..io.inputs import InputPhoto
    from ..io.jobs import read_jobs
    from ..settings import resolve
    from ..workflows.plan import Wanted

    drawn = EditSettings(seed=seed_of(place.manifest, output)) if said.seed is None else EditSettings()
    if asked.jobs is None:
        settings, instruction = resolve(said.or_else(drawn), spec, preset), asked.words[-1].strip()
        photos = asked.photos(place.folder if place.manifest else None)
        if place.file is not None and len(photos) > 1:
            raise UsageError(
                f"{asked.out}: {len(photos)} photos need a folder: give one that exists, or end it with /."
            )
        name = place.file.name if place.file else None
        return [Wanted(photo=photo, instruction=instruction, settings=settings, output=name) for photo in photos]
    wanted = []
    for job in read_jobs(asked.jobs):
        try:
            settings = resolve(said.or_else(job.settings).or_else(drawn), spec, preset)
        except UsageError as error:
            raise UsageError(f"{job.where}: {error}") from None
        photo = InputPhoto(path=Path(job.input).expanduser())
        wanted.append(Wanted(photo=photo, instruction=job.instruction, settings=settings, output=job.output))
    return wanted


def _check_lone(plan: Plan) -> None:
    """Of a lone photo, say before a model loads what is wrong; among several it only fails itself, later."""
    if len(plan.items) == 1 and plan.items[0].state != "done":
        from ..io.images import read_image
        from ..io.output import check_output

        item = plan.items[0]
        read_image(item.source)
        check_output(item.target, item.may_replace)


def _here(
    plan: Plan, batches: Batches, choice: ModelChoice, saving: Saving, place: Place, output: Output
) -> Iterator[Outcome]:
    """The outcomes of a run in this process, in the plan's order."""
    from ..workflows.batch import in_order, run_batches, skipped
    from ..workflows.estimate import remember_rate, work_of

    left = plan.open_batches(batches)
    if not left:
        yield from skipped(plan, batches)
        return
    editor = loading.load(choice, output)
    began = time.monotonic()
    loading.hint(editor, (item.instruction for item in plan.items), output)
    count = sum(plan.items[i].state != "done" for batch in left for i in batch)
    label = plan.items[left[0][0]].source.name if count == 1 else f"{count} photos"
    with output.progress(label) as bar:
        progress = _Progress(bar, [len(b) for b in left], plan.items[left[0][0]].settings.steps)
        outcomes = run_batches(editor, plan, left, manifest=place.manifest, saving=saving, on_step=progress.step)
        yield from in_order(chain(skipped(plan, batches), outcomes), batches)
    work = sum(work_of(plan.items[i], choice.spec) for batch in left for i in batch)
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


def _on_ray(
    plan: Plan, batches: Batches, choice: ModelChoice, saving: Saving, workers: int | None, output: Output
) -> Iterator[Outcome]:
    """The outcomes of a run on a Ray cluster, in the plan's order."""
    from ..workflows.batch import in_order, skipped
    from ..workflows.cluster import run_on_ray

    outcomes = run_on_ray(choice, plan, plan.open_batches(batches), saving, workers)
    total = sum(map(len, batches))
    with output.progress(f"{total} photos") as bar:
        for done, outcome in enumerate(in_order(chain(skipped(plan, batches), outcomes), batches), start=1):
            bar(done, total)
            yield outcome


def _report(plan: Plan, batches: Batches, outcomes: Iterator[Outcome], output: Output, preview: bool) -> None:
    """Tell each outcome as it comes; at the end raise what went wrong, or say what was done."""
    count, done, skipped = sum(map(len, batches)), 0, 0
    failed: list[Ip2pError] = []
    try:
        with interruptible():
            for outcome in outcomes:
                _tell(plan.items[outcome.index], outcome, output, lone=count == 1)
                if preview and outcome.state == "done":
                    _draw(plan.items[outcome.index].target, output)
                done += outcome.state == "done"
                skipped += outcome.state == "skipped"
                if outcome.error is not None:
                    failed.append(outcome.error)
    except KeyboardInterrupt as stop:
        said = f"interrupted: {done + skipped} of {count} photos done, nothing half written."
        if count > 1:
            said += " The same command goes on from there." if plan.noted else ""
        raise InterruptionError(said, exit_code=143 if isinstance(stop, Terminated) else 130) from None
    if failed and count == 1:
        raise failed[0]
    if failed:
        raise type(failed[0])(f"{len(failed)} of {count} photos failed; see above.")
    if count > 1 or skipped:
        before = f", {skipped} done before" if skipped else ""
        output.say(f"{done} of {count} photos edited{before}: {plan.folder}")


def _draw(target: Path, output: Output) -> None:
    from ..io.images import read_image
    from .preview import preview

    preview(read_image(target).rgb, output)


def _tell(item: Item, outcome: Outcome, output: Output, lone: bool) -> None:
    from dataclasses import asdict

    if outcome.state == "failed":
        if not lone:
            output.error(str(outcome.error))
        return
    for note in outcome.notes:
        output.say(f"{item.source}: {note}")
    record = dict(outcome.record or {"instruction": item.instruction, **asdict(item.settings)})
    seconds = round(outcome.seconds, 2)
    record |= {"input": str(item.source), "output": str(item.target), "state": outcome.state, "seconds": seconds}
    if outcome.state == "skipped":
        output.data_only(str(item.target), record)
        return
    output.result(f"{item.target}: {record['model']}, seed {item.settings.seed}, {seconds:.1f} s", record)
