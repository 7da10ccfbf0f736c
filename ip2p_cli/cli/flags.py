"""Groups of flags that several commands share, and how a command takes them.

A command names the groups as parameters; `takes_flags` shows their flags to Typer one by one and hands the command
whole groups:

    @takes_flags
    def edit(words: Words, model: ModelFlags, output: OutputFlags) -> None: ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Any, get_type_hints

from ip2p_cli.cli import options as opt
from ip2p_cli.cli import verdict_options as verdict_opt
from ip2p_cli.errors import UsageError
from ip2p_cli.types import EditSettings, OutputOptions


@dataclass(frozen=True, kw_only=True)
class ModelFlags:
    """Which model, and where."""

    model: opt.Model = None
    revision: opt.Revision = None
    loras: opt.Loras = None
    vae: opt.Vae = None
    device: opt.Device = "auto"
    dtype: opt.Dtype = "auto"
    offload: opt.Offload = "none"
    backend: opt.Backend = "auto"
    quantize: opt.Quantize = "none"
    compiled: opt.Compile = False


@dataclass(frozen=True, kw_only=True)
class ScaleFlags:
    """How an edit samples; `variants` takes lists of these instead."""

    steps: opt.Steps = None
    cfg_text: opt.CfgText = None
    cfg_image: opt.CfgImage = None
    sampler: opt.Sampler = None


@dataclass(frozen=True, kw_only=True)
class EditFlags:
    """What else decides an edit."""

    seed: opt.Seed = None
    resolution: opt.Resolution = None
    resize_mode: opt.ResizeMode = None
    preset: opt.Preset = None
    output_size: opt.OutputSize = None
    negative_prompt: opt.NegativePrompt = None
    guidance_interval: opt.GuidanceInterval = None
    adaptive_guidance: opt.AdaptiveGuidance = None
    feature_reuse: opt.FeatureReuse = None
    unknown: opt.Unknown = "do"

    def settings(self, scales: ScaleFlags | None = None) -> EditSettings:
        """Return what the user set."""
        return EditSettings(
            seed=self.seed,
            resolution=self.resolution,
            resize_mode=self.resize_mode,
            output_size=self.output_size,
            negative_prompt=self.negative_prompt,
            guidance_interval=self.guidance_interval,
            adaptive_guidance=self.adaptive_guidance,
            feature_reuse=self.feature_reuse,
            **(vars(scales) if scales is not None else {}),
        )


@dataclass(frozen=True, kw_only=True)
class OutputFlags:
    """Where results go, and how they are saved: the same for every command that edits."""

    out: opt.Out = None
    picture_format: opt.PictureFormat = None
    quality: opt.Quality = 92
    strip: opt.Strip = None
    gif: opt.Gif = False
    webp: opt.Webp = False
    report: opt.Report = False
    sidecar: opt.Sidecar = False
    no_metadata: opt.NoMetadata = False
    strip_location: opt.StripLocation = False
    preview: opt.Preview = False
    overwrite: opt.Overwrite = False

    def options(self, *, strip: bool = False) -> OutputOptions:
        """Return how results become files; strip: the command's default."""
        return OutputOptions(
            quality=self.quality,
            metadata=not self.no_metadata,
            strip_location=self.strip_location,
            sidecar=self.sidecar,
            strip=strip if self.strip is None else self.strip,
            gif=self.gif,
            webp=self.webp,
        )

    def ending(self, source: Path, *, keep: bool = False) -> str:
        """Return the ending of a picture's file: as --format says, else ".png", or the photo's own with `keep`."""
        from ip2p_cli.io.formats import FORMAT_OF_ENDING
        from ip2p_cli.io.output import can_write

        chosen = self.picture_format or ("keep" if keep else "png")
        if chosen != "keep":
            return f".{chosen}"
        if can_write(source.suffix):
            return source.suffix
        # Another ending of a format that can be written: .jfif is a JPEG.
        found = FORMAT_OF_ENDING.get(source.suffix.lower())
        return found.writer.endings[0] if found is not None and found.writer is not None else ".png"


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """How many photos are worked on."""

    recursive: opt.Recursive = False
    batch_size: opt.BatchSize = "auto"
    shard: opt.Shard = None
    engine: opt.Engine = "local"
    workers: opt.Workers = None
    redo: opt.Redo = False
    redo_verdict: verdict_opt.RedoVerdict = None
    fail_on: verdict_opt.FailOn = None
    dry_run: opt.DryRun = False


@dataclass(frozen=True, kw_only=True)
class TuneFlags:
    """What to do about an edit that is not ok, and what to judge it with."""

    auto_tune: verdict_opt.AutoTune = False
    max_tries: verdict_opt.MaxTries = None
    clip: verdict_opt.Clip = None

    @property
    def tries(self) -> int:
        """How many tries follow the first; 0 without --auto-tune. Raises UsageError if a flag has no effect."""
        from ip2p_cli.editing.tuning import DEFAULT_TRIES

        if self.max_tries is not None and not self.auto_tune:
            raise UsageError(f"--max-tries {self.max_tries} is for --auto-tune: give both, or neither.")
        return (self.max_tries or DEFAULT_TRIES) if self.auto_tune else 0


@dataclass(frozen=True, kw_only=True)
class CommonFlags:
    """What the command prints."""

    json: opt.Json = False
    quiet: opt.Quiet = False
    debug: opt.Debug = False


def takes_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Show the flags of a command's groups to Typer one by one."""
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    groups = {name: hints[name] for name in signature.parameters if is_dataclass(hints[name])}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        types = get_type_hints(groups[name], include_extras=True)
        for flag in fields(groups[name]):
            default = inspect.Parameter.empty if flag.default is MISSING else flag.default
            parameters.append(
                inspect.Parameter(
                    flag.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=types[flag.name]
                )
            )

    @wraps(command)
    def run(**values: Any) -> None:
        given = {}
        for name, group in groups.items():
            given[name] = group(**{flag.name: values.pop(flag.name) for flag in fields(group)})
        command(**values, **given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
