"""Reads texts out of the files that captions come in, one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.names import printable
from ip2p_cli.io.tables import TABLE_ENDINGS, pyarrow, read_rows, reading
from ip2p_cli.suggest import did_you_mean

Item = TypeVar("Item")

CAPTION_COLUMNS = ("caption", "input", "text", "prompt", "original_prompt", "TEXT")  # in the order they are looked for

_MAX_LINE = 1 << 20  # bytes: no caption is longer
_EDGE = 1 << 20  # bytes at either end that a fingerprint reads
_BATCH = 1024  # rows of an Arrow table in memory at a time


def read_texts(path: Path, column: str | None = None) -> Iterator[str]:
    """Read the texts of a source in order.

    Args:
        path: A text file with a text in each line, a table (.csv, .jsonl, .parquet), or a folder that
            `datasets.save_to_disk` wrote.
        column: The column of a table. None is the first of CAPTION_COLUMNS that it has.

    Yields:
        The texts; "" for a row without one.

    Raises:
        InputError: The source cannot be read, or is damaged.
        UsageError: The file's ending is unknown, or the column is not there.
    """
    ending = path.suffix.lower()
    if path.is_dir():
        texts = _dataset_texts(path, column)
    elif ending in TABLE_ENDINGS:
        texts = _table_texts(path, column)
    elif ending == ".parquet":
        texts = _parquet_texts(path, column)
    elif ending in (".txt", ".text", ""):
        texts = _lines(path)
    else:
        raise UsageError(
            f"{printable(path)}: captions come from .txt, .csv, .jsonl, .parquet, a folder of datasets.save_to_disk, "
            "or photos:FOLDER"
        )
    with reading(path):
        yield from texts


def fingerprint(path: Path) -> str:
    """Hash the size and both ends of a file, or of each file in a folder, to tell sources apart.

    Raises:
        InputError: A file cannot be read.
    """
    digest = hashlib.sha256()
    with reading(path):
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            with file.open("rb") as opened:
                size = opened.seek(0, 2)
                opened.seek(0)
                head = opened.read(_EDGE)
                opened.seek(max(0, size - _EDGE))
                name = file.relative_to(path).as_posix() if path.is_dir() else ""
                digest.update(f"{name}:{size}:".encode(errors="surrogateescape") + head + opened.read(_EDGE))
    return digest.hexdigest()


def choose_column(names: Sequence[str], column: str | None, path: Path) -> str:
    """Find the column with the captions; raises UsageError where it is not among `names`."""
    if column is None:
        usual = [name for name in CAPTION_COLUMNS if name in names]
        if usual:
            return usual[0]
    elif column in names:
        return column
    listed = ", ".join(printable(name) for name in names[:12])
    if column is None:
        raise UsageError(f"{printable(path)}: which column holds the captions? Name it with --column: {listed}")
    raise UsageError(f"{printable(path)}: no column {column!r}.{did_you_mean(column, names)} It has {listed}")


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file; of an overlong line the beginning, which is too long for a caption too."""
    with path.open("rb") as file:
        first = True
        while line := file.readline(_MAX_LINE):
            while not line.endswith(b"\n") and (rest := file.readline(_MAX_LINE)):
                if rest.endswith(b"\n"):
                    break
            yield line.decode("utf-8-sig" if first else "utf-8", "ignore" if len(line) == _MAX_LINE else "strict")
            first = False


def _table_texts(path: Path, column: str | None) -> Iterator[str]:
    """The column of each row; without `column` each row is looked at, for the released files have two names for it."""
    name = None
    for number, row in read_rows(path):
        if isinstance(row, str):
            yield row
        elif isinstance(row, dict):
            if name is None or column is None:
                name = choose_column(list(row), column, path)
            yield str(row.get(name) or "")
        else:
            raise InputError(f"{printable(path)}, row {number}: neither a JSON object nor a text")


def _parquet_texts(path: Path, column: str | None) -> Iterator[str]:
    with _reading_arrow(path), pyarrow(".parquet").ParquetFile(path) as table:
        name = choose_column(table.schema_arrow.names, column, path)
        yield from _column(table.iter_batches(batch_size=_BATCH, columns=[name]), name)


def _dataset_texts(folder: Path, column: str | None) -> Iterator[str]:
    """The texts of a folder that `datasets.save_to_disk` wrote; splits follow each other."""
    if (folder / "dataset_dict.json").is_file():
        for split in _read_list(folder / "dataset_dict.json", "splits", str):
            yield from _dataset_texts(folder / Path(str(split)).name, column)
        return
    if not (folder / "state.json").is_file():
        raise UsageError(
            f"{printable(folder)} was not written by datasets.save_to_disk (it has no state.json); for a folder of "
            f"photos give photos:{printable(folder)}"
        )
    for part in _read_list(folder / "state.json", "_data_files", dict[str, str]):
        path = folder / Path(part.get("filename", "")).name
        with _reading_arrow(path), pyarrow().memory_map(str(path)) as mapped:
            stream = pyarrow(".ipc").open_stream(mapped)
            yield from _column(stream, choose_column(stream.schema.names, column, path))


def _column(batches: Iterable[Any], name: str) -> Iterator[str]:
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH):
            for value in batch.column(name).slice(start, _BATCH).to_pylist():
                yield "" if value is None else str(value)


def _read_list(path: Path, name: str, item: type[Item]) -> list[Item]:
    """The list in a JSON object's field; empty where there is no such field."""
    try:
        value = TypeAdapter(dict[str, Any]).validate_json(path.read_bytes())
        return TypeAdapter(list[item]).validate_python(value.get(name, []))  # type: ignore[valid-type]
    except ValidationError as error:
        raise InputError(f"{printable(path)} is damaged ({error.errors()[0]['msg']}): save it again") from error


@contextmanager
def _reading_arrow(path: Path) -> Iterator[None]:
    try:
        yield
    except pyarrow().ArrowException as error:
        first = (str(error).splitlines() or ["no reason given"])[0]
        raise InputError(f"{printable(path)} cannot be read ({printable(first)}): get a whole copy of it") from error
