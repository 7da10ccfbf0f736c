"""The stage itself: a shard of pairs from a few triplets, all candidates of a triplet together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from ip2p_cli.datagen.pairs.settings import Candidate, PairSettings, draw
from ip2p_cli.datagen.stages import Task, Work
from ip2p_cli.errors import InputError
from ip2p_cli.io.output import encode_picture
from ip2p_cli.io.shards import Marker, Shards, ShardWriter
from ip2p_cli.models.device import device_of_worker, pick_dtype
from ip2p_cli.models.loader import load_editor
from ip2p_cli.types import DeviceName, DtypeName, ModelSpec, Triplet

# Whether a pair (before, after) of a triplet passes the filter, for `stop_after`.
Judge = Callable[[Triplet, Image.Image, Image.Image], bool]


class Painter(Protocol):
    """Paints candidates of a triplet; InputError for a triplet that it cannot paint."""

    def paint(self, triplet: Triplet, candidates: Sequence[Candidate]) -> list[tuple[Image.Image, Image.Image]]:
        """The pictures (before, after) of each candidate."""


@dataclass(frozen=True, kw_only=True)
class MakePairs:
    """Makes workers of the stage, in their own processes. make_judge: makes what `stop_after` goes by."""

    triplets: Shards
    pairs: Shards
    settings: PairSettings
    spec: ModelSpec | None = None
    device: DeviceName = "auto"
    dtype: DtypeName = "auto"
    vae: str | None = None
    make_judge: Callable[[int], Judge] | None = None

    def __call__(self, number: int) -> Work:
        """The worker of this number, from 1: with several GPUs each takes its own."""
        painter = self.painter(number)
        judge = self.make_judge(number) if self.make_judge is not None and self.settings.stop_after else None

        def work(task: Task) -> Marker:
            rows = islice(self.triplets.rows(task.source), task.start, task.stop)
            with self.pairs.writing(task.number, task.digest) as writer:
                for row in rows:
                    self._paint(painter, Triplet(**row), writer, judge)
            return self.pairs.marker(task.number)

        return work

    def painter(self, number: int) -> Painter:
        """The painter of worker `number`, loaded."""
        from ip2p_cli.datagen.pairs.painted import LooksPainter

        if self.spec is None:
            return LooksPainter(self.settings)
        from ip2p_cli.datagen.pairs.diffused import DiffusionPainter

        device = device_of_worker(self.device, number)
        dtype = pick_dtype(self.dtype, device.split(":")[0], self.spec).name
        editor = load_editor(self.spec, device=device, dtype=dtype, use="paint", vae=self.vae)
        return DiffusionPainter(editor, self.settings)

    def _paint(self, painter: Painter, triplet: Triplet, writer: ShardWriter, judge: Judge | None) -> None:
        passed = 0
        for block in self._blocks(triplet):
            try:
                pairs = painter.paint(triplet, block)
            except InputError as error:
                writer.drop(_reason(error, triplet), self.settings.candidates)
                return
            for candidate, (before, after) in zip(block, pairs, strict=True):
                self._write(writer, triplet, candidate, before, after)
                passed += judge is not None and judge(triplet, before, after)
            if judge is not None and passed >= self.settings.stop_after:
                return

    def _blocks(self, triplet: Triplet) -> Iterator[list[Candidate]]:
        settings = self.settings
        for start in range(0, settings.candidates, settings.block):
            numbers = range(start, min(start + settings.block, settings.candidates))
            yield [draw(settings, triplet.key, number) for number in numbers]

    def _write(
        self, writer: ShardWriter, triplet: Triplet, candidate: Candidate, before: Image.Image, after: Image.Image
    ) -> None:
        settings = self.settings
        row: dict[str, Any] = asdict(triplet) | {
            "key": f"{triplet.key}-{candidate.number:03d}",
            "triplet": triplet.key,
            "candidate": candidate.number,
            "painter": settings.painter,
            "model": settings.model,
            "seed": candidate.seed,
        }
        if settings.painter != "looks":
            row |= {"p": candidate.share, "cfg_text": candidate.cfg, "steps": settings.steps}
            row |= {"sampler": settings.sampler, "cross": settings.cross}
        if settings.painter == "anchored":
            row["strength"] = candidate.strength
        files = {"original.jpg": before, "edited.jpg": after}
        writer.add(row, {name: encoded(picture, settings.quality) for name, picture in files.items()})


def encoded(picture: Image.Image, quality: int) -> bytes:
    """A picture as it lies in a shard: JPEG."""
    return encode_picture(picture, Path("picture.jpg"), quality=quality)


def _reason(error: InputError, triplet: Triplet) -> str:
    """Why a triplet is dropped, as it is counted."""
    if triplet.image is None:
        return "no photo"
    return "photo unreadable" if str(triplet.image) in str(error) else "no look"
