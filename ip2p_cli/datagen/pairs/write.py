"""Write shards of pairs: each from a few triplets, with all candidates of a triplet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from ip2p_cli.datagen.dataset.base import in_batches
from ip2p_cli.datagen.pairs.diffused import DiffusionPainter
from ip2p_cli.datagen.pairs.painted import LooksPainter
from ip2p_cli.datagen.pairs.settings import Candidate, PairSettings, draw_candidate
from ip2p_cli.datagen.stages import Task, Work, shard_work
from ip2p_cli.errors import InputError
from ip2p_cli.io.output import encode_picture
from ip2p_cli.io.shards import Shards, ShardWriter
from ip2p_cli.models.device import device_of_worker, pick_dtype
from ip2p_cli.models.loader import load_editor
from ip2p_cli.types import DeviceName, DtypeName, ModelSpec, Triplet

# (triplet, picture before, picture after) -> whether the pair passes the filter.
PairCheck = Callable[[Triplet, Image.Image, Image.Image], bool]


class Painter(Protocol):
    """Paints candidates of a triplet."""

    def paint(self, triplet: Triplet, candidates: Sequence[Candidate]) -> list[tuple[Image.Image, Image.Image]]:
        """Paint the pictures (before, after) of each candidate. Raises InputError if the triplet does not allow it."""


@dataclass(frozen=True, kw_only=True)
class MakePairs:
    """Makes workers that write shards of pairs, with the model `spec`, or without one looks.

    `make_check` makes a worker's check of pairs, which `stop_after` needs.
    """

    triplets: Shards
    pairs: Shards
    settings: PairSettings
    spec: ModelSpec | None = None
    device: DeviceName = "auto"
    dtype: DtypeName = "auto"
    vae: str | None = None
    make_check: Callable[[int], PairCheck] | None = None

    def __call__(self, number: int) -> Work:
        """Make worker `number`, from 1: with several GPUs each has its own."""
        painter = self.painter(number)
        check = self.make_check(number) if self.make_check is not None and self.settings.stop_after else None

        def fill(task: Task, writer: ShardWriter) -> None:
            for triplet in islice(self.triplets.objects(task.source, Triplet), task.start, task.stop):
                self._paint(painter, triplet, writer, check)

        return shard_work(self.pairs, fill)

    def painter(self, number: int) -> Painter:
        """Load the painter of worker `number`."""
        if self.spec is None:
            return LooksPainter(self.settings)
        device = device_of_worker(self.device, number)
        dtype = pick_dtype(self.dtype, device.split(":")[0], self.spec).name
        editor = load_editor(self.spec, device=device, dtype=dtype, use="paint", vae=self.vae)
        return DiffusionPainter(editor, self.settings)

    def _paint(self, painter: Painter, triplet: Triplet, writer: ShardWriter, check: PairCheck | None) -> None:
        passed = 0
        for numbers in in_batches(range(self.settings.candidates), self.settings.block):
            block = [draw_candidate(self.settings, triplet.key, number) for number in numbers]
            try:
                pairs = painter.paint(triplet, block)
            except InputError as error:
                writer.drop(_reason(error, triplet), self.settings.candidates)
                return
            for candidate, (before, after) in zip(block, pairs, strict=True):
                pictures = {"original.jpg": before, "edited.jpg": after}
                encoded = {name: encode_jpeg(picture, self.settings.quality) for name, picture in pictures.items()}
                writer.add(self._row(triplet, candidate), encoded)
                passed += check is not None and check(triplet, before, after)
            if check is not None and passed >= self.settings.stop_after:
                return

    def _row(self, triplet: Triplet, candidate: Candidate) -> dict[str, Any]:
        settings = self.settings
        row = asdict(triplet) | {
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
        return row


def encode_jpeg(picture: Image.Image, quality: int) -> bytes:
    """Encode a picture as shards of pairs hold it."""
    return encode_picture(picture, Path("picture.jpg"), quality=quality)


def _reason(error: InputError, triplet: Triplet) -> str:
    """Why a triplet is dropped, in the words under which it is counted."""
    if triplet.image is None:
        return "no photo"
    return "photo unreadable" if str(triplet.image) in str(error) else "no look"
