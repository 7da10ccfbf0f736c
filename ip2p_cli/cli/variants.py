"""`ip2p variants IN INSTRUCTION --seeds 8 -o FOLDER`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from ip2p_cli.cli.edit_job import EditJob, edit_command
from ip2p_cli.cli.flags import CommonFlags, EditFlags, ModelFlags, OutputFlags, RunFlags, takes_flags
from ip2p_cli.cli.input_args import InputArgs, OutputPlace, is_picture_name, part_of
from ip2p_cli.cli.loading import choose
from ip2p_cli.cli.mask_flags import MaskFlags
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.variant_flags import RankFlags, VaryFlags
from ip2p_cli.errors import UsageError
from ip2p_cli.types import EditSettings, MaskSettings

if TYPE_CHECKING:
    from ip2p_cli.editing.history import LastEdit
    from ip2p_cli.editing.model_choice import ModelChoice
    from ip2p_cli.editing.overview import Result
    from ip2p_cli.editing.sweep import Sweep
    from ip2p_cli.jobs.item import Request
    from ip2p_cli.types import ModelSpec


@takes_flags
def variants(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar='[IN "INSTRUCTION"]',
            help="The photo and the instruction; without them the last `ip2p edit` is taken up again.",
        ),
    ] = None,
    *,
    vary: VaryFlags,
    ranking: RankFlags,
    model: ModelFlags,
    settings: EditFlags,
    masking: MaskFlags,
    saving: OutputFlags,
    running: RunFlags,
    common: CommonFlags,
) -> None:
    """Make many variants of one edit to choose from: ip2p variants in.jpg "make it winter" --seeds 8 -o winters.

    Lists are multiplied: --seeds 4 --cfg-image 1.2,1.5,1.8 is twelve pictures. Beside them come a contact sheet and
    index.json. Any of them can be had again with `ip2p edit --seed N` and its scales.
    """
    from ip2p_cli.editing.choose import Chooser
    from ip2p_cli.editing.overview import Overview, rank, results_of
    from ip2p_cli.io.mask_settings import needs_area
    from ip2p_cli.models.clip import find_clip

    output = Output(json=common.json, quiet=common.quiet)
    captions = ranking.captions
    source, instructions, last = _what(words or [], vary.instruction or [], output)
    is_ranked = ranking.rank or ranking.keep is not None
    clip = find_clip(ranking.clip) if is_ranked or ranking.clip else None
    model, begin = _continued(model, last)
    choice = choose(model, settings.preset)
    base = replace(settings.settings(), seed=None).or_else(EditSettings() if settings.preset else begin)
    sweep = _sweep(instructions, vary, settings.seed if settings.seed is not None else begin.seed, choice.spec)
    mask = needs_area(masking.settings().or_else(last.mask if last is not None else MaskSettings()))
    requests = _requests(sweep, source, base, settings.preset, choice, mask, saving, fetch=not running.dry_run)
    place = _place(saving.out, source, instructions, running)
    place.begin([source], dry_run=running.dry_run)
    job = EditJob(
        requests=requests,
        place=place,
        output_flags=saving,
        run_flags=running,
        output=output,
        noun="variants",
        clip=clip,
        unknown=settings.unknown,
    )
    plan = job.plan()
    models = job.models
    name = model.model or choice.spec.name

    def finish() -> None:
        assert place.manifest is not None
        results = results_of(plan, place.manifest)
        if is_ranked:
            output.say("ranking")
            results = rank(results, models, Chooser(clip, captions), keep=ranking.keep)
            _report_ranked(results, output)
        overview = Overview(
            plan=plan,
            manifest=place.manifest,
            title=f"Variants of {source.name}",
            varied=sweep.varied or ("seed",),
            is_grid=not sweep.drawn,
            command_of=lambda result: edit_command(result, name),
        )
        job.write_overview(overview, results, sheet=True, report=saving.report)

    job.run(plan, models, to_stdout=not is_ranked, finish=finish)


def _continued(model: ModelFlags, last: LastEdit | None) -> tuple[ModelFlags, EditSettings]:
    """The flags and settings of the last edit where it is taken up; another model keeps only its seed."""
    if last is None:
        return model, EditSettings()
    if model.model is not None and model.model != last.model:
        return model, EditSettings(seed=last.settings.seed)
    flags = replace(
        model,
        model=last.model,
        revision=model.revision or last.revision,
        loras=model.loras or list(last.loras),
        vae=model.vae or last.vae,
    )
    return flags, last.settings


def _requests(
    sweep: Sweep,
    source: Path,
    base: EditSettings,
    preset: str | None,
    choice: ModelChoice,
    mask: MaskSettings,
    saving: OutputFlags,
    *,
    fetch: bool,
) -> list[Request]:
    from ip2p_cli.editing.file_specs import EditTask
    from ip2p_cli.editing.sweep import variants_of
    from ip2p_cli.editing.tree_plan import single_edit
    from ip2p_cli.io.inputs import InputPhoto
    from ip2p_cli.jobs.item import Request
    from ip2p_cli.settings import resolve

    requests, ending, photo = [], saving.ending(source), InputPhoto(path=source)
    for variant in variants_of(sweep, lambda given: resolve(given.or_else(base), choice.spec, preset)):
        tree = single_edit(variant.instruction, variant.settings, choice, mask).for_photo(photo)
        task = EditTask(tree=tree, options=saving.options())
        name = PurePath(variant.name + ending)
        requests.append(
            Request(
                photo=photo,
                task=task,
                recipe=task.recipe(fetch=fetch),
                name=name,
                output=str(name),
                title=variant.instruction,
            )
        )
    return requests


def _report_ranked(results: Sequence[Result], output: Output) -> None:
    """Print the best first; to a person also how good, by which measure, and what is nearly the same."""
    for place, result in enumerate(results, start=1):
        if not result.is_kept or result.measured is None:
            continue
        like = f", nearly the same as number {result.measured.like + 1}" if result.measured.like is not None else ""
        record = {"instruction": result.step.instruction, **result.step.settings.facts, **result.facts}
        record |= result.verdict
        record |= {"input": str(result.item.source), "output": str(result.picture), "rank": place}
        output.data_only(str(result.picture), record)
        output.say(f"{place}. {result.picture}: {result.measured.score:g}{like}")
    if results and results[0].measured is not None:
        output.say(f"ranked by {results[0].measured.facts['measure']}")


def _what(words: list[str], further: list[str], output: Output) -> tuple[Path, tuple[str, ...], LastEdit | None]:
    """(the photo, the instructions, the last edit if no photo was named)."""
    from ip2p_cli.io.images import read_size
    from ip2p_cli.io.inputs import user_path
    from ip2p_cli.io.instructions import checked_instruction

    last = None
    if words:
        if len(words) == 1 and further:
            words = [words[0], further[0]]
        if len(words) > 2:
            raise UsageError("variants are made of one photo: give it and then the instruction in quotes.")
        InputArgs(words=words).check()
        source, instructions = user_path(words[0]), [words[1], *further]
    else:
        from ip2p_cli.editing.history import read_last_edit

        last = read_last_edit()
        source, instructions = last.source, further or [last.instruction]
        output.say(f"taking up the last edit: {source}, “{'”, “'.join(instructions)}”, {last.model}")
    checked = tuple(dict.fromkeys(map(checked_instruction, instructions)))
    read_size(source)  # raises what is wrong with it before a folder is made
    return source, checked, last


def _sweep(instructions: tuple[str, ...], vary: VaryFlags, first: int | None, spec: ModelSpec) -> Sweep:
    """What to vary; first: where a number of seeds begins."""
    from ip2p_cli.editing.sweep import SCALES, Sweep, default_range
    from ip2p_cli.io.range_args import read_names, read_numbers, read_range, read_seeds

    if vary.random is not None and vary.seeds is not None:
        raise UsageError("--random N has N seeds: give it or --seeds; --seed says where they begin.")
    counted = str(vary.random) if vary.random is not None else vary.seeds or "1"
    axes: dict[str, tuple[float | str, ...]] = {"seed": read_seeds(counted, first or 0)}
    drawn: dict[str, tuple[float, float]] = {}
    lists = {"cfg_text": vary.cfg_text, "cfg_image": vary.cfg_image, "steps": vary.steps, "sampler": vary.sampler}
    for name, text in lists.items():
        flag = "--" + name.replace("_", "-")
        if name in SCALES and vary.random is not None:
            if spec.supports is None or name in spec.supports:
                drawn[name] = read_range(text, flag) if text is not None else default_range(spec, name)
        elif text is not None:
            many = read_names(text, flag) if name == "sampler" else read_numbers(text, flag, whole=name == "steps")
            axes[name] = many
    return Sweep(instructions=instructions, axes=axes, drawn=drawn)


def _place(out: str | None, source: Path, instructions: tuple[str, ...], running: RunFlags) -> OutputPlace:
    """The folder for the results: -o, else one named after the photo and the instruction, here."""
    from ip2p_cli.io.names import slug

    folder = out or f"{source.stem}-{slug(instructions[0])}-variants"
    if Path(folder).is_file() or is_picture_name(folder):
        raise UsageError(f"-o {folder}: variants are many pictures: give a folder.")
    return OutputPlace(folder, part_of(running.shard), must_be_folder=True)
