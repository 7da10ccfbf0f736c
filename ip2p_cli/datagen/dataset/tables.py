"""Pairs in parquet, with the columns of the published dataset (timbrooks/instructpix2pix-clip-filtered)."""

from __future__ import annotations

import importlib
import json
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from ip2p_cli.datagen.dataset.base import Groups, group_of
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Sample

# Column -> field of a row.
TEXTS = {"original_prompt": "caption", "edit_prompt": "instruction", "edited_prompt": "edited_caption"}
PICTURES = {"original_image": "original.jpg", "edited_image": "edited.jpg"}
MORE = "more"  # the fields that have no column, as JSON
_NEEDED = ("original_image", "edit_prompt", "edited_image")


def pyarrow(module: str = "") -> Any:
    """pyarrow, or a module of it; UsageError where it is not installed."""
    try:
        return importlib.import_module(f"pyarrow{module}")
    except ImportError:
        raise UsageError("parquet needs pyarrow, which is not installed: pip install 'ip2p[data]'") from None


class ParquetPairs:
    """The pairs of some parquet files: row groups are read as they are asked for, and the last one is kept."""

    layout = "parquet"

    def __init__(self, paths: Sequence[Path]) -> None:
        """Raises InputError for what is no such parquet, UsageError where pyarrow is not installed."""
        self._paths = list(paths)
        self._parts: list[tuple[int, int]] = []  # (file, row group)
        sizes = []
        for number, path in enumerate(self._paths):
            with _told(path):
                found = pyarrow(".parquet").ParquetFile(path)
                missing = [name for name in _NEEDED if name not in found.schema_arrow.names]
                counts = [found.metadata.row_group(n).num_rows for n in range(found.num_row_groups)]
            if missing:
                raise InputError(f"{printable(path)} has no column {', '.join(missing)}: is this a dataset of pairs?")
            self._parts += [(number, n) for n in range(len(counts))]
            sizes += counts
        self._starts: list[int] = [0, *accumulate(sizes)]
        self._last: tuple[tuple[int, int, bool], Any] | None = None

    def __len__(self) -> int:
        """How many pairs there are."""
        return int(self._starts[-1])

    def groups(self) -> Groups:
        """(N,) a number for each pair's triplet; where there is no such column, one for each pair."""
        names: list[str] = []
        for path in self._paths:
            with _told(path):
                file = pyarrow(".parquet").ParquetFile(path)
                if "triplet" in file.schema_arrow.names:
                    names += map(str, file.read(columns=["triplet"]).column(0).to_pylist())
                else:
                    names += (str(len(names) + n) for n in range(file.metadata.num_rows))
        return np.array([group_of(name) for name in names], np.uint64)

    def row(self, index: int) -> dict[str, Any]:
        """A pair without its pictures; InputError where it cannot be read."""
        return self._found(index, pictures=False)[0]

    def sample(self, index: int) -> Sample:
        """A pair with its pictures; InputError where it cannot be read."""
        row, columns = self._found(index, pictures=True)
        pictures = {}
        for column, name in PICTURES.items():
            data = (columns[column] or {}).get("bytes")
            if not isinstance(data, bytes):
                raise InputError(f"{printable(self._paths[0].parent)}: pair {index} has no {column} in it")
            pictures[name] = data
        return Sample(row=row, pictures=pictures)

    def _found(self, index: int, pictures: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = bisect_right(self._starts, index) - 1
        table = self._group(place, pictures)
        columns: dict[str, Any] = table.slice(index - self._starts[place], 1).to_pylist()[0]
        row = {TEXTS.get(name, name): value for name, value in columns.items() if name not in PICTURES}
        try:
            more = json.loads(row.pop(MORE, None) or "{}")
        except ValueError:
            more = {}
        row = {name: value for name, value in row.items() if value is not None or name in TEXTS.values()}
        return {"key": str(index), "triplet": str(index)} | more | row, columns

    def _group(self, place: int, pictures: bool) -> Any:
        wanted = (os.getpid(), place, pictures)  # what another process has opened is not shared with it
        if self._last is None or self._last[0] != wanted:
            number, group = self._parts[place]
            with _told(self._paths[number]):
                file = pyarrow(".parquet").ParquetFile(self._paths[number], memory_map=True)
                names = [name for name in file.schema_arrow.names if pictures or name not in PICTURES]
                # Its threads would not be there in a process that was forked.
                self._last = (wanted, file.read_row_group(group, columns=names, use_threads=False))
        return self._last[1]


class _told:  # noqa: N801 - a context manager, used as a function
    """Turn what pyarrow raises for `path` into an InputError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | ValueError | KeyError):  # pyarrow's own errors are of these kinds
            why = (str(error).splitlines() or [type(error).__name__])[0][:150]
            raise InputError(f"{printable(self._path)} cannot be read as parquet ({printable(why)})") from error
