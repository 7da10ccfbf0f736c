"""`ip2p variants IN INSTRUCTION --seeds 8 -o FOLDER`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ip2p_cli.cli import loading
from ip2p_cli.cli import options as opt
from ip2p_cli.cli.input_args import InputArgs, Place, batch_size_of
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.running import report as tell_all
from ip2p_cli.cli.running import run_here
from ip2p_cli.errors import InterruptionError, Ip2pError, UsageError
from ip2p_cli.types import EditSettings, OutputOptions

if TYPE_CHECKING:
    from ip2p_cli.types import ModelSpec
    from ip2p_cli.workflows.history import LastEdit
    from ip2p_cli.workflows.selection import Variant
    from ip2p_cli.workflows.variants import Sweep


def variants(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar='[IN "INSTRUCTION"]',
            help="The photo and the instruction; without them the last `ip2p edit` is taken up again.",
        ),
    ] = None,
    out: opt.Out = None,
    seeds: opt.Seeds = None,
    cfg_text: opt.CfgTexts = None,
    cfg_image: opt.CfgImages = None,
    steps: opt.StepCounts = None,
    sampler: opt.Samplers = None,
    instruction: opt.Instructions = None,
    random: opt.Random = None,
    rank: opt.Rank = False,
    keep: opt.Keep = None,
    clip: opt.Clip = None,
    caption: opt.Caption = None,
    target_caption: opt.TargetCaption = None,
    model: opt.Model = None,
    revision: opt.Revision = None,
    loras: opt.Loras = None,
    vae: opt.Vae = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    offload: opt.Offload = "none",
    seed: opt.Seed = None,
    resolution: opt.Resolution = None,
    resize_mode: opt.ResizeMode = None,
    preset: opt.Preset = None,
    output_size: opt.OutputSize = None,
    report: opt.Report = False,
    quality: opt.Quality = 92,
    sidecar: opt.Sidecar = False,
    no_metadata: opt.NoMetadata = False,
    strip_location: opt.StripLocation = False,
    batch_size: opt.BatchSize = "auto",
    redo: opt.Redo = False,
    dry_run: opt.DryRun = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Make many variants of one edit to choose from: ip2p variants in.jpg "make it winter" --seeds 8 -o winters

    Lists are multiplied: --seeds 4 --cfg-image 1.2,1.5,1.8 is twelve pictures. Beside them come a contact sheet and
    variants.json. Any of them can be had again with `ip2p edit --seed N` and its scales.
    """
    from ip2p_cli.models.clip import find_clip
    from ip2p_cli.settings import resolve
    from ip2p_cli.workflows.plan import batch_size as size_of
    from ip2p_cli.workflows.plan import make_plan
    from ip2p_cli.workflows.selection import made, ranked, write_overview
    from ip2p_cli.workflows.variants import SharedWork, spread_out

    output = Output(json=json, quiet=quiet)
    if (caption is None) != (target_caption is None):
        raise UsageError("--caption and --target-caption belong together: give both or neither.")
    source, instructions, last = _what(words or [], instruction or [], output)
    if last is not None:
        model, revision = (model, revision) if model else (last.model, last.revision)
        loras, vae = (loras or list(last.loras), vae or last.vae) if model == last.model else (loras, vae)
    choice = loading.choose(model, device, dtype, loras=loras or [], vae=vae, revision=revision, offload=offload)
    base = EditSettings(resolution=resolution, resize_mode=resize_mode, output_size=output_size)
    lists = {"cfg_text": cfg_text, "cfg_image": cfg_image, "steps": steps, "sampler": sampler}
    begin = last.settings if last is not None and preset is None else EditSettings()
    sweep = _sweep(instructions, seeds, random, seed if seed is not None else begin.seed, lists, choice.spec)
    wanted = spread_out(sweep, source, lambda said: resolve(said.or_else(base).or_else(begin), choice.spec, preset))
    clip_folder = find_clip(clip) if rank or keep is not None or clip else None
    place = _place(out, source, instructions, dry_run)
    plan = make_plan(
        wanted,
        place.folder,
        place.manifest,
        spec=choice.spec,
        identity=choice.identity(fetch=not dry_run),
        size_of=size_of(batch_size_of(batch_size), choice.device_name),
        redo=redo,
    )
    if dry_run:
        from ip2p_cli.cli.dry_run import print_plan

        print_plan(plan, plan.batches, choice, output)
        return
    saving = OutputOptions(quality=quality, metadata=not no_metadata, sidecar=sidecar, strip_location=strip_location)
    outcomes = run_here(plan, plan.batches, choice, saving, place.manifest, output, run=SharedWork(), noun="variants")
    ranking = rank or keep is not None
    failure: Ip2pError | None = None
    try:
        tell_all(plan, plan.batches, outcomes, output, noun="variants", data=not ranking)
    except InterruptionError:
        raise
    except Ip2pError as error:  # what was made is shown all the same
        failure = error
    found = made(plan)
    if ranking:
        output.say("ranking")
        captions = (caption, target_caption) if caption and target_caption else None
        found = ranked(found, choice, keep=keep, clip=clip_folder, captions=captions)
        _tell_ranked(found, output)
    if found:
        written = write_overview(found, plan, sweep, model=model or choice.spec.name, with_report=report)
        output.say("beside them: " + ", ".join(str(path) for path in written.values()))
    if failure is not None:
        raise failure


def _tell_ranked(found: Sequence[Variant], output: Output) -> None:
    """The best first, on stdout; to a person how good, by which measure, and what is nearly the same."""
    for place, one in enumerate(found, start=1):
        if not one.kept or one.measured is None:
            continue
        like = f", nearly the same as number {one.measured.like + 1}" if one.measured.like is not None else ""
        record = {"instruction": one.item.instruction, **asdict(one.item.settings), **one.facts}
        record |= {"input": str(one.item.source), "output": str(one.item.target), "rank": place}
        output.data_only(str(one.item.target), record)
        output.say(f"{place}. {one.item.target}: {one.measured.score:g}{like}")
    if found and found[0].measured is not None:
        output.say(f"ranked by {found[0].measured.facts['measure']}")


def _what(words: list[str], further: list[str], output: Output) -> tuple[Path, tuple[str, ...], LastEdit | None]:
    """(the photo, the instructions, the last edit where nobody named a photo)."""
    from ip2p_cli.io.images import read_image

    last = None
    if words:
        if len(words) == 1 and further:
            words = [words[0], further[0]]
        if len(words) > 2:
            raise UsageError("variants are made of one photo: give it and then the instruction in quotes.")
        InputArgs(words=words, jobs=None, recursive=False, out=None).check()
        source, instructions = Path(words[0]).expanduser(), [words[1], *further]
    else:
        from ip2p_cli.workflows.history import read_last_edit

        last = read_last_edit()
        source, instructions = last.source, further or [last.instruction]
        output.say(f"taking up the last edit: {source}, “{'”, “'.join(instructions)}”, {last.model}")
    stripped = tuple(dict.fromkeys(text.strip() for text in instructions))
    if not all(stripped):
        raise UsageError('the instruction is empty: say what to change, e.g. "make it winter".')
    read_image(source)  # says now, before a model loads, what is wrong with it
    return source, stripped, last


def _sweep(
    instructions: tuple[str, ...],
    seeds: str | None,
    random: int | None,
    first: int | None,
    lists: dict[str, str | None],
    spec: ModelSpec,
) -> Sweep:
    """What to vary, out of the flags. first: where a number of seeds begins."""
    from ip2p_cli.io.range_args import read_names, read_numbers, read_range, read_seeds
    from ip2p_cli.workflows.variants import SCALES, Sweep, around

    if random is not None and seeds is not None:
        raise UsageError("--random N has N seeds: give it or --seeds; --seed says where they begin.")
    counted = str(random) if random is not None else seeds or "1"
    axes: dict[str, tuple[float | str, ...]] = {"seed": read_seeds(counted, first or 0)}
    drawn: dict[str, tuple[float, float]] = {}
    for name, text in lists.items():
        flag = "--" + name.replace("_", "-")
        if name in SCALES and random is not None:
            if spec.supports is None or name in spec.supports:
                drawn[name] = read_range(text, flag) if text is not None else around(spec, name)
        elif text is not None:
            many = read_names(text, flag) if name == "sampler" else read_numbers(text, flag, whole=name == "steps")
            axes[name] = many
    return Sweep(instructions=instructions, axes=axes, drawn=drawn)


def _place(out: str | None, source: Path, instructions: tuple[str, ...], dry_run: bool) -> Place:
    """The folder for the results: -o, else one named after the photo and the instruction, here."""
    from ip2p_cli.io.names import slug

    folder = out or f"{source.stem}-{slug(instructions[0])}-variants"
    if Path(folder).is_file():
        raise UsageError(f"-o {folder} is a file: variants are many pictures, give a folder.")
    place = Place(InputArgs(words=[], jobs=None, recursive=False, out=folder.rstrip("/") + "/"), None, dry_run)
    place.begin([source])
    return place
