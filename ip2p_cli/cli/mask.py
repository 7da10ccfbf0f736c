"""`ip2p mask IN… "INSTRUCTION" -o MASK`, or `ip2p mask IN… --region WORDS -o MASK`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.flags import CommonFlags, ModelFlags, takes_flags
from ip2p_cli.cli.input_args import InputArgs, check_words, photos_of
from ip2p_cli.cli.mask_flags import AreaFlags
from ip2p_cli.cli.mask_places import MaskPlaces
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import Ip2pError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from ip2p_cli.io.images import Picture
    from ip2p_cli.io.inputs import InputPhoto
    from ip2p_cli.types import EditSettings, MaskSettings


@takes_flags
def mask(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar='IN... ["INSTRUCTION"]',
            help="Photos, folders or globs; then, without --region, --mask and --box, the instruction of an edit.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="A picture, or a folder for several photos: a mask for each, of its name. Default: IN-mask.png, here.",
        ),
    ] = None,
    heatmap: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Also draw over the photo how much the model would edit where, or the mask; in a folder IN-heat.png.",
        ),
    ] = None,
    recursive: opt.Recursive = False,
    overwrite: opt.Overwrite = False,
    *,
    area: AreaFlags,
    model: ModelFlags,
    steps: opt.Steps = None,
    resolution: opt.Resolution = None,
    resize_mode: opt.ResizeMode = None,
    common: CommonFlags,
) -> None:
    """Write which part of a photo may change: ip2p mask in.jpg --region "the sky" -o mask.png.

    White may change, black stays. With an instruction instead: where the model itself would edit, as with --auto-mask.
    A folder of masks can be given to --mask of the other commands.
    """
    from ip2p_cli.cli.running import counting
    from ip2p_cli.io.mask_settings import needs_area
    from ip2p_cli.types import EditSettings

    output = Output(json=common.json, quiet=common.quiet)
    given, inputs, instruction = area.settings(), list(words or []), ""
    check_words(inputs)
    if len(inputs) < (1 if given.has_area else 2):
        raise UsageError(
            'give a photo, and what may change or an instruction: ip2p mask in.jpg --region "the sky" -o mask.png'
        )
    if not given.has_area:
        InputArgs(words=inputs).check()
        *inputs, instruction = inputs
        given = replace(given, auto_mask=True)
    needs_area(given)
    photos = photos_of(inputs, recursive=recursive, out_folder=out, output=output)
    places = _Places(out, heatmap, overwrite, photos)
    settings = EditSettings(steps=steps, resolution=resolution, resize_mode=resize_mode)
    make = _from_model(instruction.strip(), given, settings, model, output) if instruction else _from_photo(given)
    folder = out if out is not None else Path()
    with counting(len(photos), output, folder=folder, noun="photos", goes_on=False, verb="masked") as tally:
        for photo, files in zip(photos, places.files, strict=True):
            try:
                _write(photo, make, files, overwrite, output)
            except Ip2pError as error:
                tally.fail(error)
            else:
                tally.done += 1


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A mask, what is drawn as its heat map, how it was made, and what there is to say of it."""

    mask: Image
    heat: Image
    facts: dict[str, Any]
    notes: list[str]


_Make = Callable[["InputPhoto", "Picture", Path], _Made]


def _from_photo(area: MaskSettings) -> _Make:
    """Masks from words, files and rectangles."""
    from ip2p_cli.editing.step_masks import step_mask

    step = step_mask(area)
    assert step is not None

    def make(photo: InputPhoto, picture: Picture, folder: Path) -> _Made:
        own = step.for_photo(photo)
        made = own.read(picture)
        return _Made(mask=made, heat=made, facts=own.record(folder), notes=[])

    return make


def _from_model(instruction: str, area: MaskSettings, given: EditSettings, flags: ModelFlags, output: Output) -> _Make:
    """Masks of where a model would edit."""
    from ip2p_cli.cli.loading import choose, models_for
    from ip2p_cli.editing.choose import Chooser
    from ip2p_cli.editing.engine import Engine
    from ip2p_cli.editing.step_cache import StepCache
    from ip2p_cli.editing.tree_plan import single_edit
    from ip2p_cli.editing.tree_run import TreeRun
    from ip2p_cli.editing.unknown import InstructionResolver
    from ip2p_cli.settings import resolve
    from ip2p_cli.types import EditSettings

    choice = choose(flags)
    settings = resolve(given.or_else(EditSettings(seed=0)), choice.spec, None)
    models = models_for([(choice, instruction)], output)
    resolver = InstructionResolver(models.loaded, tell=output.warn)
    tree = resolver.resolve(single_edit(instruction, settings, choice, area)).tree
    engine = Engine(models.loaded)

    def make(photo: InputPhoto, picture: Picture, folder: Path) -> _Made:
        run = TreeRun(tree.for_photo(photo), picture, engine, StepCache(None), Chooser())
        engine.begin_group()
        step = run.tree.steps[0]
        auto, made = run.masks.auto(step), run.masks.of(step)
        assert auto is not None
        facts = {**run.masks.record(step, folder), **choice.identity(), **step.instructions}
        return _Made(mask=made, heat=auto.heat, facts=facts, notes=[*run.notes, *engine.notes])

    return make


class _Places:
    """The mask and the heat map of each photo."""

    def __init__(self, out: Path | None, heatmap: Path | None, overwrite: bool, photos: list[InputPhoto]) -> None:
        from ip2p_cli.io.names import numbered

        places = MaskPlaces("-o", out, overwrite=overwrite) if out is not None else None
        heat = MaskPlaces("--heatmap", heatmap, overwrite=overwrite, after="-heat") if heatmap is not None else None
        self.files: list[tuple[Path, Path | None]] = []
        taken: set[str] = set()
        for photo in photos:
            if places is not None:
                file = places.of(photo)
            else:
                file = Path(numbered(Path(), Path(f"{photo.path.stem}-mask.png"), taken, overwrite=overwrite))
                taken.add(file.as_posix().casefold())
            self.files.append((file, heat.of(photo) if heat is not None else None))
        both = {str(file) for file, _ in self.files} & {str(file) for _, file in self.files}
        if both:
            raise UsageError(f"--heatmap: {min(both)} is the mask: give another name")


def _write(photo: InputPhoto, make: _Make, files: tuple[Path, Path | None], overwrite: bool, output: Output) -> None:
    """Make and write the mask of a photo, and say so."""
    import numpy as np

    from ip2p_cli.editing.mask_files import heat_map, write_mask
    from ip2p_cli.io.images import read_image

    path, heat = files
    picture = read_image(photo.path)
    made = make(photo, picture, path.parent)
    write_mask(path, made.mask, made.facts, picture, overwrite=overwrite)
    if heat is not None:
        write_mask(heat, heat_map(picture.rgb, made.heat), made.facts, picture, overwrite=overwrite)
    share = float(np.asarray(made.mask).mean()) / 255
    data = {"input": str(photo.path), "output": str(path), "share": round(share, 4), "size": list(made.mask.size)}
    data |= {"mask": made.facts, **({"heatmap": str(heat)} if heat is not None else {})}
    for note in made.notes:
        output.say(f"{photo.path}: {note}")
    output.result(f"{path}: {share:.1%} of {photo.path} may change", data)
