"""Job files: a table with an edit a row, as CSV or JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.files import check_regular_file
from ip2p_cli.io.names import printable, reason
from ip2p_cli.io.setting_parser import SETTINGS, read_settings, refuse_unknown
from ip2p_cli.types import EditSettings

_MAX_BYTES = 256 << 20
_OWN = ("input", "instruction", "output")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A row: one photo, one instruction, settings where the row says some, and the output where it names one."""

    input: str
    instruction: str
    output: str | None
    settings: EditSettings
    where: str


def read_jobs(path: Path) -> list[Job]:
    """The rows of `path` (.csv, or .jsonl), in order.

    Raises InputError where the file cannot be read, UsageError that names the row (from 1) and the field where a
    row is wrong.
    """
    shown = printable(path)
    check_regular_file(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{shown}: larger than {_MAX_BYTES >> 20} MB; split it into several files.")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"{shown}: {reason(error)}: check the path of --jobs") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{shown}: not UTF-8 text; save it as UTF-8") from error
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows}
    if path.suffix.lower() not in readers:
        raise UsageError(f"{shown}: a job file ends in .csv or .jsonl")
    jobs = [_job(row, f"{shown}, row {number}") for number, row in readers[path.suffix.lower()](text, shown)]
    if not jobs:
        raise UsageError(f"{shown}: no rows; each needs `input` and `instruction`")
    return jobs


def _csv_rows(text: str, shown: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """An empty cell says nothing."""
    reader = csv.DictReader(text.splitlines(keepends=True), skipinitialspace=True, strict=True)
    try:
        for number, row in enumerate(reader, start=1):
            if None in row:
                raise UsageError(f"{shown}, row {number}: more cells than the header has; quote texts that hold commas")
            yield number, {(key or "").strip(): value for key, value in row.items() if value not in (None, "")}
    except csv.Error as error:
        raise UsageError(f"{shown}, line {reader.line_num}: not valid CSV ({error})") from error


def _json_rows(text: str, shown: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{shown}, row {number}: not valid JSON ({error})") from error
        if not isinstance(row, dict):
            raise UsageError(f"{shown}, row {number}: a JSON object is needed, with `input` and `instruction`")
        yield number, row


def _job(row: dict[str, Any], where: str) -> Job:
    refuse_unknown(row, (*_OWN, *SETTINGS), where)
    for name in _OWN:
        value = row.get(name)
        if name != "output" and value is None:
            raise UsageError(f"{where}: `{name}` is missing")
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise UsageError(f"{where}: {name}: {value!r} is no text")
    settings = read_settings({name: row[name] for name in SETTINGS if row.get(name) is not None}, where)
    return Job(
        input=row["input"].strip(),
        instruction=row["instruction"].strip(),
        output=row["output"].strip() if row.get("output") else None,
        settings=settings,
        where=where,
    )
