"""`ip2p edit IN… INSTRUCTION -o OUT`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.edit_job import EditJob, edit_command, output_name
from ip2p_cli.cli.flags import (
    CommonFlags,
    EditFlags,
    ModelFlags,
    OutputFlags,
    RunFlags,
    ScaleFlags,
    TuneFlags,
    takes_flags,
)
from ip2p_cli.cli.input_args import InputArgs, OutputPlace, part_of
from ip2p_cli.cli.loading import Choices
from ip2p_cli.cli.mask_flags import MaskFlags, SaveMask
from ip2p_cli.cli.mask_places import MaskPlaces
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.preview import check_preview
from ip2p_cli.errors import UsageError
from ip2p_cli.types import EditSettings, MaskSettings

if TYPE_CHECKING:
    from ip2p_cli.io.inputs import InputPhoto
    from ip2p_cli.jobs.item import Item, Outcome, Request


@takes_flags
def edit(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar='IN... "INSTRUCTION"',
            help="Photos, folders, globs, or - for paths on stdin; then the instruction.",
        ),
    ] = None,
    jobs: opt.Jobs = None,
    *,
    model: ModelFlags,
    scales: ScaleFlags,
    settings: EditFlags,
    masking: MaskFlags,
    tuning: TuneFlags,
    save_mask: SaveMask = None,
    saving: OutputFlags,
    running: RunFlags,
    common: CommonFlags,
) -> None:
    """Edit photos as an instruction says: ip2p edit in.jpg "make it winter" -o out.jpg.

    Give photos, folders or globs and, last, the instruction in quotes. With a folder as -o the results are noted in
    a manifest there, and the same command goes on where it was stopped.
    """
    from ip2p_cli.editing.overview import Overview, results_of
    from ip2p_cli.models.clip import find_clip

    output = Output(json=common.json, quiet=common.quiet)
    inputs = InputArgs(words=words or [], jobs=jobs, recursive=running.recursive)
    inputs.check()
    if saving.preview:
        check_preview()
    choices = Choices(model, settings.preset)
    place = OutputPlace(saving.out, part_of(running.shard), must_be_folder=jobs is not None)
    given = (settings.settings(scales), masking.settings())
    tries = tuning.tries
    clip = find_clip(tuning.clip) if tries or tuning.clip is not None else None
    requests = _Requests(
        inputs, place, choices, *given, settings.preset, saving, running, output, save_mask, tries, clip
    )
    job = EditJob(
        requests=requests.from_words() if jobs is None else requests.from_jobs(jobs),
        place=place,
        output_flags=saving,
        run_flags=running,
        output=output,
        clip=clip,
        unknown=settings.unknown,
    )
    plan = job.plan()
    after = _AfterEach(output, saving.preview)

    def finish() -> None:
        after.remember(model)
        if saving.report and place.manifest is not None:
            name = model.model or choices().spec.name
            overview = Overview(
                plan=plan,
                manifest=place.manifest,
                title=f"Edits in {plan.folder.name}",
                command_of=lambda result: edit_command(result, name),
            )
            job.write_overview(overview, results_of(plan, place.manifest), sheet=False, report=True)

    try:
        job.run(plan, job.models, after_each=after, finish=finish)
    finally:
        after.remember(model)


class _Requests:
    """Makes a request of each photo that the command line or a job file names."""

    def __init__(
        self,
        inputs: InputArgs,
        place: OutputPlace,
        choices: Choices,
        flags: EditSettings,
        mask: MaskSettings,
        preset: str | None,
        saving: OutputFlags,
        running: RunFlags,
        output: Output,
        save_mask: Path | None,
        max_tries: int,
        clip: Path | None,
    ) -> None:
        self._max_tries, self._clip = max_tries, clip
        self._inputs, self._place, self._choices, self._flags = inputs, place, choices, flags
        self._preset, self._saving, self._running, self._output = preset, saving, running, output
        self._mask = mask
        self._mask_files = (
            MaskPlaces("--save-mask", save_mask, overwrite=saving.overwrite or place.manifest is not None)
            if save_mask is not None
            else None
        )

    def from_words(self) -> list[Request]:
        """Return a request for each photo, all with the same instruction."""
        from ip2p_cli.io.mask_settings import needs_area
        from ip2p_cli.io.output import check_output
        from ip2p_cli.settings import resolve

        mask = needs_area(self._mask)
        self._check_saved(mask.has_area)
        photos = self._inputs.photos(self._place.folder if self._place.manifest else None, self._output)
        file = self._place.file
        if file is not None and len(photos) > 1:
            raise UsageError(
                f"-o {self._saving.out} names a file, and these are {len(photos)} photos: name a folder, e.g. -o out"
            )
        resolve(self._flags, self._choices().spec, self._preset)  # raises before anything is written
        if file is not None:  # before a model is loaded; whether it may be replaced is seen later
            check_output(file, overwrite=True)
        self._place.begin([photo.path for photo in photos], dry_run=self._running.dry_run)
        seed = self._drawn_seed()
        name = file.name if file else None
        instruction = self._inputs.instruction
        return [self._request(photo, instruction, self._flags, mask, seed, name) for photo in photos]

    def from_jobs(self, path: Path) -> list[Request]:
        """Return a request for each row of a job file."""
        from ip2p_cli.io.inputs import InputPhoto, user_path
        from ip2p_cli.io.jobs import read_jobs
        from ip2p_cli.io.mask_settings import needs_area

        jobs = read_jobs(path)
        self._place.begin((), dry_run=self._running.dry_run)
        seed, requests = self._drawn_seed(), []
        for job in jobs:
            photo = InputPhoto(path=user_path(job.input), is_named=True)
            try:
                settings = self._flags.or_else(job.settings)
                mask = self._mask.or_else(job.mask)
                requests.append(self._request(photo, job.instruction, settings, mask, seed, job.output))
            except UsageError as error:
                raise UsageError(f"{job.where}: {error}") from None
        if all(request.task.tree.steps[0].mask is None for request in requests):
            needs_area(self._mask)
            self._check_saved(False)
        return requests

    def _check_saved(self, has_mask: bool) -> None:
        if self._mask_files is not None and not has_mask:
            raise UsageError("--save-mask needs --mask, --box or --region: say which part of the photo may change")

    def _drawn_seed(self) -> EditSettings:
        return EditSettings(seed=self._place.seed(self._output) if self._flags.seed is None else None)

    def _request(
        self,
        photo: InputPhoto,
        instruction: str,
        given: EditSettings,
        masking: MaskSettings,
        seed: EditSettings,
        output: str | None,
    ) -> Request:
        from ip2p_cli.editing.file_specs import EditTask
        from ip2p_cli.editing.mask_files import holds_mask
        from ip2p_cli.editing.tree_plan import single_edit
        from ip2p_cli.jobs.item import Request
        from ip2p_cli.settings import resolve

        choice = self._choices()
        settings = resolve(given.or_else(seed), choice.spec, self._preset)
        tree = single_edit(
            instruction, settings, choice, masking, max_tries=self._max_tries, clip=self._clip
        ).for_photo(photo)
        mask = tree.steps[0].mask
        mask_file = self._mask_files.of(photo).absolute() if self._mask_files is not None and mask is not None else None
        task = EditTask(tree=tree, options=self._saving.options(), mask_file=mask_file)
        ending = self._saving.ending(photo.path, keep=self._place.manifest is not None)
        return Request(
            photo=photo,
            task=task,
            recipe=task.recipe(fetch=not self._running.dry_run),
            name=output_name(photo.path, instruction, ending, photo.folder),
            output=output,
            title=instruction,
            lacks_more=mask_file is not None and mask is not None and not holds_mask(mask_file, mask),
        )


class _AfterEach:
    """Draws each result if asked, and remembers the last one for `ip2p variants`."""

    def __init__(self, output: Output, preview: bool) -> None:
        self._output, self._preview = output, preview
        self._last: Item | None = None

    def __call__(self, item: Item, outcome: Outcome) -> None:
        if outcome.error is None:
            self._last = item
        if self._preview and outcome.state == "done":
            from ip2p_cli.cli.preview import preview
            from ip2p_cli.io.images import read_image

            preview(read_image(outcome.results[0]).rgb, self._output)

    def remember(self, flags: ModelFlags) -> None:
        """Keep the last edit that was made."""
        if self._last is not None:
            from ip2p_cli.editing.history import last_edit_of, remember_edit

            step = self._last.task.tree.steps[0]
            remember_edit(last_edit_of(self._last.source, step, flags.model, flags.revision))
            self._last = None
