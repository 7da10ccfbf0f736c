"""What a run of `ip2p edit` will do, before any weights load: items, outputs, which items share a batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

from ip2p_cli.errors import Ip2pError, UsageError
from ip2p_cli.io.files import name_inside, path_inside
from ip2p_cli.io.images import read_size
from ip2p_cli.io.inputs import InputPhoto
from ip2p_cli.io.manifest import Entry, Manifest, photo_changed
from ip2p_cli.io.names import numbered, printable, slug
from ip2p_cli.io.sizes import fit_for
from ip2p_cli.types import ModelSpec, ResolvedEditSettings
from ip2p_cli.workflows.memory import MemoryPlan

State = Literal["to do", "done", "redo"]
# How many pictures of a padded (width, height) go through the model together.
BatchSize = Callable[[tuple[int, int]], int]

_PIXELS_AT_ONCE = 8 * 512 * 512  # on a GPU; three branches of Stable Diffusion 1.5 then take about 8 GB


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One edit that was asked for; `output` where the user named it, relative to the output folder."""

    photo: InputPhoto
    instruction: str
    settings: ResolvedEditSettings
    output: str | None = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """One edit of the plan.

    key: the output relative to the folder, with slashes. size: the photo's upright (width, height), None where its
    header cannot be read: it fails when its turn comes. state: "done" by an earlier run, or "redo": done with
    other settings. may_replace: whether an existing file may be replaced.
    """

    source: Path
    instruction: str
    settings: ResolvedEditSettings
    target: Path
    key: str
    size: tuple[int, int] | None
    state: State = "to do"
    may_replace: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All items, and the batches: indices of items that go through the model together.

    The batches follow from all items, done or not, so that a run that is taken up again gives the same bytes.
    identity: what besides an item's own settings decides its pixels, such as the model and its weights. noted:
    whether results are noted in a manifest, so that the same command goes on where it was stopped. memory: how a batch
    is run first, where an earlier run found that the usual way takes too much.
    """

    folder: Path
    items: tuple[Item, ...]
    batches: tuple[tuple[int, ...], ...]
    identity: Mapping[str, Any]
    noted: bool
    memory: MemoryPlan | None = None

    def shard(self, index: int, count: int) -> tuple[tuple[int, ...], ...]:
        """The batches of shard `index` (from 1) of `count`."""
        return self.batches[index - 1 :: count]

    def open_batches(self, batches: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Those of `batches` in which something is left to do."""
        return [batch for batch in batches if any(self.items[i].state != "done" for i in batch)]


def settings_of(item: Item, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides an item's pixels besides its photo and instruction, as the manifest keeps it."""
    return {**identity, **asdict(item.settings)}


def make_plan(
    wanted: Sequence[Wanted],
    folder: Path,
    manifest: Manifest | None,
    *,
    spec: ModelSpec,
    identity: Mapping[str, Any],
    size_of: BatchSize,
    redo: bool = False,
    overwrite: bool = False,
) -> Plan:
    """Decide names, what is done already, and batches.

    manifest: what earlier runs noted in `folder`; None: nothing is noted, and every item is to be done. redo: edit
    again what was done with other settings. Raises UsageError where that is so and `redo` is not given, OutputError
    for an output that exists or cannot be written, for a lone item.
    """
    keys = _keys(wanted, folder, manifest, identity, overwrite)
    items = [
        Item(
            source=one.photo.path,
            instruction=one.instruction,
            settings=one.settings,
            target=path_inside(folder, key),
            key=key,
            size=_size(one.photo.path),
            may_replace=overwrite,
        )
        for one, key in zip(wanted, keys, strict=True)
    ]
    if manifest is not None:
        items = _with_states(items, manifest, identity, redo)
    return Plan(
        folder=folder,
        items=tuple(items),
        batches=_batches(items, spec, size_of),
        identity=identity,
        noted=manifest is not None,
    )


def batch_size(said: int | None, device: str) -> BatchSize:
    """`said`, or by the device: on a CPU one picture at a time is as fast, on a GPU as many as it has memory for."""
    if said is not None:
        return lambda padded: said
    if device == "cpu":
        return lambda padded: 1
    return lambda padded: max(1, min(32, _PIXELS_AT_ONCE // (padded[0] * padded[1])))


def _size(path: Path) -> tuple[int, int] | None:
    try:
        return read_size(path)
    except Ip2pError:
        return None


def _keys(
    wanted: Sequence[Wanted], folder: Path, manifest: Manifest | None, identity: Mapping[str, Any], overwrite: bool
) -> list[str]:
    """An output for each: as named; else as an earlier run named it; else one of its own, numbered where needed."""
    earlier: dict[tuple[str, str], list[Entry]] = {}
    for entry in manifest.entries.values() if manifest else ():
        earlier.setdefault((entry.input, entry.instruction), []).append(entry)
    taken = {key.casefold() for key in manifest.entries} if manifest else set()
    _refuse_twice([name_inside(one.output) for one in wanted if one.output is not None])
    taken |= {name_inside(one.output).casefold() for one in wanted if one.output is not None}
    keys: list[str] = []
    for one in wanted:
        key = name_inside(one.output) if one.output is not None else None
        if key is None:
            entries = earlier.get((input_name(one.photo.path, folder), one.instruction), [])
            asked = {**identity, **asdict(one.settings)}
            entries.sort(key=lambda entry: entry.settings != asked)
            key = entries.pop(0).output if entries else None
        if key is None:
            plain = PurePath(one.photo.folder, f"{one.photo.path.stem}-{slug(one.instruction)}.png")
            key = numbered(folder, plain, taken, overwrite=overwrite).as_posix()
        keys.append(key)
        taken.add(key.casefold())
    return keys


def _refuse_twice(keys: Sequence[str]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key.casefold() in seen:
            raise UsageError(f"two rows name the output {key}: each needs its own.")
        seen.add(key.casefold())


def input_name(source: Path, folder: Path) -> str:
    """An input as the manifest names it: relative to the output folder, so that both may move together."""
    try:
        return Path(os.path.relpath(source, folder)).as_posix()
    except ValueError:  # another drive
        return source.absolute().as_posix()


def _with_states(items: Sequence[Item], manifest: Manifest, identity: Mapping[str, Any], redo: bool) -> list[Item]:
    states: list[State] = []
    changed: list[str] = []
    for item in items:
        states.append("done" if manifest.is_done(item.key) else "to do")
        if states[-1] == "done" and (what := _change(item, manifest, identity)):
            states[-1] = "redo"
            changed.append(f"{item.key}: {what}")
    if changed and not redo:
        raise UsageError(
            f"{printable(manifest.folder)}: {len(changed)} of {len(items)} results were made otherwise ({changed[0]}): "
            "give --redo to make them again, or another -o."
        )
    return [
        Item(**{**vars(item), "state": state, "may_replace": item.may_replace or _ours(item, manifest, state)})
        for item, state in zip(items, states, strict=True)
    ]


def _change(item: Item, manifest: Manifest, identity: Mapping[str, Any]) -> str | None:
    """What is another than when the item was done, for people; None where nothing is."""
    entry: Entry = manifest.entries[item.key]
    now = settings_of(item, identity)
    for name, value in now.items():
        if entry.settings.get(name) != value:
            return f"{name} {entry.settings.get(name)}, now {value}"
    if entry.instruction != item.instruction:
        return f"instruction “{entry.instruction}”, now “{item.instruction}”"
    name = input_name(item.source, manifest.folder)
    if entry.input != name:
        return f"photo {entry.input}, now {name}"
    return f"{name} has changed" if photo_changed(entry, item.source) else None


def _ours(item: Item, manifest: Manifest, state: State) -> bool:
    """Whether what stands at the output is what an earlier run made, untouched."""
    return state != "done" and manifest.made(item.key)


def _batches(items: Sequence[Item], spec: ModelSpec, size_of: BatchSize) -> tuple[tuple[int, ...], ...]:
    """Items of one padded size, sampler and step count, in the plan's order, as many as `size_of` allows."""
    full: list[tuple[int, ...]] = []
    filling: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        settings = item.settings
        if item.size is None:
            full.append((index,))
            continue
        try:
            padded = fit_for(item.size, settings, spec.multiple).padded
        except UsageError:  # it fails alone when its turn comes
            full.append((index,))
            continue
        group = filling.setdefault((padded, settings.sampler, settings.steps), [])
        group.append(index)
        if len(group) >= size_of(padded):
            full.append(tuple(group))
            group.clear()
    full += [tuple(group) for group in filling.values() if group]
    return tuple(sorted(full))
