"""`ip2p replay OUT`: make a picture again from its own record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ip2p_cli.cli import loading
from ip2p_cli.cli import options as opt
from ip2p_cli.cli.chain_run import Editors
from ip2p_cli.cli.input_args import assignments
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import ModelError, UsageError
from ip2p_cli.types import DeviceName, DtypeName, ModelSpec, OutputOptions

if TYPE_CHECKING:
    from ip2p_cli.types import EditSettings
    from ip2p_cli.workflows.chain_plan import Step
    from ip2p_cli.workflows.loading import ModelChoice
    from ip2p_cli.workflows.replay import Recorded


def replay(
    picture: Annotated[Path, typer.Argument(metavar="OUT", help="A picture that ip2p made.")],
    source: Annotated[
        Path | None, typer.Option("--input", help="The photo, where it is not found by itself, or another one.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another setting, such as steps=50, or instruction=…"),
    ] = None,
    out: opt.Out = None,
    model: opt.Model = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    offload: opt.Offload = "none",
    loras: opt.Loras = None,
    vae: opt.Vae = None,
    overwrite: opt.Overwrite = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Make a picture again as its record says, with --set otherwise; says whether the pixels are the same.

    ip2p replay winter.png --set steps=50 -o better.png
    """
    from ip2p_cli.io.output import check_output
    from ip2p_cli.io.provenance import read_record
    from ip2p_cli.settings import resolve
    from ip2p_cli.workflows.batch import run_batches
    from ip2p_cli.workflows.chain_replay import is_of_chain
    from ip2p_cli.workflows.replay import differences, find_source, now_of, read_recorded, replay_plan

    output = Output(json=json, quiet=quiet)
    recorded = read_recorded(picture, read_record(picture))

    def choice_of(one: Recorded) -> ModelChoice:
        one.check_parts(loras or [], vae)
        return replace(_choice(one, model, device, dtype, loras=loras or [], vae=vae), offload=offload)

    if is_of_chain(recorded.record):
        if changes:
            raise UsageError("--set is for single edits: to change a chain's, run ip2p chain again, with --redo.")
        target = _target(picture, out, overwrite)
        check_output(target, overwrite)
        _replay_chain(recorded, source, target, choice_of, output, overwrite)
        return
    choice = choice_of(recorded)
    instruction, settings = _changed(recorded, changes or [], choice.spec)
    resolved = resolve(settings, choice.spec)
    place, same_input = find_source(recorded, source)
    target = _target(picture, out, overwrite)
    check_output(target, overwrite)
    now = now_of(instruction, resolved, choice.identity())
    others = differences(recorded, now, same_input)
    plan = replace(replay_plan(recorded, place, instruction, resolved, target, overwrite), identity=choice.identity())
    editor = loading.load(choice, output)
    loading.hint(editor, [instruction], output)
    with output.progress(place.name) as bar:
        outcomes = run_batches(
            editor,
            plan,
            plan.batches,
            saving=OutputOptions(quality=recorded.quality),
            on_step=lambda items, done, total: bar(done, total),
        )
        outcome = next(one for one in outcomes if one.state != "skipped")
    if outcome.error is not None:
        raise outcome.error
    _tell(recorded, target, outcome.record or {}, others, output)


def _replay_chain(
    recorded: Recorded,
    source: Path | None,
    target: Path,
    choice_of: Callable[[Recorded], ModelChoice],
    output: Output,
    overwrite: bool,
) -> None:
    """Make all edits again that led to the picture."""
    from ip2p_cli.io.files import write_whole
    from ip2p_cli.workflows.chain_replay import chain_differences, chain_plan_of, read_chain, replay_chain
    from ip2p_cli.workflows.replay import find_source

    edits = read_chain(recorded)
    plan = chain_plan_of(edits, choice_of)
    place, same_input = find_source(recorded, source)
    others = chain_differences(edits, plan, same_input)
    editors = Editors(plan, output)
    total = sum(step.settings.steps * step.best_of for step in plan.steps)
    counted: dict[int, int] = {}
    with output.progress(place.name) as bar:

        def on_step(step: Step, done: int, _: int) -> None:
            counted[step.position] = done
            bar(sum(counted.values()), total)

        data, record = replay_chain(
            plan, place, target, editors, OutputOptions(quality=recorded.quality), output.say, on_step
        )
    write_whole(target, data, overwrite=overwrite)
    _tell(recorded, target, record, others, output)


def _choice(
    recorded: Recorded,
    model: str | None,
    device: DeviceName,
    dtype: DtypeName,
    *,
    loras: Sequence[str],
    vae: str | None,
) -> ModelChoice:
    """The model and number format of the record, where nobody says otherwise."""
    then = recorded.record.get("dtype")
    dtype = next((name for name in get_args(DtypeName) if dtype == "auto" and name == then), dtype)
    try:
        return loading.choose(model or recorded.model, device, dtype, loras=loras, vae=vae)
    except ModelError as error:
        if model is not None:
            raise
        raise ModelError(f"{recorded.picture} was made with {recorded.model}: say where it is with --model.") from error


def _changed(recorded: Recorded, changes: Sequence[str], spec: ModelSpec) -> tuple[str, EditSettings]:
    """(instruction, settings) of the record as far as the model has them, with the --set ones instead."""
    from ip2p_cli.io.setting_parser import SETTINGS, read_settings, refuse_unknown
    from ip2p_cli.settings import supported

    said = {name.replace("-", "_"): value for name, value in assignments(changes, "steps=50").items()}
    refuse_unknown(said, ("instruction", *SETTINGS), "--set")
    settings = read_settings({name: value for name, value in said.items() if name in SETTINGS}, "--set")
    return said.get("instruction", recorded.instruction), settings.or_else(supported(recorded.settings, spec))


def _target(picture: Path, out: str | None, overwrite: bool) -> Path:
    from ip2p_cli.io.names import numbered

    if out is not None and not Path(out).is_dir():
        return Path(out)
    folder = Path(out or ".")
    name = PurePath(f"{picture.stem}-replay{picture.suffix}")
    return folder / numbered(folder, name, overwrite=overwrite)


def _tell(recorded: Recorded, target: Path, record: Mapping[str, Any], others: Sequence[str], output: Output) -> None:
    from ip2p_cli.workflows.replay import compare

    apart = compare(recorded.picture, target)
    said = "the same pixels" if not apart else f"pixels differ by up to {apart} of 255"
    why = f" ({'; '.join(others)})" if others else ""
    if apart and not others:
        why = " (nothing that is recorded differs: another machine, or other versions of its libraries?)"
    data = {**record, "output": str(target), "largest_difference": apart, "differences": list(others)}
    output.result(f"{target}: {said}{why}", data)
