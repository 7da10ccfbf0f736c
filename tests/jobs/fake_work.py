"""A job without models: each photo becomes two files, made of its bytes and of what was asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from ip2p_cli.io.inputs import InputPhoto
from ip2p_cli.jobs.item import Item, Outcome, Request
from ip2p_cli.jobs.job_work import OnUnits, Read, Saved
from ip2p_cli.jobs.manifest import open_manifest
from ip2p_cli.jobs.output_files import OutputFiles
from ip2p_cli.jobs.plan import Plan, make_plan
from ip2p_cli.jobs.runner import Runner


def some_photos(folder: Path, count: int = 3) -> list[Path]:
    """Small photos, each another one."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"photo-{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(path)
    return paths


def request_for(photo: Path, steps: int = 4, *, is_folder: bool = False, **more: Any) -> Request:
    """A request; `steps` decides the bytes of its files."""
    return Request(
        photo=InputPhoto(path=photo),
        task=steps,
        recipe={"edits": {"1": {"instruction": "night", "steps": steps, "weights": "w"}}},
        **{"name": PurePath(photo.stem if is_folder else photo.name), "is_folder": is_folder} | more,
    )


def files_of(request: Request, name: str) -> tuple[str, ...]:
    """Two files: beside each other, or in a folder."""
    return (f"{name}/a.png", f"{name}/index.json") if request.is_folder else (name, f"{name}.json")


def two_together(item: Item) -> tuple[Hashable, int] | None:
    """Groups of two of one size."""
    return item.size, 2


def data_of(item: Item, name: str, photo: bytes) -> bytes:
    """The bytes of a file."""
    return f"{name} {item.task} {hashlib.sha256(photo).hexdigest()}".encode()


class FakeWork:
    """Writes the files of items.

    Args:
        before_run: Called with the items of a group that are worked on, before they are.
        before_write: Called with an item before its files are written.
    """

    def __init__(
        self,
        before_run: Callable[[list[Item]], None] = lambda items: None,
        before_write: Callable[[Item], None] = lambda item: None,
    ) -> None:
        self._before_run, self._before_write = before_run, before_write
        self.groups: list[list[str]] = []

    def read(self, item: Item, files: OutputFiles) -> Read:
        photo = item.source.read_bytes()
        digest = hashlib.sha256(photo).hexdigest()
        keys = {name: f"{name} {item.task} {digest}" for name in item.files}
        missing = tuple(files.missing(keys))
        files.check_free(missing)
        return Read(work=(photo, files, keys), sha256=digest, missing=missing)

    def run(self, items: Sequence[Item], ready: Mapping[int, Read], on_units: OnUnits) -> Mapping[int, Any]:
        self._before_run([items[place] for place in ready])
        self.groups.append([item.name for item in items])
        on_units(sum(self.units(items[place]) for place in ready))
        return {place: partial(self._write, items[place], read) for place, read in ready.items()}

    def _write(self, item: Item, read: Read) -> Saved:
        photo, files, keys = read.work
        self._before_write(item)
        paths = [files.put(name, data_of(item, name, photo), keys[name]) for name in read.missing]
        return Saved(results=tuple(paths[:1]), records=({"steps": item.task},))

    def results(self, item: Item) -> Sequence[str]:
        return item.files[:1]

    def units(self, item: Item) -> int:
        return int(item.task)


def plan_job(
    folder: Path, requests: Iterable[Request], *, part: str = "", noted: bool = True, **more: Any
) -> tuple[Plan, Any]:
    """Plan a job; returns the plan and the manifest."""
    manifest = open_manifest(folder, part) if noted else None
    more = {"files_of": files_of, "group_of": two_together} | more
    return make_plan(list(requests), folder, manifest, **more), manifest


def plan(folder: Path, requests: Iterable[Request], **more: Any) -> Plan:
    """Plan a job; returns the plan."""
    return plan_job(folder, requests, **more)[0]


def run_job(folder: Path, requests: Iterable[Request], *, work: FakeWork | None = None, **more: Any) -> list[Outcome]:
    """Plan and run a job as a command does, from what the folder holds."""
    made, manifest = plan_job(folder, requests, **more)
    return list(Runner(plan=made, work=work or FakeWork(), manifest=manifest).run())


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder, without manifests and what killed processes left behind."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("ip2p-manifest", ".ip2p-"))
    }
