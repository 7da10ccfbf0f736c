"""Running a plan: photos are read ahead and results saved behind, while the model works on the batch in hand.

A result is noted as being written, published under its name, and noted as done, in this order; so a process may die
at any moment and the next one goes on from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from PIL import Image

from ip2p_cli import __version__
from ip2p_cli.errors import InputError, Ip2pError, OutputError
from ip2p_cli.io.comparison import before_after_gif, compare, compare_path, gif_path
from ip2p_cli.io.files import write_whole
from ip2p_cli.io.images import Picture, read_image
from ip2p_cli.io.manifest import Entry, Manifest, file_stamp
from ip2p_cli.io.names import printable, reason
from ip2p_cli.io.output import encode_picture
from ip2p_cli.io.provenance import parents_of, read_sidecar, write_sidecar
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.loader import Editor
from ip2p_cli.types import EditRequest, OutputOptions
from ip2p_cli.workflows.edit import EditBatch, Prepared, Small, edit_batch, edit_batch_in_memory, finish, prepare
from ip2p_cli.workflows.plan import Item, Plan, input_name, settings_of
from ip2p_cli.workflows.saving import encoded

OnStep = Callable[[int, int, int], None]

_BATCHES_AHEAD = 2


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the plan's item `index`: "done", "skipped" (done by an earlier run), or "failed" by `error`.

    seconds: spent on it, from reading to saving, its share of a batch. record: how it was made.
    """

    index: int
    state: Literal["done", "skipped", "failed"]
    seconds: float = 0.0
    error: Ip2pError | None = None
    record: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


AnyOutcome = TypeVar("AnyOutcome", bound=Outcome)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Read:
    """A photo ready for the model, or why it is not; how long that took. notes: on how its batch ran."""

    item: Item
    picture: Picture | None = None
    prepared: Prepared | None = None
    stamp: str | None = None
    error: Ip2pError | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def run_batches(
    editor: Editor | Adapter,
    plan: Plan,
    batches: Sequence[tuple[int, ...]],
    *,
    manifest: Manifest | None = None,
    saving: OutputOptions | None = None,
    on_step: OnStep | None = None,
    run: EditBatch = edit_batch,
) -> Iterator[Outcome]:
    """Do what is left of `batches`; yields an outcome for each of their items, as soon as it is known.

    on_step: called as (items in the batch, steps done, steps). run: what makes the edits of a batch. An item that
    fails does not stop the others. When the caller stops iterating, or an exception comes (Ctrl-C), what is being saved
    is saved whole and the rest dropped.
    """
    saving = saving or OutputOptions()
    with ThreadPoolExecutor(2, "read") as readers, ThreadPoolExecutor(2, "save") as savers:
        pending: deque[Future[Outcome]] = deque()
        try:
            for batch, reads in _read_ahead(readers, editor, plan, batches, manifest):
                yield from (Outcome(index=i, state="skipped") for i in batch if i not in reads)
                ready = {index: read for index, read in reads.items() if read.error is None}
                pending.extend(
                    savers.submit(_fail, index, read, plan, manifest)
                    for index, read in reads.items()
                    if read.error is not None
                )
                if ready:
                    pending.extend(_run_batch(editor, plan, batch, ready, manifest, saving, savers, on_step, run))
                # Results wait here as full-size pictures: not too many of them.
                while pending and (pending[0].done() or len(pending) > _BATCHES_AHEAD * max(len(batch), 2)):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            readers.shutdown(wait=False, cancel_futures=True)
            savers.shutdown(wait=True, cancel_futures=True)


def skipped(plan: Plan, batches: Sequence[tuple[int, ...]]) -> Iterator[Outcome]:
    """Outcomes of the batches in which nothing is left to do."""
    left = set(plan.open_batches(batches))
    yield from (Outcome(index=i, state="skipped") for batch in batches if batch not in left for i in batch)


def in_order(outcomes: Iterable[AnyOutcome], batches: Sequence[tuple[int, ...]]) -> Iterator[AnyOutcome]:
    """The same outcomes in the order of the plan, each as soon as those before it are there."""
    waiting: dict[int, AnyOutcome] = {}
    order = deque(sorted(index for batch in batches for index in batch))
    for outcome in outcomes:
        waiting[outcome.index] = outcome
        while order and order[0] in waiting:
            yield waiting.pop(order.popleft())


def _read_ahead(
    readers: ThreadPoolExecutor,
    editor: Editor | Adapter,
    plan: Plan,
    batches: Sequence[tuple[int, ...]],
    manifest: Manifest | None,
) -> Iterator[tuple[tuple[int, ...], dict[int, _Read]]]:
    """The batches with their photos read, a few batches before they are needed."""

    def begin(batch: tuple[int, ...]) -> tuple[tuple[int, ...], dict[int, Future[_Read]]]:
        if manifest is not None:
            manifest.refresh()  # another process may have done some meanwhile
        todo = [
            i for i in batch if plan.items[i].state != "done" and not _done_meanwhile(plan.items[i], plan, manifest)
        ]
        return batch, {i: readers.submit(_read, plan.items[i], editor, photos) for i in todo}

    source, photos = iter(batches), _LastPhoto()
    queue = deque(begin(batch) for batch in islice(source, _BATCHES_AHEAD))
    while queue:
        batch, futures = queue.popleft()
        yield batch, {i: future.result() for i, future in futures.items()}
        queue.extend(begin(batch) for batch in islice(source, 1))


def _done_meanwhile(item: Item, plan: Plan, manifest: Manifest | None) -> bool:
    if manifest is None or not manifest.is_done(item.key):
        return False
    return dict(manifest.entries[item.key].settings) == settings_of(item, plan.identity)


class _LastPhoto:
    """Reads photos, and keeps the last one: the variants of a photo are made one after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[Path, str | None] | None = None
        self._picture: Picture | None = None

    def read(self, path: Path, stamp: str | None) -> Picture:
        """The photo; stamp: its file's, so that one that changes is read again."""
        with self._lock:
            if self._picture is not None and self._key == (path, stamp):
                return self._picture
        picture = read_image(path)
        with self._lock:
            self._key, self._picture = (path, stamp), picture
        return picture


def _read(item: Item, editor: Editor | Adapter, photos: _LastPhoto) -> _Read:
    began = time.monotonic()
    stamp = file_stamp(item.source)
    try:
        picture = photos.read(item.source, stamp)
        request = EditRequest(
            source=picture.rgb, instruction=item.instruction, settings=item.settings, digest=picture.digest
        )
        prepared = prepare(request, editor.spec)
        if item.size is not None and picture.rgb.size != item.size:
            raise InputError(f"{item.source}: the photo changed while this ran; run the same command again.")
    except Ip2pError as error:
        return _Read(item=item, stamp=stamp, error=error, seconds=time.monotonic() - began)
    return _Read(item=item, picture=picture, prepared=prepared, stamp=stamp, seconds=time.monotonic() - began)


def _run_batch(
    editor: Editor | Adapter,
    plan: Plan,
    batch: tuple[int, ...],
    ready: Mapping[int, _Read],
    manifest: Manifest | None,
    saving: OutputOptions,
    savers: ThreadPoolExecutor,
    on_step: OnStep | None,
    run: EditBatch,
) -> Iterator[Future[Outcome]]:
    began = time.monotonic()
    rows = [ready[i].prepared if i in ready else _filler(plan.items[i], next(iter(ready.values()))) for i in batch]
    report = None if on_step is None else lambda done, total: on_step(len(ready), done, total)
    steps_down: list[str] = []
    try:
        smalls, memory = edit_batch_in_memory(
            editor,
            [row for row in rows if row is not None],
            say=steps_down.append,
            on_step=report,
            run=run,
            first=plan.memory,
        )
    except Ip2pError as error:
        for index, read in ready.items():
            yield savers.submit(_fail, index, replace(read, error=error), plan, manifest)
        return
    share = (time.monotonic() - began) / len(ready)
    for place, (index, small) in enumerate(zip(batch, smalls, strict=True)):
        if index in ready:
            read = replace(ready[index], notes=tuple(steps_down))
            record = _record(plan, read, f"{place + 1}/{len(batch)}", saving)
            if steps_down or memory == plan.memory:  # it decides the last bits
                record["memory"] = asdict(memory)
            yield savers.submit(_save, index, read, small, record, plan, manifest, saving, share)


def _filler(item: Item, like: _Read) -> Prepared:
    """Stands where an item is done already or cannot be read: a batch of the same shape gives the same bytes."""
    assert like.prepared is not None
    if item.source == like.item.source:  # of one photo's variants each is at hand, and what they share stays shared
        asked = replace(like.prepared.request, instruction=item.instruction, settings=item.settings)
        return replace(like.prepared, request=asked)
    request = EditRequest(source=like.prepared.request.source, instruction="", settings=item.settings)
    return replace(like.prepared, request=request, pixels=torch.full_like(like.prepared.pixels, 0.5))


def _record(plan: Plan, read: _Read, place: str, saving: OutputOptions) -> dict[str, Any]:
    """How a result is made, as it is kept in the picture. place: which row of how many, in its batch."""
    item, picture = read.item, read.picture
    assert picture is not None
    record: dict[str, Any] = {
        "ip2p": __version__,
        **plan.identity,
        "instruction": item.instruction,
        **asdict(item.settings),
        "batch": place,
        "quality": saving.quality,
        "input": item.source.name,
        "input_sha256": picture.digest,
    }
    parents = parents_of(item.source)
    return {**record, "parents": parents} if parents else record


def _save(
    index: int,
    read: _Read,
    small: Small,
    record: Mapping[str, Any],
    plan: Plan,
    manifest: Manifest | None,
    saving: OutputOptions,
    seconds: float,
) -> Outcome:
    began, item, picture = time.monotonic(), read.item, read.picture
    assert picture is not None
    assert read.prepared is not None
    try:
        image = finish(read.prepared, small)
        record = {**record, "size": list(image.size)}
        data = encoded(image, item.target, picture, record, saving)
        entry = _entry(read, plan, "writing", sha256=hashlib.sha256(data).hexdigest())
        if manifest is not None:
            manifest.note(entry)
        item.target.parent.mkdir(parents=True, exist_ok=True)
        if saving.sidecar:
            # Left by a run that died between the two: not a file of the user's.
            ours = not item.target.exists() and read_sidecar(item.target) is not None
            write_sidecar(item.target, record, overwrite=item.may_replace or ours)
        write_whole(item.target, data, overwrite=item.may_replace)
        seconds += read.seconds + time.monotonic() - began
        if manifest is not None:
            manifest.note(replace(entry, state="done", seconds=round(seconds, 3)))
    except Ip2pError as error:
        return _fail(index, replace(read, error=error), plan, manifest)
    except OSError as error:
        failure = OutputError(f"{printable(item.target)}: {reason(error)}: choose another place with -o")
        return _fail(index, replace(read, error=failure), plan, manifest)
    notes = (*picture.notes, *read.notes, *_extras(item, picture.rgb, image, saving))
    return Outcome(index=index, state="done", seconds=seconds, record=record, notes=notes)


def _extras(item: Item, before: Image.Image, after: Image.Image, saving: OutputOptions) -> Iterator[str]:
    """Write what shows before and after; a note where something of that name is there already."""
    wanted: list[tuple[Path, bytes]] = []
    if saving.compare:
        path = compare_path(item.target)
        wanted.append((path, encode_picture(compare(before, after), path)))
    if saving.gif:
        wanted.append((gif_path(item.target), before_after_gif(before, after)))
    for path, data in wanted:
        try:
            write_whole(path, data, overwrite=item.may_replace)
        except OutputError as error:
            yield str(error)


def _fail(index: int, read: _Read, plan: Plan, manifest: Manifest | None) -> Outcome:
    assert read.error is not None
    if manifest is not None:
        if _done_meanwhile_again(read.item, plan, manifest):
            return Outcome(index=index, state="skipped")
        with contextlib.suppress(OutputError):  # a full disk: the error itself is reported all the same
            manifest.note(_entry(read, plan, "failed", reason=str(read.error)))
    return Outcome(index=index, state="failed", error=read.error, seconds=read.seconds)


def _done_meanwhile_again(item: Item, plan: Plan, manifest: Manifest) -> bool:
    """Another process on this folder may have finished the item while this one worked on it."""
    manifest.refresh()
    return _done_meanwhile(item, plan, manifest)


def _entry(read: _Read, plan: Plan, state: str, **more: Any) -> Entry:
    item = read.item
    return Entry(
        output=item.key,
        state=state,
        input=input_name(item.source, plan.folder),
        instruction=item.instruction,
        settings=settings_of(item, plan.identity),
        input_sha256=read.picture.digest if read.picture else None,
        input_stamp=read.stamp,
        **more,
    )
