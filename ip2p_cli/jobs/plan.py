"""What a job will do, before any model loads: output names, what is done already, which items go together."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ip2p_cli.errors import InputError, Ip2pError, UsageError
from ip2p_cli.io.files import name_inside, path_inside
from ip2p_cli.io.images import read_size
from ip2p_cli.io.names import printable
from ip2p_cli.jobs.item import Item, Request, State
from ip2p_cli.jobs.manifest import Entry, Manifest, file_digest, photo_changed

FilesOf = Callable[[Request, str], tuple[str, ...]]
# (what must be equal for items to share a group, the most items of a group); None for an item that stays alone.
GroupOf = Callable[[Item], tuple[Hashable, int] | None]
Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All items of a job, in order, and their groups.

    Attributes:
        folder: The output folder.
        groups: Indices of items that go through the model together. They follow from all items, done or not, so that a
            job that is continued gives the same bytes.
        has_manifest: Whether results are noted in a manifest, so that the same command continues the job.
    """

    folder: Path
    items: tuple[Item, ...]
    groups: Groups
    has_manifest: bool

    def part(self, index: int, count: int) -> Plan:
        """Return the plan with only the groups of part `index` (from 1) of `count`."""
        return replace(self, groups=self.groups[index - 1 :: count])

    @property
    def indices(self) -> list[int]:
        """The indices of the items in the plan's groups, in order."""
        return sorted(index for group in self.groups for index in group)

    @property
    def open_groups(self) -> Groups:
        """The groups in which something is left to do."""
        return tuple(group for group in self.groups if any(self.items[index].state != "done" for index in group))

    @property
    def to_do(self) -> list[int]:
        """The indices of the items that are left to do."""
        return [index for index in self.indices if self.items[index].state != "done"]


def make_plan(
    requests: Sequence[Request],
    folder: Path,
    manifest: Manifest | None,
    *,
    files_of: FilesOf,
    group_of: GroupOf,
    redo: bool = False,
    redo_verdicts: Collection[str] = (),
    overwrite: bool = False,
) -> Plan:
    """Decide the names, the state and the groups of all items.

    Args:
        requests: What was asked for.
        folder: The output folder.
        manifest: What earlier runs noted in `folder`; None if nothing is noted. Then every item is to do.
        files_of: Gives an item's files, relative to the folder, from the request and the item's name.
        group_of: Decides which items share a group.
        redo: Make again what was made with another recipe.
        redo_verdicts: Make again only what was made with another recipe and got one of these verdicts; what got another
            one counts as done.
        overwrite: Files that no run made may be replaced.

    Returns:
        The plan.

    Raises:
        UsageError: Two requests name one output, a name leads out of the folder, results were made with another
            recipe and `redo` is False, or what `redo_verdicts` names would come out the same.
    """
    if manifest is not None and manifest.earlier_inputs:
        raise UsageError(f"{printable(folder)}: made by ip2p 0.1, which cannot be continued: give another -o")
    names = _Names(folder, manifest, files_of, overwrite).decide(requests)
    items = [
        Item(
            source=request.photo.path,
            name=name,
            files=files_of(request, name),
            task=request.task,
            recipe=request.recipe,
            title=request.title,
            size=_size(request.photo.path),
            overwrite=overwrite,
            lacks_more=request.lacks_more,
        )
        for request, name in zip(requests, names, strict=True)
    ]
    for item in items:
        path_inside(folder, item.files[0])
    if manifest is not None:
        items = _with_states(items, manifest, redo, redo_verdicts)
    return Plan(folder=folder, items=tuple(items), groups=_groups(items, group_of), has_manifest=manifest is not None)


def input_name(source: Path, folder: Path) -> str:
    """Return a photo's path relative to the output folder, so that both may move together."""
    try:
        return Path(os.path.relpath(source, folder)).as_posix()
    except ValueError:  # another drive
        return source.absolute().as_posix()


def difference(then: Any, now: Any, name: str = "recipe") -> str | None:
    """Describe the first difference between two recipes, e.g. "edit 2: steps 4, now 2"; None if they are equal.

    A hash of weights that is None now is unknown, since the model is not on this machine: it counts as equal.
    """
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in [*now, *(key for key in then if key not in now)]:
            if found := difference(then.get(key), now.get(key), f"edit {key}" if name == "edits" else str(key)):
                is_one_of_several = name == "edits" and max(len(then), len(now)) > 1 and not found.startswith("edit ")
                return f"edit {key}: {found}" if is_one_of_several else found
        return None
    if then == now or (name == "weights" and now is None):
        return None
    if isinstance(then, Mapping) or isinstance(now, Mapping):
        return f"{name} is new" if then is None else f"{name} is another" if now is not None else f"{name} is gone"
    return f"{name} {then}, now {now}"


def is_done(item: Item, manifest: Manifest) -> bool:
    """Whether an item with this recipe is done, whichever process did it, and all its files exist."""
    entry = manifest.entries.get(item.name)
    if item.lacks_more or not _files_exist(item, manifest.folder):
        return False
    return entry is not None and entry.state == "done" and changed(item, entry, manifest.folder) is None


def changed(item: Item, entry: Entry, folder: Path) -> str | None:
    """Describe how an item differs from what an earlier run noted; None if it does not."""
    if found := difference(entry.recipe, item.recipe):
        return found
    if entry.title != item.title:
        return f"“{entry.title}”, now “{item.title}”"
    name = input_name(item.source, folder)
    if entry.input != name:
        return f"photo {entry.input}, now {name}"
    return f"{name} has changed" if photo_changed(entry, item.source) else None


class _Names:
    """Gives each request a name: the user's, else an earlier run's, else one of its own, numbered where needed."""

    def __init__(self, folder: Path, manifest: Manifest | None, files_of: FilesOf, overwrite: bool) -> None:
        self._folder, self._files_of, self._overwrite = folder, files_of, overwrite
        self._earlier: dict[tuple[str, str], list[Entry]] = {}
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}
        for entry in manifest.entries.values() if manifest else ():
            self._earlier.setdefault((entry.input, entry.title), []).append(entry)
            self._taken.add(entry.name.casefold())

    def decide(self, requests: Sequence[Request]) -> list[str]:
        """Return the names, in order; raises UsageError where two requests name one output."""
        given: set[str] = set()
        for request in requests:
            for name in self._files_of(request, name_inside(request.output)) if request.output is not None else ():
                if name.casefold() in given:
                    raise UsageError(f"two edits name the output {name}: each needs its own.")
                given.add(name.casefold())
        self._taken |= given
        return [name_inside(one.output) if one.output is not None else self._own(one) for one in requests]

    def _own(self, request: Request) -> str:
        entries = self._earlier.get((input_name(request.photo.path, self._folder), request.title), [])
        entries.sort(key=lambda entry: entry.recipe != request.recipe)
        return entries.pop(0).name if entries else self._free(request)

    def _free(self, request: Request) -> str:
        """The first of name.png, name-2.png, … that nothing else takes."""
        plain = request.name.as_posix()
        number = self._numbers.get(plain, 1)
        while True:
            stem = f"{request.name.stem}-{number}" if number > 1 else request.name.stem
            name = request.name.with_name(stem + request.name.suffix).as_posix()
            number += 1
            files = [name] if request.is_folder else list(self._files_of(request, name))
            if any(file.casefold() in self._taken for file in files):
                continue
            exists = os.path.lexists(self._folder / name)
            if exists and not self._overwrite and not (request.is_folder and (self._folder / name).is_dir()):
                continue
            self._numbers[plain] = number
            self._taken |= {file.casefold() for file in files}
            return name


def _size(path: Path) -> tuple[int, int] | None:
    try:
        return read_size(path)
    except Ip2pError:
        return None


def _with_states(
    items: Sequence[Item], manifest: Manifest, redo: bool, redo_verdicts: Collection[str] = ()
) -> list[Item]:
    states: list[State] = []
    changes: list[str] = []
    same: list[str] = []
    for item in items:
        entry = manifest.entries.get(item.name)
        is_made = entry is not None and entry.state == "done" and _result_exists(item, manifest.folder)
        what = changed(item, entry, manifest.folder) if entry is not None and is_made else None
        if entry is not None and what and redo_verdicts and _has_other_settings(item, entry, manifest.folder):
            states.append("redo" if _has_verdict(entry, redo_verdicts) else "done")
        elif what:
            changes.append(f"{item.name}: {what}")
            states.append("redo")
        else:
            states.append("done" if is_done(item, manifest) else "to do")
            if entry is not None and states[-1] == "done" and _has_verdict(entry, redo_verdicts):
                same.append(item.name)
    if changes and not redo:
        raise UsageError(
            f"{printable(manifest.folder)}: {len(changes)} of {len(items)} results were made otherwise ({changes[0]}): "
            "give --redo to make them again, or another -o."
        )
    if same and all(state == "done" for state in states):  # otherwise a job that was interrupted goes on
        raise UsageError(
            f"--redo-verdict: {len(same)} of {len(items)} results would come out the same ({same[0]}): give another "
            "--seed or scale."
        )
    verdicts = {name: entry.verdicts for name, entry in manifest.entries.items() if entry.state == "done"}
    return [
        replace(item, state=state, verdicts=verdicts.get(item.name) if state == "done" else None)
        for item, state in zip(items, states, strict=True)
    ]


def _has_other_settings(item: Item, entry: Entry, folder: Path) -> bool:
    """Whether an item differs from what was noted in its recipe alone, not in its photo."""
    return changed(replace(item, recipe=entry.recipe), entry, folder) is None


def _has_verdict(entry: Entry, wanted: Collection[str]) -> bool:
    return any(one.get("verdict") in wanted for one in entry.verdicts or ())


def _files_exist(item: Item, folder: Path) -> bool:
    return all(os.path.lexists(folder / file) for file in item.files)


def _result_exists(item: Item, folder: Path) -> bool:
    return os.path.lexists(folder / item.name)


def _groups(items: Sequence[Item], group_of: GroupOf) -> Groups:
    """Items of one shape in the plan's order, as many as a group takes."""
    full: list[tuple[int, ...]] = []
    filling: dict[Hashable, list[int]] = {}
    for index, item in enumerate(items):
        shape = group_of(item)
        if shape is None:
            full.append((index,))
            continue
        group = filling.setdefault(shape[0], [])
        group.append(index)
        if len(group) >= shape[1]:
            full.append(tuple(group))
            group.clear()
    full += [tuple(group) for group in filling.values() if group]
    return tuple(sorted(full))


def check_readable(photos: Sequence[Path], manifest: Manifest | None) -> None:
    """Raise what is wrong with a single photo before a folder is made for it.

    Among several photos it fails alone, later. A photo that earlier runs may have done need not exist any more.
    """
    if len(photos) == 1 and not (manifest and manifest.entries):
        read_size(photos[0])


def same_photo(source: Path, sha256: object) -> bool:
    """Whether a file has this content."""
    try:
        return file_digest(source) == sha256
    except (OSError, InputError):
        return False
