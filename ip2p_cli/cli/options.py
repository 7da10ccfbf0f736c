"""One definition for each flag, shared by the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..types import DeviceName, DtypeName, EngineName
from ..types import OutputSize as OutputSizeName

_MODEL = "What to edit with"
_HOW = "How to edit"
_OUT = "Output"
_MANY = "Many photos"

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

Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Look into the folders in a folder too.", rich_help_panel=_MANY)
]
Jobs = Annotated[
    Path | None,
    typer.Option(
        help="A .csv or .jsonl with an edit a row: input, instruction and, if wanted, output and any setting.",
        rich_help_panel=_MANY,
    ),
]
BatchSize = Annotated[
    str,
    typer.Option(
        metavar="auto|N", help="Photos of equal size that go through the model together.", rich_help_panel=_MANY
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(metavar="I/N", help="Do the I-th of N parts; each part may run elsewhere.", rich_help_panel=_MANY),
]
Engine = Annotated[
    EngineName,
    typer.Option(help="local, or ray: a Ray cluster, one model a worker (extra ip2p[ray]).", rich_help_panel=_MANY),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Workers of --engine ray. Default: one a GPU, else one.", rich_help_panel=_MANY),
]
Redo = Annotated[
    bool, typer.Option("--redo", help="Make again what was made with other settings.", rich_help_panel=_MANY)
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done, and load nothing.", rich_help_panel=_MANY)
]
Quality = Annotated[int, typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF.", rich_help_panel=_OUT)]
Sidecar = Annotated[
    bool, typer.Option("--sidecar", help="Also write how it was made beside it, as FILE.json.", rich_help_panel=_OUT)
]
NoMetadata = Annotated[
    bool, typer.Option("--no-metadata", help="Write pixels only: no EXIF, no record.", rich_help_panel=_OUT)
]
StripLocation = Annotated[
    bool, typer.Option("--strip-location", help="Drop the GPS position from the EXIF.", rich_help_panel=_OUT)
]
