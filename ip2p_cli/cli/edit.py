"""`ip2p edit IN… INSTRUCTION -o OUT`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InterruptionError, Ip2pError, OutputError, UsageError
from . import options as opt
from .output import Output

if TYPE_CHECKING:
    from ..models.loader import Editor
    from ..types import DeviceName, DtypeName, ModelSpec, ResolvedEditSettings


def edit(
    words: Annotated[
        list[str], typer.Argument(metavar='IN... "INSTRUCTION"', help="One or more photos, then the instruction.")
    ],
    out: opt.Out = None,
    model: opt.Model = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    steps: opt.Steps = None,
    cfg_text: opt.CfgText = None,
    cfg_image: opt.CfgImage = None,
    seed: opt.Seed = None,
    sampler: opt.Sampler = None,
    resolution: opt.Resolution = None,
    output_size: opt.OutputSize = None,
    overwrite: opt.Overwrite = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Edit photos as an instruction says: ip2p edit in.jpg "make it winter" -o out.jpg

    Give one or more photos and, last, the instruction in quotes.
    """
    from ..models.registry import find_model
    from ..settings import choose_model, resolve
    from ..types import EditSettings

    output = Output(json=json, quiet=quiet)
    inputs, instruction = _split(words)
    name, chosen = choose_model(model)
    spec = find_model(name)
    settings = resolve(
        EditSettings(
            steps=steps,
            cfg_text=cfg_text,
            cfg_image=cfg_image,
            sampler=sampler,
            seed=seed,
            resolution=resolution,
            output_size=output_size,
        ),
        spec,
    )
    _check_inputs(inputs)
    targets = _targets(inputs, instruction, out, overwrite)
    if not chosen:
        _introduce_nano(output)
    editor = _load(spec, device, dtype, output)
    _hint(editor, instruction, output)
    failed: list[Ip2pError] = []
    for done, (source, target) in enumerate(zip(inputs, targets, strict=True)):
        try:
            _edit_one(editor, source, target, instruction, settings, overwrite, output)
        except KeyboardInterrupt:
            raise InterruptionError(
                f"interrupted: {done} of {len(inputs)} photos done, nothing half written."
            ) from None
        except Ip2pError as error:
            if len(inputs) == 1:
                raise
            output.error(str(error))
            failed.append(error)
    if failed:
        raise type(failed[0])(f"{len(failed)} of {len(inputs)} photos failed; see above.")


def _split(words: list[str]) -> tuple[list[Path], str]:
    """(photos, instruction)"""
    *inputs, instruction = words
    if not inputs:
        raise UsageError('give a photo and an instruction: ip2p edit in.jpg "make it winter" -o out.jpg')
    if os.path.isfile(instruction):  # noqa: PTH113 - Path.is_file raises for a text too long for a name
        raise UsageError(f"{instruction} is a file: the instruction comes last, in quotes, after the photos.")
    if not instruction.strip():
        raise UsageError('the instruction is empty: say what to change, e.g. "make it winter".')
    return [Path(p) for p in inputs], instruction.strip()


def _targets(inputs: list[Path], instruction: str, out: str | None, overwrite: bool) -> list[Path]:
    """An output for each input; checked, as far as that is possible before the work is done."""
    from ..io.names import numbered, slug
    from ..io.output import check_output

    folder = Path(out or ".")
    into_folder = out is None or folder.is_dir() or out.endswith(("/", os.sep))  # a Path would lose the last /
    if not into_folder:
        if len(inputs) > 1:
            raise UsageError(f"{out}: {len(inputs)} photos need a folder: give one that exists, or end it with /.")
        check_output(folder, overwrite)
        return [folder]
    if out is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror}); give another -o.") from error
    targets: list[Path] = []
    for source in inputs:
        target = numbered(folder / f"{source.stem}-{slug(instruction)}.png", targets, overwrite=overwrite)
        check_output(target, overwrite)
        targets.append(target)
    return targets


def _check_inputs(inputs: list[Path]) -> None:
    """A lone unreadable photo is said before a model loads; among several it only fails itself, later."""
    if len(inputs) == 1:
        from ..io.images import read_image

        read_image(inputs[0])


def _introduce_nano(output: Output) -> None:
    """Say once on this machine what the default model is."""
    import platformdirs

    seen = platformdirs.user_state_path("ip2p") / "nano-introduced"
    if seen.exists():
        return
    output.say(
        "Using nano, the small built-in model: it knows some fifty looks (seasons, weather, light, colour, drawing and "
        "painting, camera; see `ip2p models show nano`). For any instruction get the full one: "
        "--model instruct-pix2pix (4 GB, downloaded once)."
    )
    try:
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.touch()
    except OSError:
        pass  # a home that cannot be written to: it will be said again


def _load(spec: ModelSpec, device: DeviceName, dtype: DtypeName, output: Output) -> Editor:
    from ..models.device import pick_device, pick_dtype
    from ..models.loader import load_editor

    place = pick_device(device)
    number = pick_dtype(dtype, place.name, spec)
    with output.progress(f"loading {spec.name}"):
        return load_editor(spec, device=place.name, dtype=number.name)


def _hint(editor: Editor, instruction: str, output: Output) -> None:
    """Be honest about words that are cut off, and about instructions that nano does not know."""
    from ..diffusion.editing import truncated_words
    from ..models.nano.known import closest

    lost = truncated_words(editor, instruction)
    if lost:
        output.warn(f"the instruction is too long for {editor.spec.name}; it does not see: {' '.join(lost)}")
    if editor.spec.name == "nano":
        near = closest(editor, instruction)
        if not near.known:
            output.warn(
                f"nano was not trained for “{instruction}”; the closest that it can do: {near.examples}. For any "
                "instruction: --model instruct-pix2pix (4 GB, downloaded once)."
            )


def _edit_one(
    editor: Editor,
    source: Path,
    target: Path,
    instruction: str,
    settings: ResolvedEditSettings,
    overwrite: bool,
    output: Output,
) -> None:
    from .. import __version__
    from ..io.images import read_image
    from ..io.output import write_image
    from ..types import EditRequest
    from ..workflows.edit import edit as run

    picture = read_image(source)
    request = EditRequest(source=picture.rgb, instruction=instruction, settings=settings)
    with output.progress(source.name) as on_step:
        result = run(editor, request, on_step=on_step)
    record = {
        "ip2p": __version__,
        "model": result.model,
        "input": source.name,
        "instruction": instruction,
        **asdict(settings),
    }
    alpha = picture.alpha if picture.alpha is not None and picture.alpha.size == result.image.size else None
    write_image(result.image, target, overwrite=overwrite, alpha=alpha, record=record)
    seconds = round(result.seconds, 2)
    output.result(
        f"{target}: {result.model}, seed {settings.seed}, {seconds:.1f} s",
        {**record, "input": str(source), "output": str(target), "seconds": seconds},
    )
