"""One definition for each flag, shared by the commands."""

from __future__ import annotations

from typing import Annotated

import typer

from ..types import DeviceName, DtypeName
from ..types import OutputSize as OutputSizeName

_MODEL = "What to edit with"
_HOW = "How to edit"
_OUT = "Output"

Model = Annotated[
    str | None,
    typer.Option(
        help="nano, instruct-pix2pix, …, a hub id, or a folder. Default: IP2P_MODEL, the config file, nano.",
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
Sampler = Annotated[str | None, typer.Option(help="euler_a, euler, ddim, dpmpp_2m or unipc.", rich_help_panel=_HOW)]
Resolution = Annotated[
    int | None, typer.Option(help="Shorter side, in pixels, at which the model works.", rich_help_panel=_HOW)
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

# --- Which weights exactly

Loras = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        metavar="PATH[:WEIGHT]",
        help="A LoRA to add to the model, with a weight from -10 to 10; may be repeated.",
        rich_help_panel=_MODEL,
    ),
]
Vae = Annotated[
    str | None,
    typer.Option(help="Another autoencoder: a folder, a .safetensors file, or a hub id.", rich_help_panel=_MODEL),
]
Revision = Annotated[
    str | None,
    typer.Option(help="A branch, tag or commit of the model on the hub. Default: its own.", rich_help_panel=_MODEL),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
