"""The flags that say which part of a photo may change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ip2p_cli.types import MaskSettings
from ip2p_cli.types import MaskSteps as MaskStepsName

_WHERE = "Where to edit"

RegionModel = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER", help="CLIPSeg, for --region. Default: that in the hub's cache.", rich_help_panel=_WHERE
    ),
]
SaveMask = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|FOLDER",
        help="Also write what may change as a picture; for several photos a folder, with one for each, of its name.",
        rich_help_panel=_WHERE,
    ),
]


@dataclass(frozen=True, kw_only=True)
class AreaFlags:
    """Which part of a photo."""

    mask: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="A picture in which white may change and black stays; or a folder with one for each photo, of its "
            "name.",
            rich_help_panel=_WHERE,
        ),
    ] = None
    box: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="A rectangle that may change, in pixels or per cent: 10%,20%,50%,40%. May be repeated. With --mask or "
            "--region only what is in both may change.",
            rich_help_panel=_WHERE,
        ),
    ] = None
    region: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help="What may change, in words: the sky, plants, left, highlights, red, subject, background, everything "
            "but the sky; other words, such as “the car”, by CLIPSeg.",
            rich_help_panel=_WHERE,
        ),
    ] = None
    region_model: RegionModel = None
    invert_mask: Annotated[
        bool | None,
        typer.Option(
            "--invert-mask/--no-invert-mask",
            help="Black may change, and white stays; without --mask, what is outside the region, or the boxes.",
            show_default=False,
            rich_help_panel=_WHERE,
        ),
    ] = None
    grow: Annotated[
        str | None,
        typer.Option(
            metavar="PX",
            help="Let this much more around it change, in pixels of the photo or per cent of its shorter side; a "
            "negative number: less.",
            rich_help_panel=_WHERE,
        ),
    ] = None
    feather: Annotated[
        str | None,
        typer.Option(
            metavar="PX",
            help="Soften the border of what may change, so wide to either side: 12 or 2%.",
            rich_help_panel=_WHERE,
        ),
    ] = None

    def settings(self) -> MaskSettings:
        """Return what the user set."""
        from ip2p_cli.io.mask_settings import read_mask_settings

        return read_mask_settings(vars(self), "", flags=True)


@dataclass(frozen=True, kw_only=True)
class MaskFlags(AreaFlags):
    """Which part of a photo may change, and how."""

    auto_mask: Annotated[
        bool | None,
        typer.Option(
            "--auto-mask/--no-auto-mask",
            help="Change only what the model itself would edit; a global edit changes everything.",
            show_default=False,
            rich_help_panel=_WHERE,
        ),
    ] = None
    mask_steps: Annotated[
        MaskStepsName | None,
        typer.Option(
            help="When the rest is held in place while the model works: after all steps, or in the last tenth of them.",
            rich_help_panel=_WHERE,
        ),
    ] = None
