"""The manifest of a folder of results: JSON lines, a line for each thing that happened, never rewritten.

Before a picture gets its name its item is noted as `writing`, with the hash of the bytes; afterwards as `done`. So,
whenever a process dies, the next one can tell a result that is whole from a file of the user's. Lines are appended with
one write each: several processes may share a folder (each shard and each Ray worker has a file of its own).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ip2p_cli.errors import InputError, OutputError, UsageError
from ip2p_cli.io.files import name_inside, open_regular, path_inside
from ip2p_cli.io.names import printable, reason

_STEM = "ip2p-manifest"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The last that a manifest says of an item.

    output: the file's path in the folder, with slashes; an item's key. state: "writing", "done" or "failed".
    settings: everything that decides the pixels, by name. sha256: of the output's bytes.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    output: str
    state: str
    input: str
    instruction: str
    settings: Mapping[str, Any]
    input_sha256: str | None = None
    input_stamp: str | None = None
    sha256: str | None = None
    seconds: float | None = None
    reason: str | None = None


_ENTRY = TypeAdapter(Entry)


@dataclass(kw_only=True)
class Manifest:
    """What the manifests of `folder` say, and where this process appends to."""

    folder: Path
    own: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    seed: int | None = None  # drawn by the first run that named none
    _read: dict[Path, int] = field(default_factory=dict)  # bytes taken in, by file
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def refresh(self) -> None:
        """Take in what was appended since the last time, by whichever process. Raises InputError where a file
        cannot be read; a line that was cut short by a crash is skipped."""
        with self._lock:
            for path in sorted(self.folder.glob(f"{_STEM}*.jsonl")):
                for line in _lines(path, self._read):
                    self._take(line)

    def note(self, entry: Entry) -> None:
        """Append `entry`; OutputError where that is not possible."""
        with self._lock:
            self._append({"item": {k: v for k, v in vars(entry).items() if v is not None}})
            self.entries[entry.output] = entry

    def note_seed(self, seed: int) -> int:
        """Append the seed that was drawn for this folder; returns the one that holds, which came first."""
        self._append({"seed": seed})
        self.refresh()
        return self.seed if self.seed is not None else seed

    def is_done(self, output: str) -> bool:
        """Whether `output` was made by an earlier run and is still there; also one that died before it could say so."""
        entry = self.entries.get(output)
        if entry is None or entry.state == "failed":
            return False
        path = path_inside(self.folder, output)
        if not path.is_file():
            return False
        return entry.state == "done" or entry.sha256 == file_digest(path)

    def made(self, output: str) -> bool:
        """Whether the file `output` is what a run made, and unchanged since: only then may it be replaced."""
        entry = self.entries.get(output)
        if entry is None or entry.sha256 is None:
            return False
        path = path_inside(self.folder, output)
        try:
            return path.is_file() and not path.is_symlink() and file_digest(path) == entry.sha256
        except OSError:
            return False

    def _take(self, line: Mapping[str, Any]) -> None:
        if isinstance(line.get("seed"), int) and self.seed is None:
            self.seed = line["seed"]
        item = line.get("item")
        if isinstance(item, dict):
            try:
                entry = _ENTRY.validate_json(json.dumps(item), strict=True)
                name_inside(entry.output)
            except (ValidationError, UsageError):  # of another version, or made to lead out of the folder
                return
            before = self.entries.get(entry.output)
            # A second process that found the result there, or failed on it, does not undo the first one's success.
            if before is None or before.state != "done" or entry.state == "done" or _other_work(before, entry):
                self.entries[entry.output] = entry

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
    """The manifest of `folder`, read. part: a name for this process's own file, such as "1-of-4" for a shard."""
    manifest = Manifest(folder=folder, own=folder / f"{_STEM}{'.' + part if part else ''}.jsonl")
    manifest.refresh()
    return manifest


def file_digest(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_stamp(path: Path) -> str | None:
    """What changes when a file is written to: its size and time. None where it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_size}-{status.st_mtime_ns}"


def photo_changed(entry: Entry, source: Path) -> bool:
    """Whether the photo `source` has another content than when `entry` was noted; one that is gone has not."""
    stamp = file_stamp(source)
    if stamp is None or stamp == entry.input_stamp:
        return False
    try:
        return file_digest(source) != entry.input_sha256
    except OSError:
        return False


def _other_work(before: Entry, now: Entry) -> bool:
    return before.settings != now.settings or before.input_sha256 != now.input_sha256


def _last_byte(descriptor: int, size: int) -> bytes:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1)


def _lines(path: Path, read: dict[Path, int]) -> Iterator[Mapping[str, Any]]:
    """The whole lines after those that were read before; `read` is moved on."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            file.seek(read.get(path, 0))
            for line in file:
                if not line.endswith(b"\n"):  # being written, or cut short: looked at again next time
                    return
                read[path] = read.get(path, 0) + len(line)
                try:
                    content = json.loads(line)
                except ValueError:
                    continue
                if isinstance(content, dict):
                    yield content
    except OSError as error:
        raise InputError(f"{printable(path)}: {reason(error)}: check its permissions") from error
