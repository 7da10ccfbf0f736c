"""Parquet with the columns of the published dataset, and ours; `datasets.load_dataset` decodes the pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ip2p_cli.datagen.dataset.tables import MORE, PICTURES, TEXTS, pyarrow
from ip2p_cli.io.shards import Sample

ROWS = 32  # of a row group: what has to be read to see one pair
# Column -> how Hugging Face calls its type.
_COLUMNS = {
    "original_prompt": "string",
    "original_image": "image",
    "edit_prompt": "string",
    "edited_prompt": "string",
    "edited_image": "image",
    "key": "string",
    "triplet": "string",
    "candidate": "int64",
    "kind": "string",
    "painter": "string",
    "model": "string",
    "seed": "int64",
    "p": "float64",
    "cfg_text": "float64",
    MORE: "string",
}


def write_parquet(path: Path, samples: Iterator[Sample], scores: Sequence[str]) -> int:
    """Write a file; ROWS pairs are held in memory at most. scores: the names of further columns. How many rows."""
    pa, pq = pyarrow(), pyarrow(".parquet")
    types = _COLUMNS | dict.fromkeys(scores, "float64")
    schema = _schema(pa, types)
    count, rows = 0, list[dict[str, Any]]()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:

        def flush() -> None:
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema), row_group_size=ROWS)
                rows.clear()

        for sample in samples:
            rows.append(_columns_of(sample, types))
            count += 1
            if len(rows) == ROWS:
                flush()
        flush()
    return count


def _columns_of(sample: Sample, types: dict[str, str]) -> dict[str, Any]:
    row = dict(sample.row)
    columns: dict[str, Any] = {column: row.pop(name, None) for column, name in TEXTS.items()}
    for column, name in PICTURES.items():
        columns[column] = {"bytes": sample.pictures[name], "path": f"{row['key']}.{name}"}
    for name in types:
        if name not in columns and name != MORE and _fits(row.get(name), types[name]):
            columns[name] = row.pop(name, None)
    columns[MORE] = json.dumps(row, ensure_ascii=False, sort_keys=True)
    return columns


def _fits(value: Any, kind: str) -> bool:
    """Whether a column can hold a value; what it cannot hold goes to MORE."""
    if kind == "string":
        return value is None or isinstance(value, str)
    whole = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value is None or whole or (kind == "float64" and isinstance(value, float))


def _schema(pa: Any, types: dict[str, str]) -> Any:
    kinds = {
        "string": pa.string(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    }
    features = {
        name: {"_type": "Image"} if kind == "image" else {"dtype": kind, "_type": "Value"}
        for name, kind in types.items()
    }
    said = json.dumps({"info": {"features": features}})
    return pa.schema([(name, kinds[kind]) for name, kind in types.items()], metadata={"huggingface": said})
