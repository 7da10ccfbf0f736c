"""The manifest of an output folder: JSON lines that are only ever appended.

Three kinds of lines:

    {"seed": 7}                                    the seed drawn by the first run that named none
    {"file": {"name", "key", "sha256"}}            this file is about to get its name
    {"item": {"name", "state", "recipe", …}}       an item's files are about to be written; it is done; it failed

An item is noted before its first file is written, and a file before it gets its name. After a crash at any moment the
next run therefore gives the item the same name, and can tell files of ip2p, which it may replace, from files of the
user. Every hash that was noted for a name counts, not only the last one. Each process (shard, Ray worker) appends to a
file of its own; all of them are read together.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ip2p_cli.errors import InputError, OutputError, UsageError
from ip2p_cli.io.files import name_inside, open_regular, path_inside
from ip2p_cli.io.names import printable, reason

_STEM = "ip2p-manifest"
MAX_SEED = 2**63 - 1
_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, kw_only=True)
class FileNote:
    """A file that was about to get its name.

    Attributes:
        name: The file relative to the manifest's folder, with slashes.
        key: A hash of everything that decides the file's bytes.
        sha256: Of the file's bytes.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    key: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What became of an item.

    Attributes:
        name: The item's name, see `jobs.item.Item`.
        state: "started", "done", "failed", or "skipped" if it was left out.
        number: Counts the entries of the item, over all processes: of other work the highest counts.
        input: The photo relative to the manifest's folder, so that both may move together.
        recipe: Everything that decided the outputs' bytes besides the photo.
        title: See `jobs.item.Request`.
        input_sha256: Of the photo's bytes.
        input_stamp: The photo's size and time of change, see `file_stamp`.
        reason: Why it failed or was left out.
        verdicts: What is said of each result: "verdict", and more.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    state: str
    input: str
    recipe: Mapping[str, Any]
    title: str = ""
    number: int = 1
    input_sha256: str | None = None
    input_stamp: str | None = None
    seconds: float | None = None
    reason: str | None = None
    verdicts: tuple[Mapping[str, Any], ...] | None = None


_ENTRY, _FILE = TypeAdapter(Entry), TypeAdapter(FileNote)


@dataclass(kw_only=True)
class Manifest:
    """What the manifests of a folder say, and the file that this process appends to.

    Attributes:
        folder: The output folder.
        own: The file that this process appends to.
        entries: The last entry of each item, by name.
        files: All notes of each file, by name.
        seed: The seed that was drawn for the folder, if any.
        earlier_inputs: Output -> input of lines that ip2p 0.1 wrote. Such a folder is not continued.
    """

    folder: Path
    own: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    files: dict[str, list[FileNote]] = field(default_factory=dict)
    seed: int | None = None
    earlier_inputs: dict[str, str] = field(default_factory=dict)
    _read: dict[Path, int] = field(default_factory=dict)  # bytes read so far, by file
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def refresh(self) -> None:
        """Read what any process appended since the last time.

        Raises:
            InputError: A file cannot be read. A line that a crash cut short is skipped.
        """
        with self._lock:
            for path in sorted(self.folder.glob(f"{_STEM}*.jsonl")):
                for line in _new_lines(path, self._read):
                    self._take(line)

    def note(self, entry: Entry) -> None:
        """Append an item's entry, with the number that follows; raises OutputError."""
        with self._lock:
            before = self.entries.get(entry.name)
            entry = replace(entry, number=before.number + 1 if before is not None else 1)
            self._append({"item": {name: value for name, value in vars(entry).items() if value is not None}})
            self._take_entry(entry)

    def note_file(self, note: FileNote) -> None:
        """Append that a file is about to get its name; raises OutputError."""
        with self._lock:
            self._append({"file": vars(note)})
            self.files.setdefault(note.name, []).append(note)

    def note_seed(self, seed: int) -> int:
        """Append the seed that was drawn for this folder; returns the one that came first, which holds."""
        self._append({"seed": seed})
        self.refresh()
        return self.seed if self.seed is not None else seed

    def is_ours(self, name: str) -> bool:
        """Whether the file `name` is what a run wrote, and unchanged since: only then may it be replaced.

        So may an empty file: a run that was killed reserved the name, on a disk without hard links.
        """
        digest = self._digest(name)
        return digest is not None and digest in {_EMPTY, *(note.sha256 for note in self.files[name])}

    def has(self, name: str, key: str) -> bool:
        """Whether the file `name` is what a run wrote for `key`, and unchanged since."""
        hashes = {note.sha256 for note in self.files.get(name, ()) if note.key == key}
        return bool(hashes) and self._digest(name) in hashes

    def _digest(self, name: str) -> str | None:
        """The hash of a file that was noted; None if it was not, or is no regular file now."""
        if name not in self.files:
            return None
        path = path_inside(self.folder, name)
        try:
            return file_digest(path) if path.is_file() and not path.is_symlink() else None
        except OSError:
            return None

    def _take(self, line: Mapping[str, Any]) -> None:
        seed = line.get("seed")
        if type(seed) is int and 0 <= seed <= MAX_SEED and self.seed is None:
            self.seed = seed
        item, file = line.get("item"), line.get("file")
        try:
            if isinstance(item, dict) and "settings" in item:
                self.earlier_inputs[name_inside(item.get("output"))] = str(item.get("input"))
            elif isinstance(item, dict):
                self._take_entry(_ENTRY.validate_json(json.dumps(item), strict=True))
            elif isinstance(file, dict):
                note = _FILE.validate_json(json.dumps(file), strict=True)
                self.files.setdefault(name_inside(note.name), []).append(note)
        except (ValidationError, UsageError):
            return  # written by another version, or made to lead out of the folder

    def _take_entry(self, entry: Entry) -> None:
        before = self.entries.get(name_inside(entry.name))
        if before is None or _counts_more(entry, before):
            self.entries[entry.name] = entry

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            self.own.parent.mkdir(parents=True, exist_ok=True)
            data = (json.dumps(line, ensure_ascii=True) + "\n").encode()
            descriptor = open_regular(self.own, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            try:
                size = os.fstat(descriptor).st_size
                if size and _last_byte(descriptor, size) != b"\n":  # cut short by a crash: begin a line of its own
                    data = b"\n" + data
                if os.write(descriptor, data) != len(data):
                    raise OSError(28, "no space left on device")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise OutputError(f"{printable(self.own)}: {reason(error)}: choose another place with -o") from error


def open_manifest(folder: Path, part: str = "") -> Manifest:
    """Read the manifests of a folder.

    Args:
        folder: The output folder. It need not exist.
        part: Names this process's own file, e.g. "1-of-4" for a shard.

    Returns:
        The manifest.

    Raises:
        InputError: A manifest cannot be read, is a link, or is not a regular file.
    """
    manifest = Manifest(folder=folder, own=folder / f"{_STEM}{'.' + part if part else ''}.jsonl")
    manifest.refresh()
    return manifest


def has_manifest(folder: Path) -> bool:
    """Whether a folder holds a manifest."""
    return any(folder.glob(f"{_STEM}*.jsonl"))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_stamp(path: Path) -> str | None:
    """Return a file's size and time of change, which change when it is written to; None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_size}-{status.st_mtime_ns}"


def photo_changed(entry: Entry, source: Path) -> bool:
    """Whether the photo has other content than when `entry` was noted; False if it does not exist any more."""
    stamp = file_stamp(source)
    if stamp is None or stamp == entry.input_stamp:
        return False
    try:
        return file_digest(source) != entry.input_sha256
    except OSError:
        return False


def _counts_more(entry: Entry, before: Entry) -> bool:
    """Whether `entry` replaces `before`, which was read earlier, but perhaps written later by another process."""
    is_same_work = (before.recipe, before.input_sha256) == (entry.recipe, entry.input_sha256)
    if is_same_work and (before.state == "done") != (entry.state == "done"):
        return entry.state == "done"  # a second process that failed does not undo the first one's success
    return entry.number >= before.number


def _last_byte(descriptor: int, size: int) -> bytes:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1)


def _new_lines(path: Path, read: dict[Path, int]) -> Iterator[Mapping[str, Any]]:
    """Yield the whole lines after the first `read[path]` bytes, and count them there."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            file.seek(read.get(path, 0))
            for line in file:
                if not line.endswith(b"\n"):  # being written, or cut short: read again next time
                    return
                read[path] = read.get(path, 0) + len(line)
                try:
                    content = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(content, dict):
                    yield content
    except OSError as error:
        raise InputError(f"{printable(path)}: {reason(error)}: check its permissions") from error
