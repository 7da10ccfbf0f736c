"""One chain on many photos: what is done already, each photo's chain, alone, and what becomes of it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, Protocol

from ip2p_cli.errors import Ip2pError, OutputError, UsageError
from ip2p_cli.io.files import path_inside
from ip2p_cli.io.images import read_image, read_size
from ip2p_cli.io.inputs import InputPhoto
from ip2p_cli.io.manifest import Entry, Manifest, file_stamp, photo_changed
from ip2p_cli.io.names import numbered, printable
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.loader import Editor
from ip2p_cli.types import OutputOptions
from ip2p_cli.workflows.batch import Outcome
from ip2p_cli.workflows.best_of import Judge
from ip2p_cli.workflows.chain import ChainRun
from ip2p_cli.workflows.chain_cache import FOLDER, MAX_UNUSED_BYTES, prune
from ip2p_cli.workflows.chain_changes import changed_edit
from ip2p_cli.workflows.chain_files import (
    NOTES,
    Shelf,
    Written,
    earlier_edits,
    keys_in,
    names_of,
    read_notes,
    write_chain,
)
from ip2p_cli.workflows.chain_plan import ChainPlan, Step
from ip2p_cli.workflows.loading import ModelChoice
from ip2p_cli.workflows.plan import State, input_name

# (photo's index, edit, denoising steps done of it, all of it)
OnEdit = Callable[[int, Step, int, int], None]
_CHAIN = "chain: "


class Editors(Protocol):
    """Gives the model of a choice, loaded once."""

    def __call__(self, choice: ModelChoice) -> Editor | Adapter:
        """The model."""


@dataclass(frozen=True, kw_only=True)
class ChainItem:
    """One photo's chain. key: its chain.json, relative to the output folder, with slashes; that names it in the
    manifest. size: the photo's upright (width, height), None where its header cannot be read."""

    source: Path
    target: Path
    key: str
    size: tuple[int, int] | None
    state: State = "to do"


@dataclass(frozen=True, kw_only=True)
class ChainBatch:
    """A chain on many photos. identity: what decides the pictures besides the photo. cached: whether what edits leave
    is kept for later runs. overwrite: whether files that no run made may be replaced."""

    folder: Path
    plan: ChainPlan
    items: tuple[ChainItem, ...]
    identity: Mapping[str, Any]
    saving: OutputOptions = field(default_factory=OutputOptions)
    cached: bool = True
    overwrite: bool = False

    @property
    def cache(self) -> Path | None:
        """Where what edits leave is kept."""
        return self.folder / FOLDER if self.cached else None

    def shard(self, index: int, count: int) -> list[int]:
        """The items of shard `index` (from 1) of `count`."""
        return list(range(len(self.items)))[index - 1 :: count]

    def left(self, indices: Sequence[int]) -> list[int]:
        """Those in which something is to do."""
        return [index for index in indices if self.items[index].state != "done"]


@dataclass(frozen=True, kw_only=True)
class ChainOutcome(Outcome):
    """What became of a photo's chain. results: its last pictures."""

    results: tuple[Path, ...] = ()


def make_chain_batch(
    photos: Sequence[InputPhoto],
    folder: Path,
    manifest: Manifest,
    plan: ChainPlan,
    *,
    identity: Mapping[str, Any],
    saving: OutputOptions,
    redo: bool = False,
    overwrite: bool = False,
    cached: bool = True,
) -> ChainBatch:
    """Decide each photo's folder, and what is done already.

    redo: make again what was made with other settings or another recipe. Raises UsageError where that is so and `redo`
    is not given.
    """
    items = []
    for photo, key in zip(photos, _keys(photos, folder, manifest), strict=True):
        target = path_inside(folder, key).parent
        items.append(ChainItem(source=photo.path, target=target, key=key, size=_size(photo.path)))
    batch = ChainBatch(
        folder=folder,
        plan=plan,
        items=tuple(items),
        identity=identity,
        saving=saving,
        cached=cached,
        overwrite=overwrite,
    )
    return replace(batch, items=tuple(_with_states(batch, manifest, redo)))


def run_chains(
    batch: ChainBatch,
    indices: Sequence[int],
    editors: Editors,
    manifest: Manifest,
    *,
    judge: Judge | None = None,
    on_edit: OnEdit | None = None,
) -> Iterator[ChainOutcome]:
    """Do what is left of the items `indices`; yields an outcome for each, in their order.

    One that fails does not stop the others. When the caller stops iterating, or an exception comes (Ctrl-C), the files
    that are there are whole, and the next run goes on from them.
    """
    judge = judge or Judge(batch.plan.clip)
    for index in indices:
        if batch.items[index].state != "done":
            manifest.refresh()  # another process may have done it meanwhile
        if batch.items[index].state == "done" or _done_meanwhile(batch, index, manifest):
            yield ChainOutcome(index=index, state="skipped", results=_results(batch, index))
        else:
            yield _run(batch, index, editors, manifest, judge, on_edit)


def skipped_chains(batch: ChainBatch, indices: Sequence[int]) -> Iterator[ChainOutcome]:
    """Outcomes of those of the items `indices` in which nothing is left to do."""
    for index in indices:
        if batch.items[index].state == "done":
            yield ChainOutcome(index=index, state="skipped", results=_results(batch, index))


def prune_cache(batch: ChainBatch, manifest: Manifest, most: int = MAX_UNUSED_BYTES) -> int:
    """Drop from the cache what no chain in the folder refers to any more, beyond `most` bytes; returns how many."""
    if batch.cache is None or not batch.cache.is_dir():
        return 0
    manifest.refresh()
    chains = [output for output in manifest.entries if _is_chain(output)]
    used = {key for output in chains for key in keys_in(read_notes((batch.folder / output).parent))}
    return prune(batch.cache, used, most)


def _run(
    batch: ChainBatch, index: int, editors: Editors, manifest: Manifest, judge: Judge, on_edit: OnEdit | None
) -> ChainOutcome:
    began, item = time.monotonic(), batch.items[index]
    entry = Entry(
        output=item.key,
        state="failed",
        input=input_name(item.source, batch.folder),
        instruction=_CHAIN + batch.plan.name,
        settings=dict(batch.identity),
        input_stamp=file_stamp(item.source),
    )
    notes: list[str] = []
    try:
        picture = read_image(item.source)
        notes += picture.notes
        entry = replace(entry, input_sha256=picture.digest)
        run = ChainRun(
            batch.plan,
            picture,
            batch.cache,
            editors,
            judge=judge,
            earlier=earlier_edits(read_notes(item.target)),
            say=notes.append,
            on_step=None if on_edit is None else lambda step, done, total: on_edit(index, step, done, total),
        )
        shelf = Shelf(folder=item.target, manifest=manifest, entry=entry, overwrite=batch.overwrite)
        written = write_chain(run, shelf, saving=batch.saving, seconds=lambda: time.monotonic() - began)
    except Ip2pError as error:
        return _failed(batch, index, entry, error, manifest, time.monotonic() - began)
    seconds = time.monotonic() - began
    if written.left:
        notes.append(f"left from an earlier run: {', '.join(written.left)}")
    return ChainOutcome(
        index=index,
        state="done" if written.made else "skipped",
        seconds=seconds,
        record=_record(written),
        notes=tuple(notes),
        results=written.results,
    )


def _record(written: Written) -> dict[str, Any]:
    return {name: written.notes[name] for name in ("recipe", "handoff", "edits", "results")}


def _failed(
    batch: ChainBatch, index: int, entry: Entry, error: Ip2pError, manifest: Manifest, seconds: float
) -> ChainOutcome:
    with contextlib.suppress(Ip2pError):
        manifest.refresh()
    if _done_meanwhile(batch, index, manifest):
        return ChainOutcome(index=index, state="skipped", results=_results(batch, index))
    with contextlib.suppress(OutputError):  # a full disk: the error itself is reported all the same
        manifest.note(replace(entry, state="failed", seconds=round(seconds, 3), reason=str(error)))
    return ChainOutcome(index=index, state="failed", error=error, seconds=seconds)


def _results(batch: ChainBatch, index: int) -> tuple[Path, ...]:
    return tuple(batch.items[index].target / batch.plan.result_file(path) for path in batch.plan.paths)


def _is_chain(output: str) -> bool:
    return PurePath(output).name == NOTES


def _size(path: Path) -> tuple[int, int] | None:
    try:
        return read_size(path)
    except Ip2pError:
        return None


def _keys(photos: Sequence[InputPhoto], folder: Path, manifest: Manifest) -> list[str]:
    """A chain.json for each photo, in the folder that an earlier run gave it, else in one of its own."""
    earlier = {entry.input: entry.output for entry in manifest.entries.values() if _is_chain(entry.output)}
    taken = {PurePath(output).parent.as_posix().casefold() for output in earlier.values()}
    found = []
    for photo in photos:
        key = earlier.get(input_name(photo.path, folder))
        if key is None:
            plain = PurePath(photo.folder, photo.path.stem)
            name = numbered(folder, plain, taken, overwrite=True)
            taken.add(name.as_posix().casefold())
            key = (name / NOTES).as_posix()
        found.append(key)
    return found


def _with_states(batch: ChainBatch, manifest: Manifest, redo: bool) -> Iterator[ChainItem]:
    states: list[State] = []
    changed: list[str] = []
    for item in batch.items:
        states.append("done" if manifest.is_done(item.key) else "to do")
        if states[-1] == "to do":
            continue
        if what := _change(item, batch, manifest):
            states[-1] = "redo"
            changed.append(f"{PurePath(item.key).parent}: {what}")
        elif not _whole(item, batch):
            states[-1] = "to do"
    if changed and not redo:
        raise UsageError(
            f"{printable(manifest.folder)}: {len(changed)} of {len(batch.items)} chains were made otherwise "
            f"({changed[0]}): give --redo to make them again, or another -o."
        )
    return (replace(item, state=state) for item, state in zip(batch.items, states, strict=True))


def _whole(item: ChainItem, batch: ChainBatch) -> bool:
    return all(os.path.lexists(item.target / name) for name in names_of(batch.plan, batch.saving))


def _done_meanwhile(batch: ChainBatch, index: int, manifest: Manifest) -> bool:
    item = batch.items[index]
    return manifest.is_done(item.key) and _change(item, batch, manifest) is None and _whole(item, batch)


def _change(item: ChainItem, batch: ChainBatch, manifest: Manifest) -> str | None:
    """What is another than when the chain was done, for people; None where nothing is."""
    entry = manifest.entries[item.key]
    if dict(entry.settings) != dict(batch.identity):
        return changed_edit(batch.plan, read_notes(item.target)) or "the recipe is another one"
    return f"{entry.input} has changed" if photo_changed(entry, item.source) else None
