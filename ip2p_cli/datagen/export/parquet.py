"""Write parquet with the columns of the published dataset and ours; the datasets library decodes the pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from ip2p_cli.datagen.dataset.base import in_batches
from ip2p_cli.datagen.dataset.columns import COLUMN_TYPES, PICTURE_COLUMNS, REST_COLUMN, TEXT_COLUMNS
from ip2p_cli.io.shards import Sample
from ip2p_cli.io.tables import pyarrow

ROW_GROUP = 32  # rows: what has to be read to see one pair


def write_parquet(file: IO[bytes], samples: Iterator[Sample], scores: Sequence[str]) -> int:
    """Write pairs with the columns of COLUMN_TYPES and `scores`, with at most ROW_GROUP in memory; return how many."""
    pa, pq = pyarrow(), pyarrow(".parquet")
    types = COLUMN_TYPES | dict.fromkeys(scores, "float64")
    schema = _schema(pa, types)
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in in_batches(samples, ROW_GROUP):
            rows = [_columns_of(sample, types) for sample in batch]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema), row_group_size=ROW_GROUP)
            count += len(rows)
    return count


def _columns_of(sample: Sample, types: Mapping[str, str]) -> dict[str, Any]:
    row = dict(sample.row)
    columns: dict[str, Any] = {column: row.pop(name, None) for column, name in TEXT_COLUMNS.items()}
    for column, name in PICTURE_COLUMNS.items():
        columns[column] = {"bytes": sample.pictures[name], "path": f"{row['key']}.{name}"}
    for name in types:
        if name not in columns and name != REST_COLUMN and _fits(row.get(name), types[name]):
            columns[name] = row.pop(name, None)
    columns[REST_COLUMN] = json.dumps(row, ensure_ascii=False, sort_keys=True)
    return columns


def _fits(value: Any, column_type: str) -> bool:
    """Whether a column can hold a value; otherwise it goes to REST_COLUMN."""
    if column_type == "string":
        return value is None or isinstance(value, str)
    whole = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value is None or whole or (column_type == "float64" and isinstance(value, float))


def _schema(pa: Any, types: Mapping[str, str]) -> Any:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {
        name: {"_type": "Image"} if dtype == "image" else {"dtype": dtype, "_type": "Value"}
        for name, dtype in types.items()
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    columns = [(name, image if dtype == "image" else pa.type_for_alias(dtype)) for name, dtype in types.items()]
    return pa.schema(columns, metadata=metadata)
