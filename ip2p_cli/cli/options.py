"""One definition for each flag, shared by the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ip2p_cli.cli import listing
from ip2p_cli.io.names import check_output_name
from ip2p_cli.types import BackendName, DeviceName, DtypeName, EngineName, OffloadName, QuantizeName
from ip2p_cli.types import OutputSize as OutputSizeName
from ip2p_cli.types import PictureFormat as PictureFormatName
from ip2p_cli.types import ResizeMode as ResizeModeName
from ip2p_cli.types import Unknown as UnknownName

_MODEL = "What to edit with"
_HOW = "How to edit"
_OUT = "Output"
_MANY = "Many photos"

Model = Annotated[
    str | None,
    typer.Option(
        help="nano, instruct-pix2pix, …, a hub id, a folder, or a .safetensors or .ckpt file. Default: IP2P_MODEL, the "
        "config file, nano.",
        autocompletion=listing.complete_model,
        rich_help_panel=_MODEL,
    ),
]
Device = Annotated[
    DeviceName, typer.Option(help="Where to compute; auto: CUDA, else MPS, else CPU.", rich_help_panel=_MODEL)
]
Dtype = Annotated[DtypeName, typer.Option(help="Number format; auto: by device and model.", rich_help_panel=_MODEL)]
Offload = Annotated[
    OffloadName,
    typer.Option(
        help="For a small GPU: keep the model's unused parts (model) or layers (sequential, slow) in main memory.",
        rich_help_panel=_MODEL,
    ),
]
Backend = Annotated[
    BackendName,
    typer.Option(
        help="What runs the model. openvino: faster on CPUs; the model is exported once. auto: that for full-size "
        "models on a CPU, where it is installed.",
        rich_help_panel=_MODEL,
    ),
]
Quantize = Annotated[
    QuantizeName,
    typer.Option(help="Format of the model's weights, with OpenVINO; int8: half the disk.", rich_help_panel=_MODEL),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile", help="On CUDA: compile the model's blocks first, for many edits.", rich_help_panel=_MODEL
    ),
]

Steps = Annotated[int | None, typer.Option(help="Denoising steps. Default: the model's own.", rich_help_panel=_HOW)]
CfgText = Annotated[
    float | None,
    typer.Option(help="Text guidance s_T: higher follows the instruction more.", rich_help_panel=_HOW),
]
CfgImage = Annotated[
    float | None,
    typer.Option(help="Image guidance s_I: higher keeps more of the photo.", rich_help_panel=_HOW),
]
NegativePrompt = Annotated[
    str | None,
    typer.Option(
        help="What to move away from, in place of the empty instruction; needs --cfg-text above 1.",
        rich_help_panel=_HOW,
    ),
]
Unknown = Annotated[
    UnknownName,
    typer.Option(
        help="Where nano does not know the instruction. do: the nearest look, if near enough. skip: leave it out. "
        "fail: end with an error.",
        rich_help_panel=_HOW,
    ),
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
GuidanceInterval = Annotated[
    str | None,
    typer.Option(
        metavar="FROM-TO",
        help="Shares of the steps with guidance, such as 0.25-1; the others take one evaluation. Default: 0-1.",
        rich_help_panel=_HOW,
    ),
]
AdaptiveGuidance = Annotated[
    float | None,
    typer.Option(
        help="Leave out predictions that agree, up to this difference, from then on; such as 0.01. Default: 0, never.",
        rich_help_panel=_HOW,
    ),
]
FeatureReuse = Annotated[
    int | None,
    typer.Option(
        help="Compute the model's deep features at every N-th step only: 2 or 3. Default: 1.", rich_help_panel=_HOW
    ),
]
Resolution = Annotated[
    int | None,
    typer.Option(
        help="Shorter side, in pixels, at which the model works; with --resize-mode original the longer one.",
        rich_help_panel=_HOW,
    ),
]

Out = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        help="A file, or a folder for several photos. Default: named after the photo and the instruction, here.",
        callback=check_output_name,
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
    typer.Option(
        help="local, or ray: a Ray cluster, one model a worker; needs the extra “ray”.", rich_help_panel=_MANY
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Workers of --engine ray. Default: one a GPU, else one.", rich_help_panel=_MANY),
]
Redo = Annotated[
    bool, typer.Option("--redo", help="Make again what was made with other settings.", rich_help_panel=_MANY)
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done, and load nothing but nano.", rich_help_panel=_MANY)
]
Quality = Annotated[int, typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF.", rich_help_panel=_OUT)]
Sidecar = Annotated[
    bool, typer.Option("--sidecar", help="Also write how it was made beside it, as FILE.json.", rich_help_panel=_OUT)
]
NoMetadata = Annotated[
    bool,
    typer.Option(
        "--no-metadata", help="Write pixels and profile only: no EXIF, no XMP, no record.", rich_help_panel=_OUT
    ),
]
StripLocation = Annotated[
    bool, typer.Option("--strip-location", help="Drop places from the EXIF and the XMP.", rich_help_panel=_OUT)
]

# Sizes, presets, comfort
ResizeMode = Annotated[
    ResizeModeName | None,
    typer.Option(
        "--resize-mode",
        "--fit",
        help="pad: the model sees all of the photo (default). crop: less at the edges, no padding. original: the "
        "authors' rule, which crops too.",
        rich_help_panel=_HOW,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="original, fast, balanced, turbo, or one of the config file: fills in what no flag says. `--preset help` "
        "lists them.",
        callback=listing.preset_or_help,
        is_eager=True,
        autocompletion=listing.complete_preset,
        rich_help_panel=_HOW,
    ),
]
Strip = Annotated[
    bool | None,
    typer.Option(
        "--strip/--no-strip",
        "--compare",
        help="Also write the photo and its edits side by side: OUT-compare.png; for a chain strip.png, by default.",
        rich_help_panel=_OUT,
    ),
]
Gif = Annotated[
    bool, typer.Option("--gif", help="Also write the photo and its edits as an animated GIF.", rich_help_panel=_OUT)
]
Preview = Annotated[
    bool, typer.Option("--preview", help="Draw the result in the terminal, on stderr.", rich_help_panel=_OUT)
]
# --- Which weights exactly

Loras = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        metavar="PATH[:WEIGHT]",
        help="A LoRA to add to the model, with a weight from -10 to 10: a file, a folder, or lcm-lora-sdv1-5; may be "
        "repeated.",
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
Report = Annotated[
    bool, typer.Option("--report", help="Also write report.html, one file for the browser.", rich_help_panel=_OUT)
]
PictureFormat = Annotated[
    PictureFormatName | None,
    typer.Option(
        "--format",
        help="Of the pictures; keep: that of each photo. Default: keep for photos in a folder, else png.",
        rich_help_panel=_OUT,
    ),
]
Webp = Annotated[
    bool, typer.Option("--webp", help="Also write the photo and its edits as an animated WebP.", rich_help_panel=_OUT)
]
