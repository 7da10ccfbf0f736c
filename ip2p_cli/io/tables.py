"""Reads tables that people and programs write: CSV and JSON lines, one row at a time."""

from __future__ import annotations

import csv
import importlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ip2p_cli.errors import InputError, Ip2pError, UsageError
from ip2p_cli.io.names import printable, reason

TABLE_ENDINGS = (".csv", ".jsonl", ".ndjson")
_MAX_LINE = 64 << 20  # characters of a JSON line


def read_rows(path: Path, *, strict: bool = False) -> Iterator[tuple[int, Any]]:
    r"""Read the rows of a table in order: CSV where the name ends in .csv, else JSON lines.

    CSV has commas, semicolons or tabs between its cells, as the line `sep=;` or the header shows, and may have blank
    rows. JSON lines end with \n only: other line breaks are part of a text.

    Args:
        path: A file in UTF-8, with or without a byte order mark.
        strict: The file is written for ip2p: its faults are UsageErrors, and stray quotes and cells count as faults.

    Yields:
        The row's number, from 1 (of JSON lines the line's), and the row: for CSV a dict from column to cell, None
        where it is empty; for JSON lines any JSON value.

    Raises:
        InputError: The file cannot be read, or is damaged.
        UsageError: Two columns have the same name.
    """
    is_csv, fault = path.suffix.lower() == ".csv", UsageError if strict else InputError
    with reading(path), path.open(encoding="utf-8-sig", newline="" if is_csv else "\n") as file:
        if is_csv:
            yield from _csv_rows(file, printable(path), fault, strict)
        else:
            yield from _json_rows(file, printable(path), fault)


@contextmanager
def reading(path: Path, fix: str = "check the path and its permissions") -> Iterator[None]:
    """Turn the system's refusal to read a text file into an InputError that ends with `fix`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{printable(path)}: {reason(error)}: {fix}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{printable(path)}: not UTF-8 text: save it as UTF-8") from error


def pyarrow(module: str = "") -> Any:
    """Import pyarrow, or a module of it such as ".parquet"; raises UsageError where it is not installed."""
    try:
        return importlib.import_module(f"pyarrow{module}")
    except ImportError:
        raise UsageError("this needs pyarrow, which is not installed: pip install 'ip2p[data]'") from None


def _csv_rows(
    file: IO[str], shown: str, fault: type[Ip2pError], strict: bool
) -> Iterator[tuple[int, dict[str, str | None]]]:
    first = next((line for line in file if line.strip()), "")
    separator = re.fullmatch(r"sep=(.)\s*", first)  # Excel writes this line, and takes it
    delimiter = separator[1] if separator else _delimiter_of(first)
    lines = itertools.chain([] if separator else [first], file)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=strict)
    number = 0
    try:
        filled = (cells for cells in reader if any(cell.strip() for cell in cells))
        header = [name.strip() for name in next(filled, [])]
        twice = [name for name, count in Counter(header).items() if name and count > 1]
        if twice:
            raise UsageError(f"{shown}: two columns are called {printable(twice[0])!r}: rename or remove one")
        for number, cells in enumerate(filled, start=1):
            if strict and len(cells) > len(header):
                raise fault(f"{shown}, row {number}: more cells than the header has; quote texts that hold {delimiter}")
            yield number, dict(itertools.zip_longest(header, [cell or None for cell in cells[: len(header)]]))
    except csv.Error as error:
        raise fault(f"{shown}: not valid CSV after row {number} ({error})") from error


def _delimiter_of(header: str) -> str:
    """The most frequent of comma, semicolon and tab outside quotes."""
    bare = re.sub('"[^"]*"', "", header)
    return max(",;\t", key=bare.count)


def _json_rows(file: IO[str], shown: str, fault: type[Ip2pError]) -> Iterator[tuple[int, Any]]:
    lines = iter(lambda: file.readline(_MAX_LINE), "")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise fault(f"{shown}, row {number}: not valid JSON ({error})") from error
