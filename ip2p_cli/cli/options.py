"""One definition for each flag, shared by the commands."""

from __future__ import annotations

from typing import Annotated

import typer

from ..types import DeviceName, DtypeName
from ..types import FitRule as FitRuleName
from ..types import OutputSize as OutputSizeName
from . import listing

_MODEL = "What to edit with"
_HOW = "How to edit"
_OUT = "Output"

Model = Annotated[
    str | None,
    typer.Option(
        help="nano, instruct-pix2pix, …, a hub id, or a folder. Default: IP2P_MODEL, the config file, nano.",
        autocompletion=listing.complete_model,
        rich_help_panel=_MODEL,
    ),
]
Device = Annotated[
    DeviceName, typer.Option(help="Where to compute; auto: CUDA, else MPS, else CPU.", rich_help_panel=_MODEL)
]
Dtype = Annotated[DtypeName, typer.Option(help="Number format; auto: by device and model.", rich_help_panel=_MODEL)]

Steps = Annotated[int | None, typer.Option(help="Denoising steps. Default: the model's own.", rich_help_panel=_HOW)]
CfgText = Annotated[
    float | None,
    typer.Option(help="Text guidance s_T: higher follows the instruction more.", rich_help_panel=_HOW),
]
CfgImage = Annotated[
    float | None,
    typer.Option(help="Image guidance s_I: higher keeps more of the photo.", rich_help_panel=_HOW),
]
Seed = Annotated[
    int | None, typer.Option(help="Same seed, same picture. Default: drawn, and printed.", rich_help_panel=_HOW)
]
Sampler = Annotated[
    str | None,
    typer.Option(
        help="euler_a, ddim, dpmpp_2m, …; `--sampler help` lists them.",
        callback=listing.sampler_or_help,
        is_eager=True,
        autocompletion=listing.complete_sampler,
        rich_help_panel=_HOW,
    ),
]
Resolution = Annotated[
    int | None,
    typer.Option(
        help="Shorter side, in pixels, at which the model works; with --fit original the longer one.",
        rich_help_panel=_HOW,
    ),
]

Out = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        help="A file, or a folder for several photos. Default: named after the photo and the instruction, here.",
        rich_help_panel=_OUT,
    ),
]
OutputSize = Annotated[
    OutputSizeName | None,
    typer.Option(help="input: the photo's own size. model: the model's own pixels.", rich_help_panel=_OUT),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.", rich_help_panel=_OUT)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a result on stdout.", rich_help_panel=_OUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=_OUT)]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=_OUT)]

# Sizes, presets, comfort
Fit = Annotated[
    FitRuleName | None,
    typer.Option(
        help="pad: the model sees all of the photo (default). crop: less at the edges, no padding. original: the "
        "authors' rule, which crops too.",
        rich_help_panel=_HOW,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="original, fast, balanced, or one of the config file: fills in what no flag says. `--preset help` lists "
        "them.",
        callback=listing.preset_or_help,
        is_eager=True,
        autocompletion=listing.complete_preset,
        rich_help_panel=_HOW,
    ),
]
Compare = Annotated[
    bool,
    typer.Option("--compare", help="Also write before and after side by side: OUT-compare.png.", rich_help_panel=_OUT),
]
Gif = Annotated[
    bool, typer.Option("--gif", help="Also write before and after as an animation: OUT.gif.", rich_help_panel=_OUT)
]
Preview = Annotated[
    bool, typer.Option("--preview", help="Draw the result in the terminal, on stderr.", rich_help_panel=_OUT)
]
