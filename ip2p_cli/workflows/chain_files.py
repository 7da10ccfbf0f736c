"""A chain's folder: a picture an edit, the results, a strip of them all, and chain.json, which is written last.

Each file is noted in the manifest before it gets its name, as `batch` does it, so that a process may die at any moment
and the next one can tell what is the chain's from what is the user's.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from ip2p_cli import __version__
from ip2p_cli.errors import OutputError
from ip2p_cli.io.comparison import animated_gif, animated_webp, strip
from ip2p_cli.io.files import open_regular, write_whole
from ip2p_cli.io.images import read_image
from ip2p_cli.io.manifest import Entry, Manifest, file_digest
from ip2p_cli.io.names import printable, reason
from ip2p_cli.io.output import encode_picture
from ip2p_cli.types import OutputOptions
from ip2p_cli.workflows.chain import ChainRun
from ip2p_cli.workflows.chain_plan import ChainPlan, Step
from ip2p_cli.workflows.saving import encoded

NOTES = "chain.json"
_MAX_NOTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of a photo's chain. made: whether anything was; else all was there. results: the last pictures.

    left: files of an earlier run in the folder that the chain no longer has.
    """

    made: bool
    results: tuple[Path, ...]
    notes: Mapping[str, Any]
    left: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Shelf:
    """A chain's folder, and what is known of its files.

    entry: what the manifest says of the chain itself, so far; its output is chain.json, relative to the manifest's
    folder. overwrite: whether files that nothing is known of may be replaced.
    """

    folder: Path
    manifest: Manifest
    entry: Entry
    overwrite: bool = False
    files: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> (key, sha256), as far as ours

    def look(self) -> None:
        """Find out which files were left by earlier runs, and not touched since."""
        self.manifest.refresh()
        notes = read_notes(self.folder)
        said = {name: (str(one.get("key")), one.get("sha256")) for name, one in _files(notes).items()}
        start = self.entry.output.removesuffix(NOTES)
        for output, entry in self.manifest.entries.items():
            name = output.removeprefix(start)
            if output.startswith(start) and "/" not in name and entry.sha256:
                said[name] = (str(entry.settings.get("key")), entry.sha256)
        self.files = {}
        for name, (key, sha256) in said.items():
            try:
                path = self.folder / name
                if Path(name).name == name and not path.is_symlink() and file_digest(path) == sha256:
                    self.files[name] = key, str(sha256)
            except OSError:
                continue
        if notes is not None:  # only ip2p writes such a file
            self.files.setdefault(NOTES, ("", ""))

    def is_there(self, name: str, key: str) -> bool:
        """Whether `name` was made with this key, and is untouched."""
        return name in self.files and self.files[name][0] == key

    def put(self, name: str, data: bytes, key: str, *, last: Entry | None = None) -> None:
        """Write one of the chain's files; last: the entry to note when it is there. OutputError."""
        path, sha256 = self.folder / name, hashlib.sha256(data).hexdigest()
        entry = Entry(
            output=self.entry.output.removesuffix(NOTES) + name,
            state="writing",
            input=self.entry.input,
            instruction=self.entry.instruction,
            settings={"key": key},
            input_sha256=self.entry.input_sha256,
            sha256=sha256,
        )
        entry = last or entry
        self.manifest.note(_as(entry, "writing", sha256))
        try:
            write_whole(path, data, overwrite=self.overwrite or name in self.files)
        except OutputError:
            if not _holds(path, sha256):  # else another process made the same meanwhile
                raise
        self.files[name] = key, sha256
        self.manifest.note(_as(entry, "done", sha256))


def _as(entry: Entry, state: str, sha256: str) -> Entry:
    return Entry(**{**vars(entry), "state": state, "sha256": sha256})


def _holds(path: Path, sha256: str) -> bool:
    try:
        return file_digest(path) == sha256
    except OSError:
        return False


def read_notes(folder: Path) -> dict[str, Any] | None:
    """What chain.json in `folder` says; None where there is none, or none of ours."""
    try:
        with os.fdopen(open_regular(folder / NOTES), "rb") as file:
            notes = json.loads(file.read(_MAX_NOTES))
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(notes, dict) and isinstance(notes.get("ip2p"), str) and isinstance(notes.get("edits"), list)
    return notes if ours and all(isinstance(one, dict) for one in notes["edits"]) else None


def earlier_edits(notes: Mapping[str, Any] | None) -> dict[tuple[str, int], Mapping[str, Any]]:
    """What chain.json says of its edits, by their place."""
    edits = notes["edits"] if notes else []
    return {
        (str(one.get("label")), one["edit"] - 1): one
        for one in edits
        if isinstance(one.get("edit"), int) and isinstance(one.get("key"), str)
    }


def keys_in(notes: Mapping[str, Any] | None) -> set[str]:
    """The keys of what the edits in chain.json left in the cache."""
    return {str(one["key"]) for one in earlier_edits(notes).values()}


def names_of(plan: ChainPlan, saving: OutputOptions) -> list[str]:
    """The files that a chain leaves, chain.json aside."""
    return [*plan.pictures(), *_extras(plan, saving)]


def write_chain(
    run: ChainRun, shelf: Shelf, *, saving: OutputOptions, seconds: Callable[[], float] | None = None
) -> Written:
    """Make what is missing in the shelf's folder. A file that is there already and is not what would be made stays.

    seconds: gives, when all is done, how long it took, for the manifest. Raises OutputError for a file that is in the
    way, before any work.
    """
    folder, plan = shelf.folder, run.plan
    wanted = {name: (step, _picture_key(run, step)) for name, step in plan.pictures().items()}
    extras = {name: _extra_key(run, path, name) for name, path in _extras(plan, saving).items()}
    shelf.look()
    keys = {name: key for name, (_, key) in wanted.items()} | extras
    missing = [name for name, key in keys.items() if not shelf.is_there(name, key)]
    _check_free(shelf, [*missing, NOTES])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{printable(folder)}: cannot be made ({reason(error)}): give another -o") from error
    done: dict[str, bytes] = {}
    for name in (name for name in missing if name in wanted):
        step, key = wanted[name]
        if key not in done:
            image = run.image(step)
            record = {**run.record(step, image.size), "quality": saving.quality}
            done[key] = encoded(image, folder / name, run.picture, record, saving)
        shelf.put(name, done[key], key)
    done.clear()
    shown = _Shown(run, folder)
    for name in (name for name in missing if name in extras):
        shelf.put(name, shown.drawn(name, _extras(plan, saving)[name]), extras[name])
    left = tuple(sorted(set(shelf.files) - set(keys) - {NOTES}))
    notes = _notes(run, {name: shelf.files[name] for name in keys})
    data = (json.dumps(notes, indent=2, default=str) + "\n").encode()
    entry = shelf.entry if seconds is None else Entry(**{**vars(shelf.entry), "seconds": round(seconds(), 3)})
    made = bool(missing) or not _holds(folder / NOTES, hashlib.sha256(data).hexdigest())
    shelf.put(NOTES, data, "", last=entry)
    results = tuple(folder / plan.result_file(path) for path in plan.paths)
    return Written(made=made, results=results, notes=notes, left=left)


def _check_free(shelf: Shelf, names: list[str]) -> None:
    """Raise OutputError for a file that would have to be replaced, and is nobody knows whose."""
    if shelf.overwrite:
        return

    def strangers() -> list[Path]:
        paths = [shelf.folder / name for name in names if name not in shelf.files]
        return [path for path in paths if path.is_symlink() or path.exists()]

    if strangers():
        shelf.look()  # another process may have made it since: it noted so first
    for path in strangers():
        raise OutputError(
            f"{printable(path)} exists already, and is not what an earlier run left: use --overwrite or another -o"
        )


def _picture_key(run: ChainRun, step: Step) -> str:
    return f"{run.keys[step.place]} {step.settings.output_size}"


def _extras(plan: ChainPlan, saving: OutputOptions) -> dict[str, tuple[tuple[Step, ...], ...]]:
    """What is drawn of the pictures, by the file's name, and the paths that it shows."""
    found: dict[str, tuple[tuple[Step, ...], ...]] = {"strip.png": plan.paths}
    for ending, asked in (("gif", saving.gif), ("webp", saving.webp)):
        for path in plan.paths if asked else ():
            stem = Path(plan.result_file(path)).stem
            # Beside results that are WebP themselves.
            found[f"{stem}-animated.{ending}" if ending == plan.kind else f"{stem}.{ending}"] = (path,)
    return found


def _extra_key(run: ChainRun, paths: tuple[tuple[Step, ...], ...], name: str) -> str:
    rows = [[_picture_key(run, step) for step in _shown(path)] for path in paths]
    return hashlib.sha256(json.dumps([run.picture.digest, run.plan.kind, Path(name).suffix, rows]).encode()).hexdigest()


def _shown(path: tuple[Step, ...]) -> list[Step]:
    return [*(step for step in path[:-1] if step.save), path[-1]]


class _Shown:
    """Draws a chain's strip and animations out of its pictures."""

    def __init__(self, run: ChainRun, folder: Path) -> None:
        self._run, self._folder = run, folder
        self._pictures: dict[str, Image.Image] = {}

    def drawn(self, name: str, paths: tuple[tuple[Step, ...], ...]) -> bytes:
        """The bytes of the file `name`, which shows `paths`, a row each."""
        rows = [[self._photo(), *(self._picture(step, path) for step in _shown(path))] for path in paths]
        if name.endswith(".gif"):
            return animated_gif(rows[0])
        if name.endswith(".webp"):
            return animated_webp(rows[0])
        return encode_picture(strip(rows), self._folder / name)

    def _photo(self) -> Image.Image:
        if "" not in self._pictures:
            self._pictures[""] = self._run.picture.rgb.copy()
            self._pictures[""].thumbnail((1200, 1200))
        return self._pictures[""]

    def _picture(self, step: Step, path: tuple[Step, ...]) -> Image.Image:
        plan = self._run.plan
        name = plan.result_file(path) if step is path[-1] else plan.file_of(step)
        if name not in self._pictures:
            self._pictures[name] = read_image(self._folder / name).rgb
            self._pictures[name].thumbnail((1200, 1200))
        return self._pictures[name]


def _files(notes: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    files = (notes or {}).get("files")
    return {str(n): one for n, one in files.items() if isinstance(one, dict)} if isinstance(files, dict) else {}


def _notes(run: ChainRun, files: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    plan = run.plan
    edits = [
        {
            "edit": step.position + 1,
            "label": step.label,
            "name": step.name,
            **run.made(step),
            "file": plan.file_of(step) if step.save else None,
            "key": run.keys[step.place],
        }
        for step in plan.steps
    ]
    return {
        "ip2p": __version__,
        "recipe": plan.name,
        "handoff": plan.handoff,
        "guard": plan.guard,
        "input": run.picture.path.name,
        "input_sha256": run.picture.digest,
        "edits": edits,
        "results": [
            {"file": plan.result_file(path), "edits": [step.instruction for step in path]} for path in plan.paths
        ],
        "files": {name: {"key": key, "sha256": sha256} for name, (key, sha256) in files.items()},
    }
