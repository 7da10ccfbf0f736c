"""`ip2p chain IN… RECIPE -o DIR`, or `ip2p chain IN… --edit … --edit …`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ip2p_cli.cli import loading
from ip2p_cli.cli import options as opt
from ip2p_cli.cli.chain_report import Reports
from ip2p_cli.cli.chain_run import ChainPlace, here, on_ray, print_chains, tell
from ip2p_cli.cli.input_args import assignments, part_of, seed_of
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import UsageError
from ip2p_cli.types import EditSettings, OutputOptions

if TYPE_CHECKING:
    from ip2p_cli.io.recipe_paths import Recipe, RecipeEdit
    from ip2p_cli.types import DeviceName, DtypeName, OffloadName
    from ip2p_cli.workflows.chain_plan import ChainPlan
    from ip2p_cli.workflows.loading import ModelChoice


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
    guard: opt.Guard = None,
    best_of: opt.BestOf = None,
    clip: opt.Clip = None,
    check: opt.Check = False,
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
    kind: opt.Kind = "png",
    quality: opt.Quality = 92,
    gif: opt.Gif = False,
    webp: opt.Webp = False,
    report: opt.Report = False,
    no_metadata: opt.NoMetadata = False,
    strip_location: opt.StripLocation = False,
    no_cache: opt.NoCache = False,
    recursive: opt.Recursive = False,
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
    """Edits that follow each other: ip2p chain in.jpg four-seasons -o out

    Between edits the picture stays in the model's own numbers, so that it does not decay. A folder for each photo
    holds its edits in order, the results, a strip of them all and chain.json. The same command goes on where it was
    stopped; what did not change is not made again.
    """
    from ip2p_cli.models.clip import find_clip
    from ip2p_cli.workflows.chain_plan import plan_chain

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
        resize_mode=resize_mode,
    )
    models = _Models(model, device, dtype, revision, offload, loras or [], vae)

    def plan(drawn: int) -> ChainPlan:
        return plan_chain(
            recipe,
            said,
            choice_of=models,
            seed=drawn,
            preset=preset,
            handoff=handoff,
            guard=guard,
            begin=begin,
            until=until,
            best_of=best_of,
            clip=clip_folder,
            kind=kind,
        )

    clip_folder = find_clip(clip) if clip or _tries_several(recipe, best_of) else None
    if check:
        _print_plan(plan(seed or 0), seed, output)
        return
    saving = OutputOptions(quality=quality, metadata=not no_metadata, strip_location=strip_location, gif=gif, webp=webp)
    place = ChainPlace(_folder(out, recipe), part_of(shard), dry_run)
    batch = place.batch(
        inputs,
        lambda: plan(_seed(recipe, seed, place, output)),
        saving,
        recursive=recursive,
        redo=redo,
        overwrite=overwrite,
        cached=not no_cache,
    )
    if dry_run:
        print_chains(batch, place.indices(batch), output)
        return
    outcomes = on_ray(batch, place.indices(batch), workers, output) if engine == "ray" else here(batch, place, output)
    if not report:
        tell(batch, place, outcomes, output)
        return
    flags: dict[str, object] = {"--edit": edits, "--set": variables, "--until": until, "--handoff": handoff}
    flags |= {"--best-of": best_of, "--clip": clip, "--model": model, "--revision": revision, "--lora": loras}
    flags |= {"--vae": vae, "--preset": preset, "--format": kind, "--guard": guard}
    flags |= {"--" + name.replace("_", "-"): value for name, value in asdict(said).items()}
    word = "" if edits else (words or [""])[-1]
    reports = Reports(folder=place.folder, recipe=word, flags=flags, output=output)
    try:
        tell(batch, place, outcomes, output, after=reports.add)
    finally:
        reports.finish()


class _Models:
    """The model of each name that a recipe says; None is the command's own, and --model stands for all."""

    def __init__(
        self,
        model: str | None,
        device: DeviceName,
        dtype: DtypeName,
        revision: str | None,
        offload: OffloadName,
        loras: list[str],
        vae: str | None,
    ) -> None:
        self._model, self._device, self._dtype, self._revision = model, device, dtype, revision
        self._offload: OffloadName = offload
        self._loras, self._vae = loras, vae
        self._known: dict[str | None, ModelChoice] = {}

    def __call__(self, name: str | None) -> ModelChoice:
        wanted = self._model or name
        if wanted not in self._known:
            if self._known and (self._loras or self._vae or self._revision):
                raise UsageError("--lora, --vae and --revision are for one model: name it with --model.")
            self._known[wanted] = loading.choose(
                wanted,
                self._device,
                self._dtype,
                loras=self._loras,
                vae=self._vae,
                revision=self._revision,
                offload=self._offload,
            )
        return self._known[wanted]


def _asked(words: list[str], edits: list[str], variables: list[str], check: bool) -> tuple[list[str], Recipe]:
    from ip2p_cli.io.own_recipes import find_recipe
    from ip2p_cli.io.recipes import quick_recipe, read_recipe

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
    from ip2p_cli.io.inputs import PHOTO_ENDINGS
    from ip2p_cli.io.names import slug

    folder = Path(out if out is not None else slug(recipe.name))
    if folder.suffix.lower() in PHOTO_ENDINGS and not folder.is_dir():
        raise UsageError(f"-o {out}: a chain leaves a folder of pictures: name a folder.")
    return folder


def _seed(recipe: Recipe, said: int | None, place: ChainPlace, output: Output) -> int:
    """What the edits that name no seed take: --seed, else the folder's."""
    if said is not None or all(edit.settings.seed is not None for edit in _edits_of(recipe)):
        return said or 0
    return seed_of(place.manifest, output)


def _tries_several(recipe: Recipe, best_of: int | None) -> bool:
    return any((best_of or edit.best_of) > 1 for edit in _edits_of(recipe))


def _edits_of(recipe: Recipe) -> list[RecipeEdit]:
    from ip2p_cli.io.recipe_paths import paths_of

    return [one.edit for path in paths_of(recipe) for one in path]


def _print_plan(plan: ChainPlan, seed: int | None, output: Output) -> None:
    for step in plan.steps:
        settings = asdict(step.settings)
        # One that is not said is drawn when the chain runs.
        shown = {key: value for key, value in settings.items() if key != "seed" or seed is not None or value}
        if step.best_of > 1:
            shown["best_of"] = step.best_of
        text = ", ".join(f"{key} {value}" for key, value in shown.items())
        data = {"edit": step.position + 1, "label": step.label, "name": step.name, "instruction": step.instruction}
        output.data(
            f"{step.position + 1:2d}{step.label}  {step.instruction}  ({step.choice.spec.name}, {text})",
            {**data, "model": step.choice.spec.name, **shown, "save": step.save, "handoff": plan.handoff},
        )
    output.say(f"{plan.name}: {len(plan.steps)} edits, {len(plan.paths)} results, handed over as {plan.handoff}")
