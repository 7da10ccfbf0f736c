"""`ip2p edit IN… INSTRUCTION -o OUT`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ip2p_cli.cli import loading
from ip2p_cli.cli import options as opt
from ip2p_cli.cli.input_args import InputArgs, Place, batch_size_of, part_of, seed_of
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.preview import check_preview
from ip2p_cli.cli.running import report, run_here
from ip2p_cli.errors import UsageError
from ip2p_cli.types import EditSettings, OutputOptions

if TYPE_CHECKING:
    from ip2p_cli.types import ModelSpec
    from ip2p_cli.workflows.batch import Outcome
    from ip2p_cli.workflows.loading import ModelChoice
    from ip2p_cli.workflows.plan import Item, Plan, Wanted

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
    resize_mode: opt.ResizeMode = None,
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
    from ip2p_cli.workflows.plan import batch_size as size_of
    from ip2p_cli.workflows.plan import make_plan

    output = Output(json=json, quiet=quiet)
    asked = InputArgs(words=words or [], jobs=jobs, recursive=recursive, out=out)
    asked.check()
    said = EditSettings(
        steps=steps,
        cfg_text=cfg_text,
        cfg_image=cfg_image,
        sampler=sampler,
        seed=seed,
        resolution=resolution,
        output_size=output_size,
        resize_mode=resize_mode,
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
        from ip2p_cli.cli.dry_run import print_plan

        print_plan(plan, batches, choice, output)
        return
    _check_lone(plan)
    saving = OutputOptions(
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
        outcomes = run_here(plan, batches, choice, saving, place.manifest, output)
    after = _AfterEach(output, preview)
    try:
        report(plan, batches, outcomes, output, on_outcome=after)
    finally:
        after.remember(choice, model, revision)


def _wanted(
    asked: InputArgs, said: EditSettings, preset: str | None, spec: ModelSpec, place: Place, output: Output
) -> list[Wanted]:
    from ip2p_cli.io.inputs import InputPhoto
    from ip2p_cli.io.jobs import read_jobs
    from ip2p_cli.settings import resolve
    from ip2p_cli.workflows.plan import Wanted

    def drawn() -> EditSettings:
        return EditSettings(seed=seed_of(place.manifest, output)) if said.seed is None else EditSettings()

    if asked.jobs is None:
        photos = asked.photos(place.folder if place.manifest else None)
        if place.file is not None and len(photos) > 1:
            raise UsageError(
                f"{asked.out}: {len(photos)} photos need a folder: give one that exists, or end it with /."
            )
        resolve(said, spec, preset)  # what is impossible is said before anything is written
        place.begin([photo.path for photo in photos])
        settings, instruction = resolve(said.or_else(drawn()), spec, preset), asked.words[-1].strip()
        name = place.file.name if place.file else None
        return [Wanted(photo=photo, instruction=instruction, settings=settings, output=name) for photo in photos]
    wanted, jobs = [], read_jobs(asked.jobs)
    place.begin(())  # a wrong row is told before a wrong photo
    seed = drawn()
    for job in jobs:
        try:
            settings = resolve(said.or_else(job.settings).or_else(seed), spec, preset)
        except UsageError as error:
            raise UsageError(f"{job.where}: {error}") from None
        photo = InputPhoto(path=Path(job.input).expanduser())
        wanted.append(Wanted(photo=photo, instruction=job.instruction, settings=settings, output=job.output))
    return wanted


def _check_lone(plan: Plan) -> None:
    """Of a lone photo, say before a model loads what is wrong; among several it only fails itself, later."""
    if len(plan.items) == 1 and plan.items[0].state != "done":
        from ip2p_cli.io.images import read_image
        from ip2p_cli.io.output import check_output

        item = plan.items[0]
        read_image(item.source)
        check_output(item.target, item.may_replace)


def _on_ray(
    plan: Plan, batches: Batches, choice: ModelChoice, saving: OutputOptions, workers: int | None, output: Output
) -> Iterator[Outcome]:
    """The outcomes of a run on a Ray cluster, in the plan's order."""
    from ip2p_cli.workflows.batch import in_order, skipped
    from ip2p_cli.workflows.cluster import run_on_ray

    outcomes = run_on_ray(choice, plan, plan.open_batches(batches), saving, workers)
    total = sum(map(len, batches))
    with output.progress(f"{total} photos") as bar:
        for done, outcome in enumerate(in_order(chain(skipped(plan, batches), outcomes), batches), start=1):
            bar(done, total)
            yield outcome


class _AfterEach:
    """What is done after each result: it is drawn if asked, and the last one is remembered for `ip2p variants`."""

    def __init__(self, output: Output, preview: bool) -> None:
        self._output, self._preview = output, preview
        self._last: Item | None = None

    def __call__(self, item: Item, outcome: Outcome) -> None:
        if outcome.state != "failed":
            self._last = item
        if self._preview and outcome.state == "done":
            from ip2p_cli.cli.preview import preview
            from ip2p_cli.io.images import read_image

            preview(read_image(item.target).rgb, self._output)

    def remember(self, choice: ModelChoice, model: str | None, revision: str | None) -> None:
        """Keep the last edit that was made."""
        if self._last is not None:
            from ip2p_cli.workflows.history import last_edit_of, remember_edit

            remember_edit(last_edit_of(self._last, choice, model, revision))
