"""`ip2p gen-data pairs DATA`: pictures before and after, from triplets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ip2p_cli.cli import loading
from ip2p_cli.cli import options as opt
from ip2p_cli.cli.gen_data import options as gen
from ip2p_cli.cli.gen_data.running import run_shown, workers_of
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import UsageError

if TYPE_CHECKING:
    from ip2p_cli.datagen.pairs.settings import PairSettings
    from ip2p_cli.datagen.pairs.stage import MakePairs
    from ip2p_cli.types import ModelSpec

Painter = Annotated[
    str | None,
    typer.Option(
        help="prompt2prompt: a text-to-image model; anchored: the same from the captions' photos; looks: procedural "
        "looks on the photos. Default: looks, or prompt2prompt with --model."
    ),
]
PaintModel = Annotated[
    str | None,
    typer.Option("--model", help="A text-to-image model of Stable Diffusion's shape: hub id, folder or single file."),
]
Effort = Annotated[
    str | None,
    typer.Option("--preset", help="paper: 100 candidates of 100 steps; balanced (default): 30 of 25; draft: 4 of 20."),
]
Candidates = Annotated[int | None, typer.Option(min=1, help="Pairs for each triplet. Default of looks: 1.")]
Block = Annotated[int, typer.Option(min=1, help="Candidates that are sampled together.")]
StopAfter = Annotated[
    int,
    typer.Option(
        min=0, help="End a triplet once so many candidates pass the filter: fewer to choose the best from. 0: never."
    ),
]
Side = Annotated[int | None, typer.Option("--resolution", help="Of the pictures. Default: 512, of looks 256.")]
Share = Annotated[str, typer.Option("--p", help="The range of p, the share of steps with shared self-attention.")]
Cfg = Annotated[str, typer.Option("--cfg-text", help="The range of the guidance scale.")]
Strength = Annotated[str, typer.Option(help="How much of the photo's way anchored pairs go: a range in 0..1.")]
Cross = Annotated[Literal["none", "replace", "refine"], typer.Option(help="Also control cross-attention.")]
Reweight = Annotated[
    float, typer.Option(min=0, help="With --cross: what the maps of words that the edit adds are multiplied by.")
]
Blend = Annotated[bool, typer.Option("--blend", help="Keep pairs alike outside of the places of changed words.")]
PerShard = Annotated[int, typer.Option("--triplets-per-shard", min=1, help="Triplets in a shard of pairs.")]
Plan = Annotated[
    bool, typer.Option("--plan", help="Paint a few pairs to measure, print what the whole would take, write nothing.")
]
Planned = Annotated[int | None, typer.Option("--triplets", min=1, help="Of --plan: so many, instead of those in DATA.")]


def pairs(
    data: gen.Data,
    painter: Painter = None,
    model: PaintModel = None,
    vae: opt.Vae = None,
    preset: Effort = None,
    candidates: Candidates = None,
    steps: opt.Steps = None,
    block: Block = 4,
    stop_after: StopAfter = 0,
    resolution: Side = None,
    sampler: opt.Sampler = None,
    share: Share = "0.1..0.9",
    cfg_text: Cfg = "7.5..15",
    strength: Strength = "0.6..0.9",
    cross: Cross = "none",
    reweight: Reweight = 1.0,
    blend: Blend = False,
    seed: gen.RunSeed = 0,
    clip: gen.FilterClip = None,
    min_image: gen.MinImage = 0.7,
    min_direction: gen.MinDirection = 0.2,
    min_text: gen.MinText = 0.2,
    min_change: gen.MinChange = 2.3,
    quality: opt.Quality = 95,
    triplets_per_shard: PerShard = 10,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    workers: gen.Workers = None,
    shard: opt.Shard = None,
    engine: opt.Engine = "local",
    redo: opt.Redo = False,
    plan: Plan = False,
    planned: Planned = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Paint pictures before and after for each triplet: ip2p gen-data pairs DATA --model FOLDER"""
    from dataclasses import asdict, replace

    from ip2p_cli.datagen.pairs.stage import MakePairs
    from ip2p_cli.datagen.pipeline import MakeFilter
    from ip2p_cli.datagen.scores import Measures
    from ip2p_cli.datagen.selection import Thresholds
    from ip2p_cli.datagen.stages import tasks_of
    from ip2p_cli.io.range_args import read_range
    from ip2p_cli.io.shards import Shards
    from ip2p_cli.models.clip import find_clip

    output = Output(json=json, quiet=quiet)
    name = painter or ("prompt2prompt" if model else "looks")
    spec = _spec(name, model)
    asked = {
        "candidates": candidates,
        "steps": steps,
        "side": resolution,
        "sampler": sampler,
        "share": read_range(share, "--p"),
        "cfg": read_range(cfg_text, "--cfg-text"),
        "strength": read_range(strength, "--strength"),
        "reweight": reweight,
    }
    judge = None
    if stop_after:
        bounds = Thresholds(image=min_image, direction=min_direction, text=min_text, min_change=min_change)
        judge = MakeFilter(measures=Measures(clip=find_clip(clip), device=device), bounds=bounds)
    settings = _settings(name, preset, asked, block=block, stop_after=stop_after, cross=cross, blend=blend, seed=seed)
    settings = replace(settings, stop=judge.settings() if judge else None)
    settings = _with_model(settings, spec, vae, quality=quality, triplets_per_shard=triplets_per_shard)
    triplets, made = Shards(folder=data / "triplets"), Shards(folder=data / "pairs", kind="tar")
    make = MakePairs(
        triplets=triplets,
        pairs=made,
        settings=settings,
        spec=spec,
        device=device,
        dtype=dtype,
        vae=vae,
        make_judge=judge,
    )
    if plan:
        _print_plan(make, planned, workers or 1, output)
        return
    tasks = tasks_of(triplets, settings.triplets_per_shard)
    made.begin(asdict(settings), redo=redo)
    run_shown(made, tasks, make, workers_of(workers, engine, shard), output, redo=redo)


def _spec(painter: str, model: str | None) -> ModelSpec | None:
    from ip2p_cli.datagen.pairs.settings import check_painter

    check_painter(painter)
    if painter == "looks":
        if model is not None:
            raise UsageError("--painter looks needs no model: leave out --model, or choose --painter prompt2prompt")
        return None
    if model is None:
        raise UsageError(
            f"--painter {painter} needs a text-to-image model: --model stable-diffusion-v1-5/stable-diffusion-v1-5, a "
            "folder in diffusers layout, or a single file"
        )
    return loading.find(model)


def _settings(painter: str, preset: str | None, asked: dict[str, Any], **more: Any) -> PairSettings:
    from ip2p_cli.datagen.pairs.settings import PRESETS, PairSettings
    from ip2p_cli.suggest import did_you_mean

    if preset is not None and preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}.{did_you_mean(preset, PRESETS)} Presets: {', '.join(PRESETS)}")
    base: dict[str, Any] = dict(PRESETS[preset or "balanced"])
    if painter == "looks":
        base |= {"candidates": 1, "side": 256}
    given = {key: value for key, value in asked.items() if value is not None}
    return PairSettings(**{"painter": painter, **base, **given, **more})


def _with_model(settings: PairSettings, spec: ModelSpec | None, vae: str | None, **more: Any) -> PairSettings:
    """The settings with the model's name and its weights' hash: other weights make other pairs."""
    from dataclasses import replace

    if spec is None:
        return replace(settings, **more)
    from ip2p_cli.diffusion.samplers import find_sampler
    from ip2p_cli.models.fingerprint import fingerprint

    find_sampler(settings.sampler)
    weights = fingerprint(spec, (), vae)
    name = Path(spec.name).name if Path(spec.name).is_absolute() else spec.name
    return replace(settings, model=name, weights=weights, licence=spec.licence, **more)


def _print_plan(make: MakePairs, triplets: int | None, workers: int, output: Output) -> None:
    from ip2p_cli.datagen.pairs.plan import plan_of

    output.say("painting a few pairs to measure")
    plan = plan_of(make, triplets, workers)
    lines = {
        "triplets": f"{plan.triplets:,}",
        "pairs": f"{plan.pairs:,}",
        "UNet evaluations": f"{plan.evaluations:,}",
        "disk": f"{plan.gigabytes:,.2f} GB",
        "time": f"{plan.hours:,.2f} hours with {workers} worker{'s' if workers > 1 else ''} like this one",
        "measured": f"{plan.seconds:.3f} s and {plan.kilobytes:.0f} kB a pair",
    }
    output.data("\n".join(f"{name:18}{value}" for name, value in lines.items()), plan.facts())
