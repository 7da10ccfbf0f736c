"""Score pairs: by CLIP's four scores (paper, section 3.1.2), or without CLIP by measured change; and by other models.

All scores are kept, so that thresholds can change without scoring again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ip2p_cli.datagen.dataset.base import in_batches, triplet_in
from ip2p_cli.datagen.dataset.columns import PICTURES
from ip2p_cli.datagen.judge import VisionJudge
from ip2p_cli.datagen.stages import Task, Work, shard_work
from ip2p_cli.errors import InputError
from ip2p_cli.io.encoded import decode_picture
from ip2p_cli.io.shards import Sample, Shards, ShardWriter
from ip2p_cli.measures import measure_change, reduced
from ip2p_cli.models.device import device_of_worker
from ip2p_cli.types import DeviceName

if TYPE_CHECKING:
    from torch import Tensor

_JUDGED_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class DecodedPair:
    """A pair as it is scored: its row and encoded pictures, and the decoded pictures."""

    sample: Sample
    original: Image.Image
    edited: Image.Image

    @property
    def captions(self) -> tuple[str, str] | None:
        """The captions before and after, or None if one is missing."""
        before, after = self.sample.row.get("caption"), self.sample.row.get("edited_caption")
        return (str(before), str(after)) if before and after else None


Scores = Mapping[str, float | None]
Scorer = Callable[[Sequence[DecodedPair]], list[Scores]]


@dataclass(frozen=True, kw_only=True)
class ScorerConfig:
    """What pairs are scored with: the folders of models, and a judge. Without `clip` the offline measure is used."""

    clip: Path | None = None
    dino: Path | None = None
    safety: Path | None = None
    judge: VisionJudge | None = None
    device: DeviceName = "auto"
    batch: int = 16

    def settings(self) -> dict[str, Any]:
        """The settings that scores depend on, for stage.json. Raises ModelError if a model cannot be read."""
        settings: dict[str, Any] = {"measure": "clip" if self.clip else "offline"}
        for name in ("clip", "dino", "safety"):
            folder = getattr(self, name)
            if folder is not None:
                settings[name] = _identity(folder)
        if self.judge is not None:
            settings["judge"] = self.judge.settings()
        return settings

    def scorers(self, worker: int) -> list[Scorer]:
        """Load the scorers of a worker, which may have a GPU of its own. Raises ModelError if that fails."""
        device = device_of_worker(self.device, worker) if self.clip or self.dino or self.safety else "cpu"
        scorers: list[Scorer] = [_clip_scorer(self.clip, device) if self.clip else _offline_scores]
        loaders = ((self.dino, _dino_scorer), (self.safety, _safety_scorer))
        scorers += [load(folder, device) for folder, load in loaders if folder is not None]
        if self.judge is not None:
            scorers.append(_judge_scorer(self.judge))
        return scorers


@dataclass(frozen=True, kw_only=True)
class ScorePairs:
    """Makes workers that score a shard of pairs. A pair that cannot be read is counted and left out."""

    pairs: Shards
    scores: Shards
    config: ScorerConfig

    def __call__(self, number: int) -> Work:
        """Make worker `number`."""
        scorers = self.config.scorers(number)

        def fill(task: Task, writer: ShardWriter) -> None:
            readable = _decoded(self.pairs.samples(task.source), writer.drop)
            for batch in in_batches(readable, self.config.batch):
                for row in _scored(batch, scorers):
                    writer.add(row)

        return shard_work(self.scores, fill)


def _decoded(samples: Iterator[Sample], drop: Callable[[str], None]) -> Iterator[DecodedPair]:
    for sample in samples:
        try:
            original, edited = (decode_picture(sample.pictures[name], name) for name in PICTURES)
        except (InputError, KeyError):
            drop("damaged picture")
            continue
        yield DecodedPair(sample=sample, original=original, edited=edited)


def _scored(pairs: Sequence[DecodedPair], scorers: Sequence[Scorer]) -> list[dict[str, Any]]:
    """The rows of scores of some pairs."""
    rows: list[dict[str, Any]] = []
    for pair in pairs:
        row = pair.sample.row
        triplet = row.get("triplet") or triplet_in(str(row["key"]))
        rows.append({"key": row["key"], "triplet": triplet, "kind": row.get("kind")})
    for scorer in scorers:
        for scored, scores in zip(rows, scorer(pairs), strict=True):
            scored |= {name: None if value is None else round(value, 5) for name, value in scores.items()}
    return rows


def _identity(folder: Path) -> dict[str, str]:
    """A model's name and the digest of its files."""
    from ip2p_cli.models.fingerprint import files_fingerprint

    files = sorted(folder.glob("*.safetensors"))
    name = folder.absolute().name
    if folder.parent.name == "snapshots":  # of the hub's cache: models--openai--clip-vit-large-patch14
        name = folder.parent.parent.name.removeprefix("models--").replace("--", "/")
    return {"name": name, "fingerprint": files_fingerprint([folder / "config.json", *files])}


def _offline_scores(pairs: Sequence[DecodedPair]) -> list[Scores]:
    scores: list[Scores] = []
    for pair in pairs:
        before = reduced(pair.original)
        facts = measure_change(before, reduced(pair.edited, (before.shape[1], before.shape[0])))
        scores.append({name.replace(" ", "_"): float(facts[name]) for name in ("change", "changed area", "structure")})
    return scores


def _clip_scorer(folder: Path, device: str) -> Scorer:
    import torch

    from ip2p_cli.models.clip import load_clip, pair_scores, square

    clip = load_clip(folder, device)

    def scores(pairs: Sequence[DecodedPair]) -> list[Scores]:
        before, after = (
            torch.cat([square(picture[None], clip.side) for picture in pictures]) for pictures in _tensors(pairs)
        )
        return list(pair_scores(clip, before, after, [pair.captions for pair in pairs]))

    return scores


def _dino_scorer(folder: Path, device: str) -> Scorer:
    from ip2p_cli.models.vision import likeness, load_dino

    dino = load_dino(folder, device)
    return lambda pairs: [{"dino": value} for value in likeness(dino, *_tensors(pairs))]


def _safety_scorer(folder: Path, device: str) -> Scorer:
    from ip2p_cli.models.vision import load_safety, unsafe

    checker = load_safety(folder, device)

    def scores(pairs: Sequence[DecodedPair]) -> list[Scores]:
        before, after = _tensors(pairs)
        unsafety = unsafe(checker, [*before, *after])
        return [{"unsafe": max(both)} for both in zip(unsafety[: len(pairs)], unsafety[len(pairs) :], strict=True)]

    return scores


def _judge_scorer(judge: VisionJudge) -> Scorer:
    def score(pair: DecodedPair) -> Scores:
        original, edited = (pair.sample.pictures[name] for name in PICTURES)
        return {"judge": judge.score(str(pair.sample.row.get("instruction") or ""), original, edited)}

    def scores(pairs: Sequence[DecodedPair]) -> list[Scores]:
        with ThreadPoolExecutor(_JUDGED_AT_ONCE) as pool:
            return list(pool.map(score, pairs))

    return scores


def _tensors(pairs: Sequence[DecodedPair]) -> tuple[list[Tensor], list[Tensor]]:
    """The pictures before and after, each (3, H, W) in [0, 1]."""
    import numpy as np
    import torch

    def tensor(picture: Image.Image) -> Tensor:
        return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255).permute(2, 0, 1)

    return [tensor(pair.original) for pair in pairs], [tensor(pair.edited) for pair in pairs]
