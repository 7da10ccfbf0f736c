"""`ip2p mask IN… --region WORDS -o MASK`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.flags import CommonFlags, takes_flags
from ip2p_cli.cli.input_args import check_words, photos_of
from ip2p_cli.cli.mask_flags import AreaFlags
from ip2p_cli.cli.mask_places import MaskPlaces
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import Ip2pError, UsageError

if TYPE_CHECKING:
    from ip2p_cli.editing.step_masks import StepMask
    from ip2p_cli.io.inputs import InputPhoto


@takes_flags
def mask(
    words: Annotated[list[str] | None, typer.Argument(metavar="IN...", help="Photos, folders or globs.")] = None,
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
        typer.Option(metavar="FILE|FOLDER", help="Also draw the mask over the photo; in a folder as IN-heat.png."),
    ] = None,
    recursive: opt.Recursive = False,
    overwrite: opt.Overwrite = False,
    *,
    area: AreaFlags,
    common: CommonFlags,
) -> None:
    """Write which part of a photo may change: ip2p mask in.jpg --region "the sky" -o mask.png.

    White may change, black stays. A folder of masks can be given to --mask of the other commands.
    """
    from ip2p_cli.cli.running import counting
    from ip2p_cli.editing.step_masks import step_mask
    from ip2p_cli.io.mask_settings import needs_area

    output = Output(json=common.json, quiet=common.quiet)
    check_words(words or [])
    if not words:
        raise UsageError('give a photo and what may change: ip2p mask in.jpg --region "the sky" -o mask.png')
    step = step_mask(needs_area(area.settings()))
    if step is None:
        raise UsageError('say what may change with --region, --mask or --box, for example --region "the sky"')
    photos = photos_of(words, recursive=recursive, out_folder=out, output=output)
    places = _Places(out, heatmap, overwrite, photos)
    folder = out if out is not None else Path()
    with counting(len(photos), output, folder=folder, noun="photos", goes_on=False, verb="masked") as tally:
        for photo, files in zip(photos, places.files, strict=True):
            try:
                _write(photo, step, files, overwrite, output)
            except Ip2pError as error:
                tally.fail(error)
            else:
                tally.done += 1


class _Places:
    """The mask and the heat map of each photo."""

    def __init__(self, out: Path | None, heatmap: Path | None, overwrite: bool, photos: list[InputPhoto]) -> None:
        from ip2p_cli.io.names import numbered

        flags = {"overwrite": overwrite}
        places = MaskPlaces("-o", out, **flags) if out is not None else None
        heat = MaskPlaces("--heatmap", heatmap, **flags, after="-heat") if heatmap is not None else None
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


def _write(photo: InputPhoto, step: StepMask, files: tuple[Path, Path | None], overwrite: bool, output: Output) -> None:
    """Make and write the mask of a photo, and say so."""
    import numpy as np

    from ip2p_cli.editing.mask_files import heat_map, write_mask
    from ip2p_cli.io.images import read_image

    path, heat = files
    step = step.for_photo(photo)
    picture = read_image(photo.path)
    made, facts = step.read(picture), step.record(path.parent)
    write_mask(path, made, facts, picture, overwrite=overwrite)
    if heat is not None:
        write_mask(heat, heat_map(picture.rgb, made), facts, picture, overwrite=overwrite)
    share = float(np.asarray(made).mean()) / 255
    data = {"input": str(photo.path), "output": str(path), "share": round(share, 4), "size": list(made.size)}
    data |= {"mask": facts, **({"heatmap": str(heat)} if heat is not None else {})}
    output.result(f"{path}: {share:.1%} of {photo.path} may change", data)
