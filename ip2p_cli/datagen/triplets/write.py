"""Writes a shard of triplets for each shard of captions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ip2p_cli.datagen.openai_client import check_address, http_library
from ip2p_cli.datagen.stages import StageResult, Task, Work, WorkerConfig, key_of, run_stage, tasks_of
from ip2p_cli.datagen.triplets.draft import Writer
from ip2p_cli.datagen.triplets.endpoint import EndpointWriter, moderation
from ip2p_cli.datagen.triplets.filters import passing, read_blocklist
from ip2p_cli.datagen.triplets.grammar import GrammarWriter
from ip2p_cli.datagen.triplets.settings import EndpointConfig, TripletSettings, check_folder
from ip2p_cli.errors import UsageError
from ip2p_cli.io.shards import Marker, Shards
from ip2p_cli.types import Caption, Triplet


def write_triplets(
    data: Path,
    settings: TripletSettings | None = None,
    endpoint: EndpointConfig | None = None,
    workers: WorkerConfig | None = None,
    *,
    redo: bool = False,
) -> Iterator[StageResult]:
    """Write the shards of `data`/triplets that are missing.

    Args:
        data: The dataset's folder, with captions.
        settings: What the triplets depend on. None is the defaults.
        endpoint: How models are reached. None is the defaults.
        workers: Who does the work. None is this process.
        redo: Write shards again that were made with other settings or from other captions.

    Yields:
        As `run_stage`.

    Raises:
        InputError: There are no captions.
        UsageError: The folder was made with other settings.
        ModelError: The model cannot be read.
    """
    stage = triplet_stage(data, settings or TripletSettings(), endpoint or EndpointConfig(), redo=redo)
    return run_stage(*stage, workers or WorkerConfig(), redo=redo)


def triplet_stage(
    data: Path, settings: TripletSettings, endpoint: EndpointConfig, *, redo: bool = False
) -> tuple[Shards, list[Task], Callable[[int], Work]]:
    """The shards, the tasks and what makes the workers, for `run_stage`. Raises as `write_triplets`."""
    check_needs(settings, endpoint)
    captions, triplets = Shards(folder=data / "captions"), Shards(folder=data / "triplets")
    tasks = tasks_of(captions)
    triplets.begin(settings.about(), redo=redo)
    return triplets, tasks, _MakeWorker(captions, triplets, settings, endpoint)


def check_needs(settings: TripletSettings, endpoint: EndpointConfig) -> None:
    """Check that what writes the triplets is there, as far as that shows without loading a model.

    Raises:
        UsageError: An address or a package is missing.
        ModelError: The folder of the local model holds none.
        InputError: The blocklist cannot be read.
    """
    addresses = [endpoint.moderation or ""] if settings.moderate else []
    if settings.writer == "endpoint":
        if not (endpoint.url and settings.model):
            raise UsageError(
                "--writer endpoint needs --url and --llm: for example http://localhost:8000/v1 and its model"
            )
        addresses.append(endpoint.url)
    for address in addresses:
        check_address(address)
        http_library()
    if settings.writer == "local":
        check_folder(Path(settings.model or ""))
    if settings.blocklist is not None:
        read_blocklist(settings.blocklist)


@dataclass(frozen=True)
class _MakeWorker:
    captions: Shards
    triplets: Shards
    settings: TripletSettings
    endpoint: EndpointConfig

    def __call__(self, number: int) -> Work:
        """Make the worker of a process; it loads its model and its lists once."""
        settings = self.settings
        blocked = None if settings.blocklist is None else read_blocklist(settings.blocklist)
        moderate = moderation(self.endpoint) if settings.moderate else None
        writer_of = self._writer_factory()

        def work(task: Task) -> Marker:
            rows = list(self.captions.objects(task.source, Caption))
            writer = writer_of(task.number)
            drafts = passing(list(writer.drafts(rows)), blocked=blocked, moderate=moderate)
            with self.triplets.writing(task.number, task.digest) as file:
                for of, draft in drafts:
                    if isinstance(draft, str):
                        file.drop(draft)
                        continue
                    key = key_of("triplet", settings.seed, of.key, draft.instruction, draft.edited_caption)
                    caption, image = of.caption, of.image
                    file.add(asdict(Triplet(key=key, caption=caption, image=image, writer=writer.name, **vars(draft))))
            self._file(f".{task.number:05d}.answers.jsonl").unlink(missing_ok=True)
            return self.triplets.marker(task.number)

        return work

    def _writer_factory(self) -> Callable[[int], Writer]:
        """A function from a shard's number to its writer. Raises ModelError where a local model cannot be read."""
        settings, endpoint = self.settings, self.endpoint
        if settings.writer == "endpoint":
            return lambda number: EndpointWriter(
                settings, endpoint, self._file(f".{number:05d}.answers.jsonl"), self._file(f"{number:05d}.usage.json")
            )
        writer: Writer
        if settings.writer == "local":
            from ip2p_cli.datagen.triplets.local import LocalWriter

            writer = LocalWriter(settings, endpoint)
        else:
            choices = {"looks_only": settings.looks_only, "balance": settings.balance}
            writer = GrammarWriter(settings.seed, settings.per_caption, **choices)
        return lambda number: writer

    def _file(self, name: str) -> Path:
        return self.triplets.folder / name
