"""`ip2p replay OUT`: make a picture again from its own record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.flags import CommonFlags, ModelFlags, takes_flags
from ip2p_cli.cli.input_args import assignments
from ip2p_cli.cli.loading import choose, find, models_for
from ip2p_cli.cli.mask_flags import RegionModel
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import ModelError, UsageError
from ip2p_cli.io.names import printable
from ip2p_cli.types import DtypeName

if TYPE_CHECKING:
    from ip2p_cli.editing.model_choice import ModelChoice
    from ip2p_cli.editing.replay import Recorded


@takes_flags
def replay(
    picture: Annotated[Path, typer.Argument(metavar="OUT", help="A picture that ip2p made.")],
    source: Annotated[
        Path | None, typer.Option("--input", help="The photo, where it is not found by itself, or another one.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER", help="The mask, or the folder of the masks, where it is not found by itself."
        ),
    ] = None,
    region_model: RegionModel = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another setting, such as steps=50, or instruction=…"),
    ] = None,
    out: opt.Out = None,
    overwrite: opt.Overwrite = False,
    yes: opt.Yes = False,
    *,
    model: ModelFlags,
    common: CommonFlags,
) -> None:
    """Make a picture again as its record says, with --set otherwise; says whether the pixels are the same.

    ip2p replay winter.png --set steps=50 -o better.png
    """
    from ip2p_cli.editing.replay import differences, find_source, read_recorded, replay_plan, tree_of
    from ip2p_cli.editing.unknown import InstructionResolver
    from ip2p_cli.editing.work import EditWork
    from ip2p_cli.io.output import check_output
    from ip2p_cli.io.provenance import read_record
    from ip2p_cli.jobs.runner import Runner

    output = Output(json=common.json, quiet=common.quiet)
    edits = read_recorded(picture, read_record(picture))
    if changes:
        edits = _changed(edits, changes)
    clipseg = Path(region_model) if region_model is not None else None
    tree = tree_of(edits, lambda recorded: _choice(recorded, model, is_trusted=yes), mask, clipseg)
    models = models_for(((step.choice, step.instruction) for step in tree.steps), output)
    if edits[0].instruction != edits[0].record.get("instruction"):
        tree = InstructionResolver(models.loaded, tell=output.warn).resolve(tree).tree
    place, is_same_photo = find_source(edits[-1], source)
    target = _target(picture, out, overwrite)
    check_output(target, overwrite)
    differ = differences(edits, tree, is_same_photo)
    if changes:
        original = read_recorded(picture, read_record(picture))
        differ = differences(original, tree, is_same_photo)
    plan = replay_plan(edits[-1], tree, place, target, overwrite=overwrite)
    with output.progress(place.name) as bar:
        work = EditWork(models, plan.folder, memory=edits[-1].memory)
        outcomes = list(Runner(plan=plan, work=work, on_units=bar).run())
    outcome = next(one for one in outcomes if one.state != "skipped")
    for note in outcome.notes:
        output.say(note)
    if outcome.error is not None:
        raise outcome.error
    _report(picture, target, outcome.records[0], differ, output)


def _choice(recorded: Recorded, flags: ModelFlags, *, is_trusted: bool) -> ModelChoice:
    """The model, number format and backend of the record, unless the user names others.

    A record may come from anyone: unless it is trusted, it opens and fetches no model but those that are known by name
    and already on this machine.
    """
    from ip2p_cli.models.device import pick_device

    flags = replace(flags, loras=flags.loras or recorded.known_loras(fetch=is_trusted))
    recorded.check_parts(flags.loras or [], flags.vae)
    if flags.model is None and not is_trusted and not _is_known(recorded.model, flags.revision):
        name = printable(recorded.model)
        raise ModelError(
            f"{printable(recorded.picture)} was made with {name}, which is not one of ip2p's models on this machine: "
            f"name the model with --model, or let it be opened or downloaded as the record says with --yes"
        )
    then = recorded.record.get("dtype")
    dtype = next((name for name in get_args(DtypeName) if flags.dtype == "auto" and name == then), flags.dtype)
    if flags.backend == "auto" and flags.quantize == "none":
        has_cuda = pick_device(flags.device).name == "cuda"
        run_by = recorded.run_by
        flags = replace(flags, **{**run_by, "compiled": has_cuda and (flags.compiled or run_by["compiled"])})
    try:
        return choose(replace(flags, model=flags.model or recorded.model, dtype=dtype))
    except ModelError as error:
        if flags.model is not None:
            raise
        picture, name = printable(recorded.picture), printable(recorded.model)
        raise ModelError(f"{picture} was made with {name}: say where it is with --model.") from error


def _is_known(name: str, revision: str | None) -> bool:
    """Whether a model of the table or the config file has this name, and is whole on this machine."""
    from ip2p_cli.config import read_config
    from ip2p_cli.models.hub import on_disk
    from ip2p_cli.models.registry import known_models

    if name == "nano":
        return True
    known = known_models(read_config().models)
    here = on_disk(find(name, revision)) if name in known else None
    return here is not None and here.whole


def _changed(edits: Sequence[Recorded], changes: Sequence[str]) -> list[Recorded]:
    """The edit with the settings of --set; raises UsageError for a chain."""
    from ip2p_cli.io.setting_parser import SETTINGS, read_settings, refuse_unknown, renamed

    if len(edits) > 1:
        raise UsageError("--set is for single edits: to change a chain's, run ip2p chain again, with --redo.")
    given = renamed({name.replace("-", "_"): value for name, value in assignments(changes, "steps=50").items()})
    refuse_unknown(given, ("instruction", *SETTINGS), "--set")
    settings = read_settings({name: value for name, value in given.items() if name in SETTINGS}, "--set")
    instruction = given.get("instruction", edits[0].instruction)
    done_as = edits[0].done_as if instruction == edits[0].instruction else None
    changed = settings.or_else(edits[0].settings)
    return [replace(edits[0], instruction=instruction, done_as=done_as, settings=changed)]


def _target(picture: Path, out: str | None, overwrite: bool) -> Path:
    from ip2p_cli.io.names import numbered

    if out is not None and not Path(out).is_dir():
        return Path(out)
    folder = Path(out or ".")
    name = PurePath(f"{picture.stem}-replay{picture.suffix}")
    return folder / numbered(folder, name, overwrite=overwrite)


def _report(picture: Path, target: Path, record: Mapping[str, Any], differ: Sequence[str], output: Output) -> None:
    from ip2p_cli.editing.replay import largest_difference

    largest = largest_difference(picture, target)
    text = "the same pixels" if not largest else f"pixels differ by up to {largest} of 255"
    why = f" ({'; '.join(differ)})" if differ else ""
    if largest and not differ and picture.suffix.lower() != target.suffix.lower():
        why = f" (the formats differ: to compare exactly, give -o a name that ends in {picture.suffix})"
    elif largest and not differ:
        why = " (nothing that is recorded differs: another machine, or other versions of its libraries?)"
    data = {**record, "output": str(target), "largest_difference": largest, "differences": list(differ)}
    output.result(f"{target}: {text}{why}", data)
