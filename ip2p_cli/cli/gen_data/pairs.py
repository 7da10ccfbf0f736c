"""`ip2p gen-data pairs DATA`: paint pictures before and after from triplets."""

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
    from ip2p_cli.datagen.pairs.write import MakePairs
    from ip2p_cli.types import ModelSpec

Painter = Annotated[
    str | None,
    typer.Option(
        help="prompt2prompt: a text-to-image model; anchored: the same, starting from the captions' photos; looks: "
        "photographic looks on the photos. Default: looks, or prompt2prompt with --model."
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
Candidates = Annotated[int | None, typer.Option(min=1, help="Pairs for each triplet. Default for looks: 1.")]
Block = Annotated[int, typer.Option(min=1, help="Candidates that are sampled together.")]
StopAfter = Annotated[
    int, typer.Option(min=0, help="End a triplet when so many of its candidates pass the filter's bounds; 0: never.")
]
Side = Annotated[int | None, typer.Option("--resolution", help="Pixels a side. Default: 512, for looks 256.")]
Share = Annotated[str, typer.Option("--p", help="Range of p, the share of steps with shared self-attention.")]
Cfg = Annotated[str, typer.Option("--cfg-text", help="Range of the guidance scale.")]
Strength = Annotated[str, typer.Option(help="Range, 0..1, of how far anchored pairs move away from the photo.")]
Cross = Annotated[Literal["none", "replace", "refine"], typer.Option(help="Also control cross-attention.")]
Reweight = Annotated[float, typer.Option(min=0, help="With --cross: factor of the attention to words that are added.")]
Blend = Annotated[bool, typer.Option("--blend", help="Keep pairs alike outside the places of changed words.")]
PerShard = Annotated[int, typer.Option("--triplets-per-shard", min=1, help="Triplets in one file of pairs.")]
Plan = Annotated[
    bool, typer.Option("--plan", help="Paint a few pairs to measure, print what all would take, write nothing.")
]
Planned = Annotated[int | None, typer.Option("--triplets", min=1, help="For --plan: how many, instead of DATA's.")]


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
    """Paint pictures before and after for each triplet: ip2p gen-data pairs DATA --model FOLDER."""
    from dataclasses import asdict, replace

    from ip2p_cli.datagen.pairs.settings import PairSettings
    from ip2p_cli.datagen.pairs.write import MakePairs
    from ip2p_cli.datagen.pipeline import MakeFilter
    from ip2p_cli.datagen.scores import ScorerConfig
    from ip2p_cli.datagen.selection import Thresholds
    from ip2p_cli.datagen.stages import tasks_of
    from ip2p_cli.diffusion.samplers import find_sampler
    from ip2p_cli.io.range_args import read_range
    from ip2p_cli.io.shards import Shards
    from ip2p_cli.models.clip import find_clip

    output = Output(json=json, quiet=quiet)
    worker_config = workers_of(workers, engine, shard)
    painter = painter or default_painter(model)
    spec = spec_of(painter, model)
    settings = PairSettings(
        **_preset(preset, painter, candidates=candidates, steps=steps, side=resolution, sampler=sampler),
        share=read_range(share, "--p"),
        cfg=read_range(cfg_text, "--cfg-text"),
        strength=read_range(strength, "--strength"),
        reweight=reweight,
        block=block,
        stop_after=stop_after,
        cross=cross,
        blend=blend,
        seed=seed,
        quality=quality,
        triplets_per_shard=triplets_per_shard,
    )
    check = None
    if stop_after:
        bounds = Thresholds(image=min_image, direction=min_direction, text=min_text, min_change=min_change)
        check = MakeFilter(measures=ScorerConfig(clip=find_clip(clip), device=device), bounds=bounds)
        settings = replace(settings, stop=check.settings())
    if spec is not None:
        find_sampler(settings.sampler)
        settings = replace(settings, **model_settings(spec, vae))
    make = MakePairs(
        triplets=Shards(folder=data / "triplets"),
        pairs=Shards(folder=data / "pairs", format="tar"),
        settings=settings,
        spec=spec,
        device=device,
        dtype=dtype,
        vae=vae,
        make_check=check,
    )
    if plan:
        _print_plan(make, planned, workers or 1, output)
        return
    tasks = tasks_of(make.triplets, triplets_per_shard)
    make.pairs.begin(asdict(settings), redo=redo)
    run_shown(make.pairs, tasks, make, worker_config, output, redo=redo)


def default_painter(model: str | None) -> str:
    """The painter where none is named."""
    return "prompt2prompt" if model else "looks"


def spec_of(painter: str, model: str | None) -> ModelSpec | None:
    """The model that a painter works with, if any; raises UsageError where the two do not go together."""
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


def _preset(preset: str | None, painter: str, **chosen: Any) -> dict[str, Any]:
    """The preset's settings, replaced by those that the user chose."""
    from ip2p_cli.datagen.pairs.settings import PRESETS
    from ip2p_cli.suggest import did_you_mean

    if preset is not None and preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}.{did_you_mean(preset, PRESETS)} Presets: {', '.join(PRESETS)}")
    looks = {"candidates": 1, "side": 256} if painter == "looks" else {}
    given = {name: value for name, value in chosen.items() if value is not None}
    return {"painter": painter, **PRESETS[preset or "balanced"], **looks, **given}


def model_settings(spec: ModelSpec, vae: str | None) -> dict[str, Any]:
    """The model's name, licence and the digest of its weights, since other weights make other pairs."""
    from ip2p_cli.models.fingerprint import fingerprint

    name = Path(spec.name).name if Path(spec.name).is_absolute() else spec.name
    return {"model": name, "weights": fingerprint(spec, (), vae), "licence": spec.licence}


def _print_plan(make: MakePairs, triplets: int | None, workers: int, output: Output) -> None:
    from ip2p_cli.datagen.pairs.plan import plan_pairs

    output.say("painting a few pairs to measure")
    plan = plan_pairs(make, triplets, workers)
    lines = {
        "triplets": f"{plan.triplets:,}",
        "pairs": f"{plan.pairs:,}",
        "UNet evaluations": f"{plan.evaluations:,}",
        "disk": f"{plan.gigabytes:,.2f} GB",
        "time": f"{plan.hours:,.2f} hours with {workers} worker{'s' if workers > 1 else ''} like this one",
        "measured": f"{plan.seconds:.3f} s and {plan.kilobytes:.0f} kB a pair",
    }
    output.data("\n".join(f"{name:18}{value}" for name, value in lines.items()), vars(plan))
