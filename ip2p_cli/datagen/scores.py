"""Scores of pairs: CLIP's four (paper, section 3.1.2), or, where no CLIP is at hand, measured change; and others.

All are kept, so that thresholds can be changed without scoring again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image

from ip2p_cli.datagen.dataset.base import triplet_in
from ip2p_cli.datagen.judge import VisionJudge
from ip2p_cli.datagen.stages import Task, Work
from ip2p_cli.errors import InputError
from ip2p_cli.io.encoded import decode_picture
from ip2p_cli.io.shards import Marker, Sample, Shards
from ip2p_cli.measures import change_of, small
from ip2p_cli.models.device import device_of_worker
from ip2p_cli.types import DeviceName

if TYPE_CHECKING:
    from torch import Tensor

OFFLINE_SCORES = ("change", "changed_area", "structure")
_JUDGED_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A pair as it is scored: the row, the encoded and the decoded pictures."""

    sample: Sample
    original: Image.Image
    edited: Image.Image

    @property
    def captions(self) -> tuple[str, str] | None:
        """Before and after; None where one is missing."""
        row = self.sample.row
        before, after = row.get("caption"), row.get("edited_caption")
        return (str(before), str(after)) if before and after else None


Item = TypeVar("Item")
Scores = Mapping[str, float | None]
Scorer = Callable[[Sequence[Decoded]], list[Scores]]


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What pairs are scored with. clip: its folder; None: the offline measure. batch: pairs at a time."""

    clip: Path | None = None
    dino: Path | None = None
    safety: Path | None = None
    judge: VisionJudge | None = None
    device: DeviceName = "auto"
    batch: int = 16

    def settings(self) -> dict[str, Any]:
        """What the scores depend on, for stage.json. Raises ModelError where a model's file cannot be read."""
        said: dict[str, Any] = {"measure": "clip" if self.clip else "offline"}
        for name in ("clip", "dino", "safety"):
            folder = getattr(self, name)
            if folder is not None:
                said[name] = _model_said(folder)
        if self.judge is not None:
            said["judge"] = self.judge.model
        return said

    def scorers(self, number: int) -> list[Scorer]:
        """Load what is needed, for the worker of this number. Raises ModelError where that is not possible."""
        made: list[Scorer] = []
        device = device_of_worker(self.device, number) if self.clip or self.dino or self.safety else "cpu"
        if self.clip is not None:
            made.append(_clip_scorer(self.clip, device))
        else:
            made.append(_offline_scores)
        if self.dino is not None:
            made.append(_dino_scorer(self.dino, device))
        if self.safety is not None:
            made.append(_safety_scorer(self.safety, device))
        if self.judge is not None:
            made.append(_judge_scorer(self.judge))
        return made


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Makes workers that score a shard of pairs; a pair that cannot be read is counted and left out."""

    pairs: Shards
    scores: Shards
    measures: Measures

    def __call__(self, number: int) -> Work:
        """The worker of this number."""
        scorers = self.measures.scorers(number)

        def work(task: Task) -> Marker:
            with self.scores.writing(task.number, task.digest) as writer:
                readable = _decoded(self.pairs, task.source, writer.drop)
                for batch in in_batches(readable, self.measures.batch):
                    rows: list[dict[str, Any]] = [_named(pair.sample.row) for pair in batch]
                    for scorer in scorers:
                        for row, scores in zip(rows, scorer(batch), strict=True):
                            row |= {name: _rounded(value) for name, value in scores.items()}
                    for row in rows:
                        writer.add(row)
            return self.scores.marker(task.number)

        return work


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """`size` items at a time; the last ones may be fewer."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch


def decode_pair(sample: Sample) -> Decoded:
    """Both pictures decoded; InputError where one is missing or broken."""
    key = sample.row.get("key", "a pair")
    pictures = []
    for name in ("original", "edited"):
        data = sample.pictures.get(f"{name}.jpg")
        if data is None:
            raise InputError(f"{key}: it has no {name}.jpg: paint its shard again")
        pictures.append(decode_picture(data, f"{key}.{name}.jpg"))
    return Decoded(sample=sample, original=pictures[0], edited=pictures[1])


def _decoded(pairs: Shards, number: int, drop: Callable[[str], None]) -> Iterator[Decoded]:
    for sample in pairs.samples(number):
        try:
            yield decode_pair(sample)
        except InputError:
            drop("damaged picture")


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    triplet = row.get("triplet") or triplet_in(str(row["key"]))
    return {"key": row["key"], "triplet": triplet, "kind": row.get("kind")}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def _model_said(folder: Path) -> dict[str, str]:
    from ip2p_cli.models.fingerprint import files_fingerprint

    files = sorted(folder.glob("*.safetensors"))
    name = folder.absolute().name
    if folder.parent.name == "snapshots":  # of the hub's cache: models--openai--clip-vit-large-patch14
        name = folder.parent.parent.name.removeprefix("models--").replace("--", "/")
    return {"name": name, "fingerprint": files_fingerprint([folder / "config.json", *files])}


def _offline_scores(pairs: Sequence[Decoded]) -> list[Scores]:
    found: list[Scores] = []
    for pair in pairs:
        before = small(pair.original)
        facts = change_of(before, small(pair.edited, (before.shape[1], before.shape[0])))
        values = (facts["change"], facts["changed area"], facts["structure"])
        found.append({name: float(value) for name, value in zip(OFFLINE_SCORES, values, strict=True)})
    return found


def _clip_scorer(folder: Path, device: str) -> Scorer:
    import torch

    from ip2p_cli.models.clip import load_clip, pair_scores, square

    clip = load_clip(folder, device)

    def scores(pairs: Sequence[Decoded]) -> list[Scores]:
        before, after = (
            torch.cat([square(_pixels(picture)[None], clip.side) for picture in pictures])
            for pictures in ([pair.original for pair in pairs], [pair.edited for pair in pairs])
        )
        return list(pair_scores(clip, before, after, [pair.captions for pair in pairs]))

    return scores


def _dino_scorer(folder: Path, device: str) -> Scorer:
    from ip2p_cli.models.vision import likeness, load_dino

    dino = load_dino(folder, device)

    def scores(pairs: Sequence[Decoded]) -> list[Scores]:
        before, after = [_pixels(pair.original) for pair in pairs], [_pixels(pair.edited) for pair in pairs]
        return [{"dino": value} for value in likeness(dino, before, after)]

    return scores


def _safety_scorer(folder: Path, device: str) -> Scorer:
    from ip2p_cli.models.vision import load_safety, unsafe

    checker = load_safety(folder, device)

    def scores(pairs: Sequence[Decoded]) -> list[Scores]:
        shares = unsafe(checker, [_pixels(picture) for pair in pairs for picture in (pair.original, pair.edited)])
        return [{"unsafe": max(both)} for both in zip(shares[::2], shares[1::2], strict=True)]

    return scores


def _judge_scorer(judge: VisionJudge) -> Scorer:
    def one(pair: Decoded) -> Scores:
        row, pictures = pair.sample.row, pair.sample.pictures
        said = judge.score(str(row.get("instruction") or ""), pictures["original.jpg"], pictures["edited.jpg"])
        return {"judge": said}

    def scores(pairs: Sequence[Decoded]) -> list[Scores]:
        with ThreadPoolExecutor(_JUDGED_AT_ONCE) as pool:
            return list(pool.map(one, pairs))

    return scores


def _pixels(picture: Image.Image) -> Tensor:
    """(3, H, W) in [0, 1]."""
    import numpy as np
    import torch

    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255).permute(2, 0, 1)
