"""Pairs in parquet, with the columns of the published dataset."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from ip2p_cli.datagen.dataset.base import Groups, PairSet, groups_of
from ip2p_cli.datagen.dataset.columns import NEEDED_COLUMNS, PICTURE_COLUMNS, REST_COLUMN, TEXT_COLUMNS
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.files import path_inside
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import MAX_PART, Sample, read_object, reading
from ip2p_cli.io.tables import pyarrow


class ParquetPairs(PairSet):
    """The pairs of some parquet files. Row groups are read on demand, and the last one is kept."""

    layout = "parquet"

    def __init__(self, paths: Sequence[Path]) -> None:
        """Raises InputError for files without these columns, UsageError if pyarrow is not installed."""
        self._paths = list(paths)
        self._parts: list[tuple[Path, int]] = []  # the file and the number of each row group
        sizes = []
        for path in self._paths:
            with reading(path):
                file = pyarrow(".parquet").ParquetFile(path)
                missing = [name for name in NEEDED_COLUMNS if name not in file.schema_arrow.names]
                if missing:
                    raise InputError(
                        f"{printable(path)} has no column {', '.join(missing)}: is this a dataset of pairs?"
                    )
                self._parts += [(path, group) for group in range(file.num_row_groups)]
                sizes += [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        self._starts: list[int] = [0, *accumulate(sizes)]
        self._last: tuple[tuple[int, int, bool], Any] | None = None

    def __len__(self) -> int:
        """How many pairs there are."""
        return self._starts[-1]

    def groups(self) -> Groups:
        """A number for each pair's triplet, (N,); for each pair if there is no such column."""
        names: list[str] = []
        for path in self._paths:
            with reading(path):
                file = pyarrow(".parquet").ParquetFile(path)
                if "triplet" in file.schema_arrow.names:
                    names += map(str, file.read(columns=["triplet"]).column(0).to_pylist())
                else:
                    names += [str(len(names) + index) for index in range(file.metadata.num_rows)]
        return groups_of(names)

    def _read(self, index: int, *, pictures: bool) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        part = bisect_right(self._starts, index) - 1
        path, table = self._parts[part][0], self._group(part, pictures)
        with reading(path):
            columns: dict[str, Any] = table.slice(index - self._starts[part], 1).to_pylist()[0]
        cells = {column: columns.pop(column, None) for column in PICTURE_COLUMNS}
        files = {PICTURE_COLUMNS[c]: _picture_bytes(cell, path, c, index) for c, cell in cells.items() if pictures}
        try:
            rest = read_object(columns.pop(REST_COLUMN, None) or b"{}")
        except (ValueError, TypeError, RecursionError):
            rest = {}
        row = {"key": str(index), "triplet": str(index), **rest}
        row |= {TEXT_COLUMNS.get(name, name): value for name, value in columns.items() if value is not None}
        texts = {field: row.get(field) for column, field in TEXT_COLUMNS.items() if column in columns}
        return Sample(row=row | texts, pictures=files)

    def _group(self, part: int, pictures: bool) -> Any:
        """The table of a row group, with or without the columns of pictures."""
        wanted = (os.getpid(), part, pictures)  # a forked process cannot use a file that its parent opened
        if self._last is None or self._last[0] != wanted:
            path, group = self._parts[part]
            with reading(path):
                file = pyarrow(".parquet").ParquetFile(path, memory_map=True)
                names = [name for name in file.schema_arrow.names if pictures or name not in PICTURE_COLUMNS]
                # use_threads: pyarrow's threads do not exist in a forked process.
                self._last = (wanted, file.read_row_group(group, columns=names, use_threads=False))
        return self._last[1]


def _picture_bytes(cell: Any, table: Path, column: str, index: int) -> bytes:
    """The encoded picture of a cell: {"bytes": …, "path": …}, as the datasets library has it, or either of them.

    A path is relative to the table's folder, and may not leave it. Raises InputError where there is no picture.
    """
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, bytes) and cell:
        return cell
    where = f"{printable(table)}, pair {index}: column {column}"
    if not isinstance(cell, str) or not cell:
        raise InputError(f"{where} holds no picture: give encoded bytes, {{bytes, path}}, or a path")
    try:
        path = path_inside(table.parent, cell)
    except UsageError as error:
        raise InputError(f"{where}: {printable(cell)} is not a path inside the table's folder") from error
    with reading(path, f"see {where}"):
        if not path.is_file() or path.stat().st_size > MAX_PART:
            raise InputError(f"{where}: {printable(cell)} is no file of a picture")
        return path.read_bytes()
