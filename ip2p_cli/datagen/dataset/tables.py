"""Pairs in parquet, with the columns of the published dataset."""

from __future__ import annotations

import importlib
import json
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from ip2p_cli.datagen.dataset.base import Groups, PairSet, groups_of
from ip2p_cli.datagen.dataset.columns import NEEDED_COLUMNS, PICTURE_COLUMNS, REST_COLUMN, TEXT_COLUMNS
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Sample, reading


def pyarrow(module: str = "") -> Any:
    """Import pyarrow, or a module of it such as ".parquet". Raises UsageError if it is not installed."""
    try:
        return importlib.import_module(f"pyarrow{module}")
    except ImportError:
        raise UsageError("parquet needs pyarrow, which is not installed: pip install 'ip2p[data]'") from None


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
        columns: dict[str, Any] = self._group(part, pictures).slice(index - self._starts[part], 1).to_pylist()[0]
        files: dict[str, Any] = {
            name: (columns.pop(column, None) or {}).get("bytes") for column, name in PICTURE_COLUMNS.items()
        }
        missing = [name for name, data in files.items() if not isinstance(data, bytes)] if pictures else []
        if missing:
            raise InputError(f"{printable(self._parts[part][0])}: pair {index} has no {missing[0]}: check the dataset")
        try:
            rest = json.loads(columns.pop(REST_COLUMN, None) or "{}")
        except ValueError:
            rest = {}
        row = {"key": str(index), "triplet": str(index), **rest}
        row |= {TEXT_COLUMNS.get(name, name): value for name, value in columns.items() if value is not None}
        texts = {field: row.get(field) for column, field in TEXT_COLUMNS.items() if column in columns}
        return Sample(row=row | texts, pictures=files if pictures else {})

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
