"""The second stage: a shard of triplets of each shard of captions, by the writer that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ip2p_cli.datagen.stages import Task, Work, key_of, tasks_of
from ip2p_cli.datagen.triplets.draft import Draft, Writer
from ip2p_cli.datagen.triplets.filters import Moderation, passing, read_blocklist
from ip2p_cli.errors import UsageError
from ip2p_cli.io.shards import Marker, Shards
from ip2p_cli.types import Caption, DeviceName, Triplet

FOLDER = "triplets"
WriterName = Literal["grammar", "endpoint", "local"]


@dataclass(frozen=True, kw_only=True)
class TripletSettings:
    """How triplets are written.

    per_caption: triplets that are tried for. balance: kinds of edits equally often. looks_only: of the grammar, only
    what a look paints. model: the endpoint's name for its model, or the local one's folder. temperature, tokens: of
    the models; shots: exemplars they are shown, 0 for one that was fine-tuned. blocklist: a file of words. moderate:
    whether an endpoint judges.
    """

    writer: WriterName = "grammar"
    seed: int = 0
    per_caption: int = 1
    balance: bool = True
    looks_only: bool = False
    model: str | None = None
    temperature: float = 0.7
    tokens: int = 256
    shots: int = 8
    blocklist: Path | None = None
    moderate: bool = False

    def about(self) -> dict[str, Any]:
        """What the shards are made with, for their stage.json."""
        from ip2p_cli.datagen.triplets import grammar, seeds

        said = asdict(self) | {"blocklist": None}
        if self.blocklist is not None:
            said["blocklist"] = key_of(read_blocklist(self.blocklist).pattern)
        if self.writer == "grammar":
            for name in ("model", "temperature", "tokens", "shots"):
                del said[name]
            return said | {"grammar": grammar.digest()}
        if self.writer == "local" and self.model is not None:
            said["model"] = Path(self.model).name
        del said["looks_only"]
        return said | {"exemplars": seeds.digest()}


@dataclass(frozen=True, kw_only=True)
class EndpointConfig:
    """How models are reached; none of it changes the data, and the key is never written anywhere.

    url: an OpenAI-compatible endpoint ("http://localhost:8000/v1"). moderation: the same for moderation. key_name: the
    environment variable with the key. concurrency: calls at once. timeout: seconds for an answer; pause: seconds before
    the first of `tries` repetitions. batch: captions at once of a local model, on `device`.
    """

    url: str | None = None
    moderation: str | None = None
    key_name: str = "OPENAI_API_KEY"
    concurrency: int = 8
    timeout: float = 60.0
    tries: int = 6
    pause: float = 0.5
    batch: int = 8
    device: DeviceName = "auto"


@dataclass(frozen=True, kw_only=True)
class WriteTriplets:
    """Makes the workers of this stage (see `stages.run_stage`)."""

    data: Path
    settings: TripletSettings
    access: EndpointConfig = field(default_factory=EndpointConfig)

    def __call__(self, number: int) -> Work:
        """The worker of a process: it loads what it writes with once."""
        captions, triplets = Shards(folder=self.data / "captions"), Shards(folder=self.data / FOLDER)
        settings = self.settings
        blocked = None if settings.blocklist is None else read_blocklist(settings.blocklist)
        moderate = _moderation(settings, self.access)
        writer_of = _writers(settings, self.access, triplets.folder)

        def work(task: Task) -> Marker:
            rows = [Caption(**row) for row in captions.rows(task.source)]
            writer = writer_of(task.number)
            drafts = passing(list(writer.drafts(rows)), blocked=blocked, moderate=moderate)
            with triplets.writing(task.number, task.digest) as file:
                for row in _rows(drafts, writer.name, settings.seed):
                    file.drop(row) if isinstance(row, str) else file.add(row)
            _forget(triplets.folder, task.number)
            return triplets.marker(task.number)

        return work


def triplet_tasks(data: Path, settings: TripletSettings, *, redo: bool = False) -> tuple[Shards, list[Task]]:
    """(the shards to write, the tasks). Raises InputError without captions, UsageError for other settings."""
    tasks = tasks_of(Shards(folder=data / "captions"))
    triplets = Shards(folder=data / FOLDER)
    if settings.looks_only and settings.writer != "grammar":
        raise UsageError("--looks-only is about the grammar: leave it out, or use --writer grammar")
    triplets.begin(settings.about(), redo=redo)
    return triplets, tasks


def _rows(drafts: Sequence[tuple[Caption, Draft | str]], writer: str, seed: int) -> list[dict[str, Any] | str]:
    rows: list[dict[str, Any] | str] = []
    for caption, draft in drafts:
        if isinstance(draft, str):
            rows.append(draft)
            continue
        triplet = Triplet(
            key=key_of("triplet", seed, caption.key, draft.instruction, draft.edited_caption),
            caption=caption.caption,
            instruction=draft.instruction,
            edited_caption=draft.edited_caption,
            kind=draft.kind,
            writer=writer,
            look=draft.look,
            image=caption.image,
        )
        rows.append(asdict(triplet))
    return rows


def _writers(settings: TripletSettings, access: EndpointConfig, folder: Path) -> Callable[[int], Writer]:
    """What gives the writer of a shard; a model is loaded once. Raises UsageError, ModelError where that cannot be."""
    if settings.writer == "endpoint":
        from ip2p_cli.datagen.triplets.endpoint import EndpointWriter

        return lambda number: EndpointWriter(settings, access, folder, number)
    writer: Writer
    if settings.writer == "local":
        from ip2p_cli.datagen.triplets.local import LocalWriter

        writer = LocalWriter(settings, access)
    else:
        from ip2p_cli.datagen.triplets.grammar import GrammarWriter

        writer = GrammarWriter(
            settings.seed, settings.per_caption, looks_only=settings.looks_only, balance=settings.balance
        )
    return lambda number: writer


def _moderation(settings: TripletSettings, access: EndpointConfig) -> Moderation | None:
    if not settings.moderate:
        return None
    from ip2p_cli.datagen.triplets.endpoint import moderation

    return moderation(access)


def _forget(folder: Path, number: int) -> None:
    """Delete what a shard's answers were kept in while it was written."""
    (folder / f".{number:05d}.answers.jsonl").unlink(missing_ok=True)
