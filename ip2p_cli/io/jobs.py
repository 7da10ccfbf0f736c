"""Reads job files: a table with one edit in each row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.files import check_regular_file
from ip2p_cli.io.mask_settings import MASK_SETTINGS, needs_area, read_mask_settings
from ip2p_cli.io.names import printable
from ip2p_cli.io.setting_parser import SETTINGS, read_settings, refuse_unknown
from ip2p_cli.io.tables import TABLE_ENDINGS, read_rows, reading
from ip2p_cli.types import EditSettings, MaskSettings

_MAX_BYTES = 256 << 20
_TEXTS = ("input", "instruction", "output")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A row of a job file; `where` names the file and the row for messages."""

    input: str
    instruction: str
    output: str | None
    settings: EditSettings
    where: str
    mask: MaskSettings = field(default_factory=MaskSettings)


def read_jobs(path: Path) -> list[Job]:
    """Read the rows of a job file (.csv or .jsonl) in order.

    Raises:
        InputError: The file cannot be read.
        UsageError: A row is wrong; the message names the row, from 1, and the field.
    """
    shown = printable(path)
    check_regular_file(path)
    if path.suffix.lower() not in TABLE_ENDINGS:
        raise UsageError(f"{shown}: a job file ends in .csv or .jsonl")
    with reading(path, "check the path of --jobs"):
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{shown}: larger than {_MAX_BYTES >> 20} MB; split it into several files.")
    jobs = [_job(row, f"{shown}, row {number}") for number, row in read_rows(path, strict=True)]
    if not jobs:
        raise UsageError(f"{shown}: no rows; each needs `input` and `instruction`")
    return jobs


def _job(row: Any, where: str) -> Job:
    if not isinstance(row, dict):
        raise UsageError(f"{where}: a JSON object is needed, with `input` and `instruction`")
    row = {name: value for name, value in row.items() if value is not None}
    refuse_unknown(row, (*_TEXTS, *SETTINGS, *MASK_SETTINGS), where)
    for name in _TEXTS:
        if name != "output" and name not in row:
            raise UsageError(f"{where}: `{name}` is missing")
        if name in row and not (isinstance(row[name], str) and row[name].strip()):
            raise UsageError(f"{where}: {name}: {row[name]!r} is not a text")
    texts = {name: row.pop(name).strip() for name in _TEXTS if name in row}
    mask = read_mask_settings({name: row.pop(name) for name in MASK_SETTINGS if row.get(name, "") != ""}, where)
    row = {name: value for name, value in row.items() if name not in MASK_SETTINGS}
    return Job(
        output=texts.pop("output", None),
        **texts,
        settings=read_settings(row, where),
        mask=needs_area(mask, where),
        where=where,
    )
