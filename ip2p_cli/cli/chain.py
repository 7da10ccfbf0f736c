"""`ip2p chain IN… RECIPE -o DIR`, or `ip2p chain IN… --edit … --edit …`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ip2p_cli.cli.chain_flags import ChainFlags
from ip2p_cli.cli.edit_job import EditJob, command_line, mask_flags
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
from ip2p_cli.cli.input_args import OutputPlace, is_picture_name, part_of, photos_of
from ip2p_cli.cli.loading import Choices
from ip2p_cli.cli.mask_flags import MaskFlags
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import UsageError

if TYPE_CHECKING:
    from ip2p_cli.editing.overview import Result
    from ip2p_cli.editing.tree import EditTree
    from ip2p_cli.io.inputs import InputPhoto
    from ip2p_cli.io.recipe_paths import Recipe, RecipeEdit
    from ip2p_cli.jobs.item import Request
    from ip2p_cli.jobs.manifest import Manifest
    from ip2p_cli.jobs.plan import Plan
    from ip2p_cli.types import EditSettings, MaskSettings


@takes_flags
def chain(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="IN... RECIPE", help="Photos, folders or globs; then a recipe: a file or a name."),
    ] = None,
    *,
    chaining: ChainFlags,
    model: ModelFlags,
    scales: ScaleFlags,
    settings: EditFlags,
    masking: MaskFlags,
    tuning: TuneFlags,
    saving: OutputFlags,
    running: RunFlags,
    common: CommonFlags,
) -> None:
    """Edits that follow each other: ip2p chain in.jpg four-seasons -o out.

    Between edits the picture stays in the model's own numbers, so that it does not decay. A folder for each photo
    holds its edits in order, the results, a strip of them all and index.json. The same command goes on where it was
    stopped; what did not change is not made again.
    """
    from ip2p_cli.editing.step_cache import FOLDER
    from ip2p_cli.editing.tree_plan import plan_tree
    from ip2p_cli.models.clip import find_clip

    output = Output(json=common.json, quiet=common.quiet)
    inputs, recipe = chaining.recipe(words or [])
    flags, mask, choices = settings.settings(scales), masking.settings(), Choices(model, settings.preset)
    tries_several = any((chaining.best_of or edit.best_of) > 1 for edit in _edits_of(recipe))
    max_tries = tuning.tries
    if max_tries and chaining.best_of is not None:
        raise UsageError("--best-of and --auto-tune both choose among tries: give one of them.")
    clip = find_clip(tuning.clip) if tuning.clip or tries_several or max_tries else None

    tree_with = partial(
        plan_tree,
        recipe,
        flags,
        choice_of=choices,
        preset=settings.preset,
        handoff=chaining.handoff,
        guard=chaining.guard,
        begin=chaining.begin,
        until=chaining.until,
        best_of=chaining.best_of,
        max_tries=max_tries,
        clip=clip,
        mask=mask,
    )
    if chaining.check:
        _print_tree(tree_with(seed=settings.seed or 0), settings.seed, output)
        return
    place = OutputPlace(_folder(saving.out, recipe), part_of(running.shard), must_be_folder=True)
    photos = photos_of(inputs, recursive=running.recursive, out_folder=place.folder, output=output)
    place.begin([photo.path for photo in photos], dry_run=running.dry_run)
    named = settings.seed is not None or all(edit.settings.seed is not None for edit in _edits_of(recipe))
    tree = tree_with(seed=(settings.seed or 0) if named else place.seed(output))
    job = EditJob(
        requests=_requests(photos, tree, saving, fetch=not running.dry_run),
        place=place,
        output_flags=saving,
        run_flags=running,
        output=output,
        cache=None if chaining.no_cache else place.folder / FOLDER,
        clip=clip,
        unknown=settings.unknown,
    )
    recipe_name = "" if chaining.edits else (words or [""])[-1]
    _run(job, _Again(chaining, tuning, model, flags, mask, settings.preset, place.folder, recipe_name))


def _run(job: EditJob, again: _Again) -> None:
    from ip2p_cli.editing.overview import Overview, results_of

    plan, manifest = job.plan(), job.place.manifest
    assert manifest is not None
    sources = [request.photo.path for request in job.requests]

    def finish() -> None:
        _prune_cache(job, plan, manifest)
        if job.output_flags.report:
            title = f"Chain of {sources[0].name}" if len(sources) == 1 else f"Chains of {len(sources)} photos"
            overview = Overview(plan=plan, manifest=manifest, title=title, command_of=again.command)
            job.write_overview(overview, results_of(plan, manifest), sheet=False, report=True)

    job.run(plan, job.models, finish=finish)


def _requests(photos: list[InputPhoto], tree: EditTree, saving: OutputFlags, *, fetch: bool) -> list[Request]:
    from ip2p_cli.editing.file_specs import EditTask
    from ip2p_cli.io.names import MAX_NAME, shortened
    from ip2p_cli.jobs.item import Request

    requests = []
    for photo in photos:
        options, ending = saving.options(strip=True), saving.ending(photo.path)
        task = EditTask(tree=tree.for_photo(photo), options=options, ending=ending)
        name = photo.folder / shortened(photo.path.stem, MAX_NAME)
        requests.append(Request(photo=photo, task=task, recipe=task.recipe(fetch=fetch), name=name, is_folder=True))
    return requests


def _prune_cache(job: EditJob, plan: Plan, manifest: Manifest) -> None:
    """Delete from the cache what no chain in the folder refers to any more, beyond a bound."""
    from ip2p_cli.editing.outputs import earlier_edits, read_index
    from ip2p_cli.editing.step_cache import StepCache

    if job.cache is not None and job.cache.is_dir():
        manifest.refresh()
        indexes = (read_index(plan.folder / name) for name in manifest.entries)
        used = {str(edit["key"]) for index in indexes for edit in earlier_edits(index).values()}
        StepCache(job.cache).prune(used)


def _folder(out: str | None, recipe: Recipe) -> str:
    from ip2p_cli.io.names import slug

    if out is not None and is_picture_name(out):
        raise UsageError(f"-o {out}: a chain leaves a folder of pictures: name a folder.")
    return out if out is not None else slug(recipe.name)


def _edits_of(recipe: Recipe) -> list[RecipeEdit]:
    from ip2p_cli.io.recipe_paths import paths_of

    return [one.edit for path in paths_of(recipe) for one in path]


@dataclass(frozen=True)
class _Again:
    """The command that makes a chain again, for reports."""

    chaining: ChainFlags
    tuning: TuneFlags
    model: ModelFlags
    settings: EditSettings
    mask: MaskSettings
    preset: str | None
    folder: Path
    recipe: str

    def command(self, result: Result) -> str:
        """Return the command, with the seed that was drawn; seeds that a recipe gives come out of it again."""
        chaining, model, tree = self.chaining, self.model, result.item.task.tree
        flags: dict[str, object] = {"--edit": chaining.edits, "--set": chaining.variables, "--until": chaining.until}
        flags |= {"--handoff": chaining.handoff, "--guard": chaining.guard, "--best-of": chaining.best_of}
        flags |= {"--auto-tune": self.tuning.auto_tune, "--max-tries": self.tuning.max_tries}
        flags |= {
            "--clip": self.tuning.clip,
            "--model": model.model,
            "--revision": model.revision,
            "--lora": model.loras,
        }
        flags |= {"--vae": model.vae, "--preset": self.preset, "--format": (result.item.task.ending or "").lstrip(".")}
        flags |= {"--" + name.replace("_", "-"): value for name, value in asdict(self.settings).items()}
        flags |= mask_flags(self.mask)
        seeds = {step.settings.seed for step in tree.steps}
        flags |= {"--seed": seeds.pop()} if len(seeds) == 1 else {}
        flags["-o"] = f"{self.folder}-again"
        return command_line("chain", flags, [str(result.item.source), *filter(None, [self.recipe])])


def _print_tree(tree: EditTree, seed: int | None, output: Output) -> None:
    for step in tree.steps:
        settings = step.settings.facts
        # A seed that nobody named is drawn when the chain runs.
        shown = {key: value for key, value in settings.items() if key != "seed" or seed is not None or value}
        if step.best_of > 1:
            shown["best_of"] = step.best_of
        text = ", ".join(f"{key} {value}" for key, value in shown.items())
        if step.mask is not None:
            text += f", {step.mask.words()}"
            shown["mask"] = step.mask.record(None)
        data = {"edit": step.position + 1, "label": step.label, "name": step.name, "instruction": step.instruction}
        output.data(
            f"{step.position + 1:2d}{step.label}  {step.instruction}  ({step.choice.spec.name}, {text})",
            {**data, "model": step.choice.spec.name, **shown, "save": step.save, "handoff": tree.handoff},
        )
    output.say(f"{tree.name}: {len(tree.steps)} edits, {len(tree.paths)} results, handed over as {tree.handoff}")
