"""`ip2p chain IN… RECIPE -o DIR`, or `ip2p chain IN… --edit … --edit …`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import Ip2pError, UsageError
from ..types import EditSettings
from . import loading
from . import options as opt
from .asking import assignments, check_lone, make_folder, seed_of
from .chain_report import Reports
from .output import Output
from .running import counting

if TYPE_CHECKING:
    from ..io.inputs import InputPhoto
    from ..io.manifest import Manifest
    from ..io.recipes import Recipe
    from ..models.adapters import Adapter
    from ..models.loader import Editor
    from ..workflows.chain_files import Written
    from ..workflows.chain_plan import ChainPlan, Step
    from ..workflows.loading import ModelChoice

_CACHE = ".ip2p-chain"


def chain(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="IN... RECIPE", help="Photos, folders or globs; then a recipe: a file or a name."),
    ] = None,
    out: opt.Out = None,
    edits: opt.Edits = None,
    variables: opt.Variables = None,
    begin: opt.Begin = None,
    until: opt.Until = None,
    handoff: opt.Handoff = None,
    check: opt.Check = False,
    model: opt.Model = None,
    revision: opt.Revision = None,
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
    gif: opt.Gif = False,
    report: opt.Report = False,
    recursive: opt.Recursive = False,
    overwrite: opt.Overwrite = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Edits that follow each other: ip2p chain in.jpg four-seasons -o out

    Between edits the picture stays in the model's own numbers, so that it does not decay. A folder for each photo
    holds its edits in order, the results, a strip of them all and chain.json. What did not change is not made again.
    """
    from ..workflows.chain_plan import plan_chain

    output = Output(json=json, quiet=quiet)
    inputs, recipe = _asked(words or [], edits or [], variables or [], check)
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
    choices: dict[str | None, ModelChoice] = {}

    def choice_of(name: str | None) -> ModelChoice:
        wanted = model or name
        if wanted not in choices:
            choices[wanted] = loading.choose(wanted, device, dtype, revision=revision, offload=offload)
        return choices[wanted]

    def plan(drawn: int) -> ChainPlan:
        return plan_chain(
            recipe,
            said,
            choice_of=choice_of,
            seed=drawn,
            preset=preset,
            handoff=handoff,
            begin=begin,
            until=until,
        )

    if check:
        _print_plan(plan(seed or 0), seed, output)
        return
    folder = _folder(out, recipe)
    flags: dict[str, object] = {"--edit": edits, "--set": variables, "--until": until, "--handoff": handoff}
    flags |= {"--model": model, "--revision": revision, "--preset": preset}
    flags |= {"--" + name.replace("_", "-"): value for name, value in asdict(said).items()}
    word = "" if edits else (words or [""])[-1]
    reports = Reports(folder=folder, recipe=word, flags=flags, output=output) if report else None
    try:
        _run(inputs, folder, plan, output, recursive=recursive, overwrite=overwrite, gif=gif, reports=reports)
    finally:
        if reports is not None:
            reports.finish()


def _asked(words: list[str], edits: list[str], variables: list[str], check: bool) -> tuple[list[str], Recipe]:
    from ..io.own_recipes import find_recipe
    from ..io.recipes import quick_recipe, read_recipe

    said = assignments(variables, "season=autumn")
    if edits:
        if said:
            raise UsageError("--set is for recipes: an --edit has no variables.")
        if not words and not check:
            raise UsageError('give a photo: ip2p chain in.jpg --edit "make it winter" --edit "make it night"')
        return words, quick_recipe(edits)
    if not words or (len(words) < 2 and not check):
        raise UsageError(
            "give a photo and a recipe: ip2p chain in.jpg four-seasons -o out; `ip2p recipes` lists those that come "
            "with the tool."
        )
    return words[:-1], read_recipe(find_recipe(words[-1]), said)


def _folder(out: str | None, recipe: Recipe) -> Path:
    from ..io.names import slug

    return Path(out if out is not None else slug(recipe.name))


def _print_plan(plan: ChainPlan, seed: int | None, output: Output) -> None:
    for step in plan.steps:
        settings = asdict(step.settings)
        # One that is not said is drawn when the chain runs.
        shown = {key: value for key, value in settings.items() if key != "seed" or seed is not None or value}
        text = ", ".join(f"{key} {value}" for key, value in shown.items())
        data = {"edit": step.position + 1, "label": step.label, "name": step.name, "instruction": step.instruction}
        output.data(
            f"{step.position + 1:2d}{step.label}  {step.instruction}  ({step.choice.spec.name}, {text})",
            {**data, "model": step.choice.spec.name, **shown, "save": step.save, "handoff": plan.handoff},
        )
    output.say(f"{plan.name}: {len(plan.steps)} edits, {len(plan.paths)} results, handed over as {plan.handoff}")


def _run(
    inputs: list[str],
    folder: Path,
    plan_of: Callable[[int], ChainPlan],
    output: Output,
    *,
    recursive: bool,
    overwrite: bool,
    gif: bool,
    reports: Reports | None,
) -> None:
    from ..io.inputs import expand
    from ..io.manifest import open_manifest

    photos = expand(inputs, recursive=recursive, stdin=sys.stdin, exclude=folder)
    manifest = open_manifest(folder)
    check_lone([photo.path for photo in photos], manifest)
    make_folder(folder)
    plan = plan_of(seed_of(manifest, output))
    folders = _folders(photos, folder, manifest)
    editors = _Editors(output)
    with counting(len(photos), output, folder=folder, noun="photos", goes_on=True) as tally:
        for photo, target in zip(photos, folders, strict=True):
            try:
                written = _one(photo, folder / target, plan, editors, output, folder, overwrite=overwrite, gif=gif)
            except Ip2pError as error:
                _note(manifest, photo, target, plan, str(error))
                tally.fail(error)
                continue
            tally.done += written.made
            tally.skipped += not written.made
            _note(manifest, photo, target, plan, None)
            _tell(photo, written, plan, output)
            if reports is not None:
                reports.add(photo.path, folder / target, plan)


class _Editors:
    """Models, each loaded when it is first needed."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._loaded: dict[ModelChoice, Editor | Adapter] = {}

    def __call__(self, choice: ModelChoice) -> Editor | Adapter:
        if choice not in self._loaded:
            self._loaded[choice] = loading.load(choice, self._output)
        return self._loaded[choice]


def _one(
    photo: InputPhoto,
    target: Path,
    plan: ChainPlan,
    editors: _Editors,
    output: Output,
    folder: Path,
    *,
    overwrite: bool,
    gif: bool,
) -> Written:
    from ..io.images import read_image
    from ..workflows.chain import ChainRun
    from ..workflows.chain_files import earlier_keys, read_notes, write_chain

    picture = read_image(photo.path)
    for note in picture.notes:
        output.say(f"{photo.path}: {note}")
    total = sum(step.settings.steps for step in plan.steps)
    counted: dict[tuple[str, int], int] = {}
    with output.progress(photo.path.name) as bar:

        def on_step(step: Step, done: int, _: int) -> None:
            counted[step.place] = done
            bar(sum(counted.values()), total)

        run = ChainRun(
            plan,
            picture,
            folder / _CACHE,
            editors,
            earlier=earlier_keys(read_notes(target)),
            say=output.say,
            on_step=on_step,
        )
        return write_chain(run, target, overwrite=overwrite, gif=gif)


def _folders(photos: Sequence[InputPhoto], folder: Path, manifest: Manifest) -> list[str]:
    """A folder for each photo: the one an earlier run gave it, else one of its own."""
    from pathlib import PurePath

    from ..io.names import numbered
    from ..workflows.plan import input_name

    earlier = {entry.input: entry.output for entry in manifest.entries.values()}
    taken = {name.casefold() for name in earlier.values()}
    found = []
    for photo in photos:
        name = earlier.get(input_name(photo.path, folder))
        if name is None:
            plain = PurePath(photo.folder, photo.path.stem)
            name = numbered(folder, plain, taken, overwrite=True).as_posix()
            taken.add(name.casefold())
        found.append(name)
    return found


def _note(manifest: Manifest, photo: InputPhoto, target: str, plan: ChainPlan, problem: str | None) -> None:
    from ..io.manifest import Entry
    from ..workflows.plan import input_name

    entry = Entry(
        output=target,
        state="failed" if problem else "done",
        input=input_name(photo.path, manifest.folder),
        instruction=plan.name,
        settings={},
        reason=problem,
    )
    if manifest.entries.get(target) != entry:
        manifest.note(entry)


def _tell(photo: InputPhoto, written: Written, plan: ChainPlan, output: Output) -> None:
    for path, way in zip(written.results, plan.paths, strict=True):
        record = {
            "input": str(photo.path),
            "output": str(path),
            "recipe": plan.name,
            "edits": [step.instruction for step in way],
            "seed": way[-1].settings.seed,
            "handoff": plan.handoff,
            "state": "done" if written.made else "skipped",
        }
        if written.made:
            output.result(f"{path}: {', '.join(step.instruction for step in way)}", record)
        else:
            output.data_only(str(path), record)
