"""Settings of the pairs' stage, and what each candidate draws from its seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

from ip2p_cli.datagen.stages import seed_of
from ip2p_cli.errors import UsageError
from ip2p_cli.suggest import did_you_mean

PainterName = Literal["prompt2prompt", "anchored", "looks"]
CrossName = Literal["none", "replace", "refine"]
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """Settings of the pairs' stage, which decide the bytes of its shards.

    Defaults are those of the paper (appendix A.2), but for the number of candidates and steps.

    Attributes:
        candidates: Pairs of each triplet.
        block: Candidates that are sampled together.
        stop_after: A triplet ends after the block in which so many of its candidates pass; 0: never.
        stop: The settings of what candidates have to pass.
        side: Pixels of a picture's side, for looks of its shorter side.
        share: Range of p, the share of steps with shared self-attention.
        strength: Range of the share of its steps that an anchored pair takes, 0 to 1.
        cross_until: Share of the steps in which cross-attention is controlled.
        reweight: Factor of the cross-attention to added words.
        blend: Keep pairs alike outside the places of changed words.
    """

    painter: PainterName
    seed: int = 0
    model: str | None = None
    weights: str | None = None
    licence: str | None = None
    candidates: int = 30
    steps: int = 25
    block: int = 4
    stop_after: int = 0
    stop: Mapping[str, Any] | None = None
    side: int = 512
    sampler: str = "euler_a_original"
    share: Range = (0.1, 0.9)
    cfg: Range = (7.5, 15.0)
    strength: Range = (0.6, 0.9)
    cross: CrossName = "none"
    cross_until: float = 0.8
    reweight: float = 1.0
    blend: bool = False
    quality: int = 95
    triplets_per_shard: int = 10

    def __post_init__(self) -> None:
        """Raise UsageError for impossible values."""
        check_painter(self.painter)
        for name in ("candidates", "steps", "block", "triplets_per_shard"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: give 1 or more")
        for name, top in (("share", 1.0), ("cfg", 100.0), ("strength", 1.0)):
            low, high = getattr(self, name)
            if not 0 <= low <= high <= top:
                raise UsageError(f"--{name} {low:g}..{high:g}: give a range within 0..{top:g}")
        if self.reweight != 1 and self.cross == "none":
            raise UsageError("--reweight goes with --cross replace or --cross refine")
        if self.side % 64 and self.painter != "looks":
            raise UsageError(f"--resolution {self.side}: give a multiple of 64")


def check_painter(name: str) -> None:
    """Raise UsageError, with the nearest name, if there is no such painter."""
    names = get_args(PainterName)
    if name not in names:
        raise UsageError(f"unknown painter {name!r}.{did_you_mean(name, names)} Painters: {', '.join(names)}")


# The paper's preset, and cheaper ones; the authors say that 25 steps suffice.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {"candidates": 100, "steps": 100},
        "balanced": {"candidates": 30, "steps": 25},
        "draft": {"candidates": 4, "steps": 20},
    }
)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What one candidate of a triplet is painted with; share, cfg and strength follow from the seed."""

    number: int
    seed: int
    share: float
    cfg: float
    strength: float


def draw_candidate(settings: PairSettings, triplet: str, number: int) -> Candidate:
    """Draw candidate `number`, from 0, of the triplet with this key: a function of these and the run's seed."""
    seed = seed_of(settings.seed, triplet, number)
    rng = random.Random(seed)
    share, cfg, strength = (round(rng.uniform(*of), 4) for of in (settings.share, settings.cfg, settings.strength))
    return Candidate(number=number, seed=seed, share=share, cfg=cfg, strength=strength)
