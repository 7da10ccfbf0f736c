"""`ip2p gen-data pairs DATA`: paint pictures before and after from triplets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Option

from ip2p_cli.cli import loading
from ip2p_cli.cli import options as opt
from ip2p_cli.cli.flags import CommonFlags
from ip2p_cli.cli.gen_data import flags as gen
from ip2p_cli.cli.gen_data.running import run_shown
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import UsageError

if TYPE_CHECKING:
    from ip2p_cli.datagen.pairs.write import MakePairs
    from ip2p_cli.types import ModelSpec

_RANGES = {"share": "--p", "cfg": "--cfg-text", "strength": "--strength"}


@dataclass(frozen=True, kw_only=True)
class PainterFlags:
    """What paints, and where."""

    painter: Annotated[
        str | None,
        Option(
            help="prompt2prompt: a text-to-image model; anchored: the same, starting from the captions' photos; looks: "
            "photographic looks on the photos. Default: looks, or prompt2prompt with --model."
        ),
    ] = None
    model: Annotated[
        str | None,
        Option(help="A text-to-image model of Stable Diffusion's shape: hub id, folder or single file."),
    ] = None
    vae: opt.Vae = None
    preset: Annotated[
        str | None,
        Option(help="paper: 100 candidates of 100 steps; balanced (default): 30 of 25; draft: 4 of 20."),
    ] = None
    device: opt.Device = "auto"
    dtype: opt.Dtype = "auto"


@dataclass(frozen=True, kw_only=True)
class PairFlags:
    """What the pairs depend on, as in `PairSettings`; None: as --preset and the painter say."""

    candidates: Annotated[int | None, Option(min=1, help="Pairs for each triplet. Default for looks: 1.")] = None
    steps: opt.Steps = None
    block: Annotated[int, Option(min=1, help="Candidates that are sampled together.")] = 4
    stop_after: Annotated[
        int,
        Option(min=0, help="End a triplet when so many of its candidates pass the filter's bounds; 0: never."),
    ] = 0
    side: Annotated[int | None, Option("--resolution", help="Pixels a side. Default: 512, for looks 256.")] = None
    sampler: opt.Sampler = None
    share: Annotated[str, Option("--p", help="Range of p, the share of steps with shared self-attention.")] = "0.1..0.9"
    cfg: Annotated[str, Option("--cfg-text", help="Range of the guidance scale.")] = "7.5..15"
    strength: Annotated[str, Option(help="Range, 0..1, of how far anchored pairs move away from the photo.")] = (
        "0.6..0.9"
    )
    cross: Annotated[Literal["none", "replace", "refine"], Option(help="Also control cross-attention.")] = "none"
    reweight: Annotated[float, Option(min=0, help="With --cross: factor of the attention to words that are added.")] = (
        1.0
    )
    blend: Annotated[bool, Option("--blend", help="Keep pairs alike outside the places of changed words.")] = False
    seed: gen.Seed = 0
    quality: opt.Quality = 95
    triplets_per_shard: Annotated[int, Option(min=1, help="Triplets in one file of pairs.")] = 10

    def settings(self, painter: str, preset: str | None) -> dict[str, Any]:
        """Return the preset's settings, replaced by those that the user chose."""
        from ip2p_cli.datagen.pairs.settings import PRESETS
        from ip2p_cli.io.range_args import read_range
        from ip2p_cli.suggest import did_you_mean

        if preset is not None and preset not in PRESETS:
            raise UsageError(f"unknown preset {preset!r}.{did_you_mean(preset, PRESETS)} Presets: {', '.join(PRESETS)}")
        looks = {"candidates": 1, "side": 256} if painter == "looks" else {}
        chosen = {name: value for name, value in vars(self).items() if value is not None}
        chosen |= {name: read_range(chosen[name], flag) for name, flag in _RANGES.items()}
        return {"painter": painter, **PRESETS[preset or "balanced"], **looks, **chosen}


@dataclass(frozen=True, kw_only=True)
class PlanFlags:
    """Whether to estimate only."""

    plan: gen.Plan = False
    planned: Annotated[int | None, Option("--triplets", min=1, help="For --plan: how many, instead of DATA's.")] = None


def pairs(
    data: gen.Data,
    painter: PainterFlags,
    flags: PairFlags,
    clip: gen.ClipFlags,
    workers: gen.WorkerFlags,
    plan: PlanFlags,
    common: CommonFlags,
    redo: opt.Redo = False,
) -> Iterator[None]:
    """Paint pictures before and after for each triplet: ip2p gen-data pairs DATA --model FOLDER."""
    from dataclasses import asdict

    from ip2p_cli.datagen.pairs.settings import PairSettings
    from ip2p_cli.datagen.pairs.write import MakePairs
    from ip2p_cli.datagen.pipeline import MakeFilter
    from ip2p_cli.datagen.scores import ScorerConfig
    from ip2p_cli.datagen.selection import Thresholds
    from ip2p_cli.datagen.stages import tasks_of
    from ip2p_cli.diffusion.samplers import find_sampler
    from ip2p_cli.io.shards import Shards
    from ip2p_cli.models.clip import find_clip

    output, config = Output(json=common.json, quiet=common.quiet), workers.config()
    name = painter.painter or ("prompt2prompt" if painter.model else "looks")
    spec = _spec_of(name, painter.model)
    chosen, check = flags.settings(name, painter.preset), None
    if flags.stop_after:
        measures = ScorerConfig(clip=find_clip(clip.clip), device=painter.device)
        check = MakeFilter(measures=measures, bounds=Thresholds(**clip.bounds()))
        chosen["stop"] = check.settings()
    if spec is not None:
        chosen |= _model_settings(spec, painter.vae)
    settings = PairSettings(**chosen)
    if spec is not None:
        find_sampler(settings.sampler)
    make = MakePairs(
        triplets=Shards(folder=data / "triplets"),
        pairs=Shards(folder=data / "pairs", format="tar"),
        settings=settings,
        spec=spec,
        device=painter.device,
        dtype=painter.dtype,
        vae=painter.vae,
        make_check=check,
    )
    yield
    if plan.plan:
        _print_plan(make, plan.planned, workers.workers or 1, output)
        return
    tasks = tasks_of(make.triplets, settings.triplets_per_shard)
    make.pairs.begin(asdict(settings), redo=redo)
    run_shown(make.pairs, tasks, make, config, output, redo=redo)


def _spec_of(painter: str, model: str | None) -> ModelSpec | None:
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


def _model_settings(spec: ModelSpec, vae: str | None) -> dict[str, Any]:
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
