"""Rows of text out of the files that captions come in, one at a time: text, CSV, JSONL, parquet, HF datasets."""

from __future__ import annotations

import csv
import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.names import printable, reason
from ip2p_cli.suggest import did_you_mean

CAPTION_COLUMNS = ("caption", "input", "text", "prompt", "original_prompt", "TEXT")  # in the order they are looked for

_MAX_LINE = 1 << 20  # bytes: no caption is longer
_EDGE = 1 << 20  # bytes at either end that a fingerprint reads
_BATCH = 1024  # rows of a table in memory at a time


def read_texts(path: Path, column: str | None = None) -> Iterator[str]:
    """The texts of `path` in order: the lines of a text file, or a table's `column` (None: the first usual one).

    Rows without it give "". Raises InputError where it cannot be read or is damaged, UsageError for an ending that is
    not known or a column that is not there.
    """
    try:
        if path.is_dir():
            yield from _hf_texts(path, column)
        else:
            yield from _file_texts(path, column)
    except OSError as error:
        raise InputError(f"{printable(path)}: {reason(error)}: check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{printable(path)}: not UTF-8 text: save it as UTF-8") from error


def fingerprint(path: Path) -> str:
    """What tells a source from another one: sizes, and a hash of both ends of each file. Raises InputError."""
    found = hashlib.sha256()
    try:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            with file.open("rb") as opened:
                size = opened.seek(0, 2)
                opened.seek(0)
                head = opened.read(_EDGE)
                opened.seek(max(0, size - _EDGE))
                name = file.relative_to(path).as_posix() if path.is_dir() else ""
                found.update(f"{name}:{size}:".encode(errors="surrogateescape") + head + opened.read(_EDGE))
    except OSError as error:
        raise InputError(f"{printable(path)}: {reason(error)}: check the path and its permissions") from error
    return found.hexdigest()


def _file_texts(path: Path, column: str | None) -> Iterator[str]:
    readers = {".csv": _csv_texts, ".jsonl": _json_texts, ".ndjson": _json_texts, ".parquet": _parquet_texts}
    ending = path.suffix.lower()
    if ending in readers:
        yield from readers[ending](path, column)
    elif ending in (".txt", ".text", ""):
        yield from _lines(path)
    else:
        raise UsageError(
            f"{printable(path)}: captions come from .txt, .csv, .jsonl, .parquet, a folder of datasets.save_to_disk, "
            "or photos:FOLDER"
        )


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file; of one that is too long only its beginning, which is too long for a caption too."""
    with path.open("rb") as file:
        first = True
        while line := file.readline(_MAX_LINE):
            while not line.endswith(b"\n") and (rest := file.readline(_MAX_LINE)):
                if rest.endswith(b"\n"):
                    break
            yield line.decode("utf-8-sig" if first else "utf-8", "ignore" if len(line) == _MAX_LINE else "strict")
            first = False


def _csv_texts(path: Path, column: str | None) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip() for name in next(reader, [])]
            place = header.index(choose_column(header, column, path))
            for row in reader:
                yield row[place] if place < len(row) else ""
        except csv.Error as error:
            raise InputError(f"{printable(path)}, line {reader.line_num}: not valid CSV ({error})") from error


def _json_texts(path: Path, column: str | None) -> Iterator[str]:
    """Each row is asked for the column itself: released files are not all alike."""
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{printable(path)}, line {number}: not valid JSON ({error})") from error
        if isinstance(row, str):
            yield row
        elif isinstance(row, Mapping):
            name = column if number > 1 and column else choose_column(list(row), column, path)
            yield str(row.get(name) or "")
        else:
            raise InputError(f"{printable(path)}, line {number}: neither a JSON object nor a text")


def _parquet_texts(path: Path, column: str | None) -> Iterator[str]:
    arrow, parquet = _pyarrow(), importlib.import_module("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as table:
            name = choose_column(table.schema_arrow.names, column, path)
            for batch in table.iter_batches(batch_size=_BATCH, columns=[name]):
                yield from _column(batch, name)
    except arrow.ArrowException as error:
        raise _damaged(path, error) from error


def _hf_texts(folder: Path, column: str | None) -> Iterator[str]:
    """A folder that `datasets.save_to_disk` wrote: of one dataset, or of several splits, one after the other."""
    if (folder / "dataset_dict.json").is_file():
        for split in _json_of(folder / "dataset_dict.json").get("splits", []):
            yield from _hf_texts(folder / Path(str(split)).name, column)
        return
    if not (folder / "state.json").is_file():
        raise UsageError(
            f"{printable(folder)} is no dataset of datasets.save_to_disk (it has no state.json); for a folder of "
            f"photos give photos:{printable(folder)}"
        )
    arrow, ipc = _pyarrow(), importlib.import_module("pyarrow.ipc")
    for part in _json_of(folder / "state.json").get("_data_files", []):
        path = folder / Path(str(part["filename"])).name
        try:
            with arrow.memory_map(str(path)) as mapped, ipc.open_stream(mapped) as stream:
                name = choose_column(stream.schema.names, column, path)
                for batch in stream:
                    yield from _column(batch, name)
        except arrow.ArrowException as error:
            raise _damaged(path, error) from error


def choose_column(names: list[str], wanted: str | None, path: Path) -> str:
    """`wanted`, or the first usual one; UsageError where it is not among `names`."""
    if wanted is not None and wanted in names:
        return wanted
    usual = [name for name in CAPTION_COLUMNS if name in names]
    if wanted is None and usual:
        return usual[0]
    there = ", ".join(printable(name) for name in names[:12])
    if wanted is None:
        raise UsageError(f"{printable(path)}: which column holds the captions? Say it with --column: {there}")
    raise UsageError(f"{printable(path)}: no column {wanted!r}.{did_you_mean(wanted, names)} It has {there}")


def _column(batch: Any, name: str) -> Iterator[str]:
    for start in range(0, batch.num_rows, _BATCH):
        for value in batch.column(name).slice(start, _BATCH).to_pylist():
            yield "" if value is None else str(value)


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise UsageError("this needs pyarrow, which is not installed: pip install 'ip2p[data]'") from None


def _json_of(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{printable(path)} is damaged ({error}): save the dataset again") from error
    if not isinstance(found, dict):
        raise InputError(f"{printable(path)} is damaged: save the dataset again")
    return found


def _damaged(path: Path, error: Exception) -> InputError:
    first = (str(error).splitlines() or ["no reason given"])[0]
    return InputError(f"{printable(path)} cannot be read ({printable(first)}): get a whole copy of it")
