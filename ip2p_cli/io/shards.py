"""Shards: the numbered files of rows that the stages of data generation write and read.

A shard is one file, `NNNNN.jsonl` with a JSON object a line, or, where rows have pictures, `NNNNN.tar` in WebDataset's
layout (`{key}.original.jpg`, `{key}.edited.jpg`, `{key}.json`). Its marker `NNNNN.done.json` is written last: a shard
without a marker counts as missing, so a process may be killed at any time. The same rows give the same bytes.

The option `--shard I/N` is something else: it gives a process its part of the work.
"""

from __future__ import annotations

import filecmp
import hashlib
import io
import json
import os
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from pydantic import NonNegativeInt, TypeAdapter, ValidationError

from ip2p_cli.errors import InputError, OutputError, UsageError
from ip2p_cli.io.files import as_output_error, open_regular, sweep_temporary, temporary_beside, write_whole
from ip2p_cli.io.names import printable, reason

ShardFormat = Literal["jsonl", "tar"]
Row = Mapping[str, Any]
Object = TypeVar("Object")

MAX_PART = 64 << 20  # bytes of a row or of a picture
_SETTINGS = "stage.json"
_MAX_SETTINGS = 1 << 20  # bytes of a marker or of stage.json
_ADVICE = "delete its .done.json, then run the stage that writes it again"


@dataclass(frozen=True, kw_only=True)
class Marker:
    """What a finished shard holds: digests of its bytes and of its `source`, and `counts` of dropped rows by reason."""

    number: NonNegativeInt
    rows: NonNegativeInt
    sha256: str
    source: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


_MARKER_TYPE = TypeAdapter(Marker)
_SETTINGS_TYPE = TypeAdapter(dict[str, Any])
# What reading a file raises whose content has another shape; deeply nested JSON is a RuntimeError.
_DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RuntimeError, tarfile.TarError)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A row and its pictures as encoded bytes, by name ("original.jpg")."""

    row: Row
    pictures: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The shards of one stage, in a folder of their own."""

    folder: Path
    format: ShardFormat = "jsonl"

    def path(self, number: int) -> Path:
        """Path of a shard, whether or not it exists."""
        return self.folder / f"{number:05d}.{self.format}"

    def marker_path(self, number: int) -> Path:
        """Path of a shard's marker, whether or not it exists."""
        return self.folder / f"{number:05d}.done.json"

    def done(self) -> dict[int, Marker]:
        """Markers of the finished shards, by number, in order."""
        markers = map(self._read_marker, sorted(self.folder.glob("*.done.json")))
        return {marker.number: marker for marker in markers if marker}

    def begin(self, settings: Row, *, redo: bool = False) -> None:
        """Make the folder and note the settings of its shards; with `redo` delete the shards that it has.

        Raises:
            UsageError: An earlier run used other settings, and `redo` is not set.
            OutputError: The folder cannot be written.
        """
        before, now = self.about(), json.loads(json.dumps(settings))
        if before == now and not redo:
            return
        if before is not None and not redo:
            changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
            shown = ", ".join(f"{key} {before.get(key)!r}, now {now.get(key)!r}" for key in changed[:3])
            raise UsageError(
                f"{printable(self.folder)} was made with other settings ({shown}): make it again with --redo, or give "
                "another folder"
            )
        for number in self.done() if redo else ():
            self.marker_path(number).unlink(missing_ok=True)  # first: a shard without a marker counts as missing
            self.path(number).unlink(missing_ok=True)
        with as_output_error(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / _SETTINGS, (json.dumps(now, indent=2) + "\n").encode(), overwrite=True)

    def about(self) -> dict[str, Any] | None:
        """The settings that `begin` noted, or None."""
        try:
            return _SETTINGS_TYPE.validate_json(_read_small(self.folder / _SETTINGS))
        except (OSError, ValidationError):
            return None

    @contextmanager
    def writing(self, number: int, source: str = "", *, keep: bool = False) -> Iterator[ShardWriter]:
        """Open a writer of a shard. The shard and its marker appear when the block ends without an exception.

        Raises OutputError if the shard cannot be written; `keep` is that of `whole_file`.
        """
        began, path = time.monotonic(), self.path(number)
        sweep_temporary(self.folder)
        with whole_file(path, keep=keep) as file:
            writer = ShardWriter(file, self.format)
            yield writer
            writer.finish()
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
        """Read a shard's marker. Raises InputError if the shard is not finished."""
        marker = self._read_marker(self.marker_path(number))
        if marker is None:
            raise InputError(f"{printable(self.path(number))} is not finished: run the stage that writes it again")
        return marker

    def _read_marker(self, path: Path) -> Marker | None:
        """The marker in a file; None where it is damaged, or is not of a shard that exists."""
        try:
            marker = _MARKER_TYPE.validate_json(_read_small(path), strict=True)
            # No row is shorter than a byte: a marker of another file does not decide how much work there is.
            fits = marker.rows <= self.path(marker.number).stat().st_size
        except (OSError, ValidationError):
            return None
        return marker if fits and path == self.marker_path(marker.number) else None

    def objects(self, number: int, kind: type[Object]) -> Iterator[Object]:
        """Iterate over a shard's rows as objects of a dataclass. Raises InputError if a row has another shape."""
        path, adapter = self.path(number), TypeAdapter(kind)
        for row in self.rows(number):
            try:
                yield adapter.validate_python(row)
            except ValidationError as error:
                first = error.errors()[0]
                why = printable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
                raise InputError(f"{printable(path)} is damaged ({why}): {_ADVICE}") from error

    def rows(self, number: int) -> Iterator[dict[str, Any]]:
        """Iterate over a shard's rows, without pictures. Raises InputError if it cannot be read."""
        return (dict(sample.row) for sample in self.samples(number, pictures=False))

    def samples(self, number: int, *, pictures: bool = True) -> Iterator[Sample]:
        """Iterate over a shard's rows with their pictures. Raises InputError if it cannot be read."""
        path = self.path(number)
        with reading(path, _ADVICE):
            if self.format == "tar":
                yield from _tar_samples(path, pictures)
                return
            with path.open("rb") as file:
                for line in file:
                    yield Sample(row=read_object(line))


class ShardWriter:
    """Writes the rows of a shard to an open file; see `Shards.writing`."""

    def __init__(self, file: IO[bytes], shard_format: ShardFormat) -> None:
        self.rows, self.counts = 0, Counter[str]()
        self._file = _HashedFile(file)
        sink: Any = self._file
        # Not "w|": its destructor would write what is left, and print a traceback where the disk is full.
        self._tar = tarfile.TarFile(fileobj=sink, mode="w") if shard_format == "tar" else None

    @property
    def sha256(self) -> str:
        """Digest of the bytes written so far, in hex."""
        return self._file.digest.hexdigest()

    def add(self, row: Row, pictures: Mapping[str, bytes] | None = None) -> None:
        """Append a row. In a tar it needs a `key` without dots and slashes."""
        text = json.dumps(row, ensure_ascii=False, sort_keys=self._tar is not None).encode()
        if self._tar is None:
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
        """Count rows that are not written."""
        self.counts[why] += count

    def finish(self) -> None:
        """Write the end of a tar."""
        if self._tar is not None:
            self._tar.close()


@contextmanager
def whole_file(path: Path, *, keep: bool = False) -> Iterator[IO[bytes]]:
    """Open a file that gets its name when the block ends without an exception.

    Missing folders are made. A file of that name is replaced; with `keep` it stays if it has the same bytes.

    Raises:
        OutputError: The file cannot be written, or with `keep` one with other bytes has its name.
    """
    temporary = temporary_beside(path)
    with as_output_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if not (keep and path.exists()):
                temporary.replace(path)
            elif not filecmp.cmp(temporary, path, shallow=False):
                raise OutputError(f"{printable(path)} exists already and is another file: move it away")
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def reading(path: Path, advice: str = "check the dataset") -> Iterator[None]:
    """Turn whatever reading a file of a dataset raises into an InputError of one line that ends with `advice`."""
    try:
        yield
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{printable(path)}: {reason(error)}: {advice}") from error
        why = printable((str(error).splitlines() or [type(error).__name__])[0][:150])
        raise InputError(f"{printable(path)} is damaged ({why}): {advice}") from error


def read_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object; raises ValueError for another value."""
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


class _HashedFile:
    """A file to write to that hashes what is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest, self.tell = file, hashlib.sha256(), file.tell

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)


def _tar_samples(path: Path, pictures: bool) -> Iterator[Sample]:
    with tarfile.open(path, "r|") as tar:
        files: dict[str, bytes] = {}
        for member in tar:
            key, _, name = Path(member.name).name.partition(".")
            if not member.isfile() or (not pictures and name != "json"):
                continue
            if member.size > MAX_PART:
                raise ValueError(f"{key} is too large")
            content = tar.extractfile(member)
            assert content is not None
            files[name] = content.read()
            if name == "json":  # the last file of a row
                yield Sample(row=read_object(files.pop("json")), pictures=files)
                files = {}


def _read_small(path: Path) -> bytes:
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(_MAX_SETTINGS)
