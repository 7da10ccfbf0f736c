"""Numbered shards: how the stages of data generation hand on their rows, and know what is done.

A shard is a file of JSON lines, or, where rows have pictures, a tar in WebDataset's layout (`{key}.original.jpg`,
`{key}.edited.jpg`, `{key}.json`). Its marker `NNNNN.done.json` is written last: a shard without one is not there, so
that a process may die at any moment. The same rows give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.files import as_output_error, write_whole
from ip2p_cli.io.names import printable, reason

Kind = Literal["jsonl", "tar"]
Row = Mapping[str, Any]

_ABOUT = "stage.json"
_STALE_SECONDS = 3600  # a temporary file that nobody wrote to for so long was left by a process that died
_MAX_ROW = 64 << 20  # bytes of a line or of a picture


@dataclass(frozen=True, kw_only=True)
class Marker:
    """What a whole shard holds. source: the sha256 of what it was made from. counts: of what was dropped, by reason."""

    number: int
    rows: int
    sha256: str
    source: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A row and its pictures, by name ("original.jpg"), as encoded bytes."""

    row: Row
    pictures: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The shards of one stage, in a folder of their own."""

    folder: Path
    kind: Kind = "jsonl"

    def path(self, number: int) -> Path:
        """Where shard `number` is, or would be."""
        return self.folder / f"{number:05d}.{self.kind}"

    def marker_path(self, number: int) -> Path:
        """Where its marker is, or would be."""
        return self.folder / f"{number:05d}.done.json"

    def done(self) -> dict[int, Marker]:
        """The markers of the whole shards, in order."""
        found = {}
        for path in sorted(self.folder.glob("*.done.json")):
            marker = _read_marker(path)
            if marker is not None and self.path(marker.number).is_file():
                found[marker.number] = marker
        return found

    def begin(self, settings: Row, *, redo: bool = False) -> None:
        """Make the folder, and note what its shards are made with.

        Raises UsageError where an earlier run used other settings; with `redo` its shards are deleted first.
        """
        about = self.about()
        said = json.loads(json.dumps(settings))
        if about == said and not redo:
            return
        if about is not None and not redo:
            changed = sorted(key for key in {*about, *said} if about.get(key) != said.get(key))
            shown = ", ".join(f"{key} {about.get(key)!r}, now {said.get(key)!r}" for key in changed[:3])
            raise UsageError(
                f"{printable(self.folder)} was made with other settings ({shown}): --redo makes it anew, or give "
                "another folder"
            )
        for number in self.done() if redo else ():
            self.marker_path(number).unlink(missing_ok=True)  # first: what has no marker is not there
            self.path(number).unlink(missing_ok=True)
        with as_output_error(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / _ABOUT, (json.dumps(said, indent=2) + "\n").encode(), overwrite=True)

    def about(self) -> dict[str, Any] | None:
        """The settings that `begin` noted; None where there are none."""
        try:
            found = json.loads((self.folder / _ABOUT).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    @contextmanager
    def writing(self, number: int, source: str = "") -> Iterator[ShardWriter]:
        """A writer of shard `number`; it gets its name, then its marker, when the block ends without an exception.

        Raises OutputError where that is not possible.
        """
        began, path = time.monotonic(), self.path(number)
        self._sweep(number)
        temporary = self.folder / f".{path.name}-{secrets.token_hex(4)}.tmp"
        with as_output_error(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("xb") as file:
                    writer = ShardWriter(file, self.kind)
                    yield writer
                    writer.finish()
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        marker = Marker(
            number=number,
            rows=writer.rows,
            sha256=writer.sha256,
            source=source,
            counts=dict(sorted(writer.counts.items())),
            seconds=round(time.monotonic() - began, 3),
        )
        write_whole(self.marker_path(number), (json.dumps(asdict(marker)) + "\n").encode(), overwrite=True)

    def marker(self, number: int) -> Marker:
        """The marker of a shard; InputError where the shard is not whole."""
        marker = _read_marker(self.marker_path(number))
        if marker is None:
            raise InputError(f"{printable(self.path(number))} is not whole: run the stage that writes it again")
        return marker

    def rows(self, number: int) -> Iterator[dict[str, Any]]:
        """The rows of a shard, without their pictures. Raises InputError where it cannot be read."""
        yield from (dict(sample.row) for sample in self.samples(number, pictures=False))

    def samples(self, number: int, *, pictures: bool = True) -> Iterator[Sample]:
        """The rows of a shard with their pictures, one at a time. Raises InputError where it cannot be read."""
        path = self.path(number)
        try:
            if self.kind == "jsonl":
                with path.open("rb") as file:
                    for line in file:
                        yield Sample(row=json.loads(line))
            else:
                yield from _tar_samples(path, pictures)
        except OSError as error:
            raise InputError(f"{printable(path)}: {reason(error)}: run the stage that writes it again") from error
        except (ValueError, tarfile.TarError) as error:
            raise InputError(f"{printable(path)} is damaged: delete its .done.json and run its stage again") from error

    def _sweep(self, number: int) -> None:
        """Drop what a process that died left of this shard."""
        for path in self.folder.glob(f".{self.path(number).name}-*.tmp"):
            try:
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()
            except OSError:
                continue


class ShardWriter:
    """Takes the rows of a shard; see `Shards.writing`."""

    def __init__(self, file: IO[bytes], kind: Kind) -> None:
        self.rows, self.counts = 0, Counter[str]()
        self._file, self._hash = file, hashlib.sha256()
        sink: Any = _Hashed(file, self._hash)
        self._tar = tarfile.TarFile.open(fileobj=sink, mode="w|") if kind == "tar" else None

    @property
    def sha256(self) -> str:
        """Of the bytes so far, in hex."""
        return self._hash.hexdigest()

    def add(self, row: Row, pictures: Mapping[str, bytes] | None = None) -> None:
        """Append a row; with pictures it needs a `key` without dots and slashes."""
        text = json.dumps(row, ensure_ascii=False, sort_keys=self._tar is not None).encode()
        if self._tar is None:
            self._hash.update(text + b"\n")
            self._file.write(text + b"\n")
        else:
            key = str(row["key"])
            if "." in key or "/" in key:
                raise ValueError(f"{key!r} cannot be a key")
            for name, data in {**(pictures or {}), "json": text}.items():
                info = tarfile.TarInfo(f"{key}.{name}")
                info.size, info.mode = len(data), 0o644
                self._tar.addfile(info, io.BytesIO(data))
        self.rows += 1

    def drop(self, why: str, count: int = 1) -> None:
        """Count a row that is not written."""
        self.counts[why] += count

    def finish(self) -> None:
        """Write what a tar ends with."""
        if self._tar is not None:
            self._tar.close()


class _Hashed:
    """A file to write to whose bytes are hashed on their way."""

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self._file, self._digest = file, digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._file.write(data)


def _tar_samples(path: Path, pictures: bool) -> Iterator[Sample]:
    with tarfile.open(path, "r|") as tar:
        files: dict[str, bytes] = {}
        for member in tar:
            key, _, name = Path(member.name).name.partition(".")
            if not member.isfile() or (not pictures and name != "json"):
                continue
            if member.size > _MAX_ROW:
                raise ValueError(f"{key} is too large")
            content = tar.extractfile(member)
            assert content is not None
            files[name] = content.read()
            if name == "json":  # the last of its row
                yield Sample(row=json.loads(files.pop("json")), pictures=files)
                files = {}


def _read_marker(path: Path) -> Marker | None:
    try:
        return Marker(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
