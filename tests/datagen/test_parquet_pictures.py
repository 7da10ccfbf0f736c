"""The forms of pictures in parquet: the datasets library's, bytes, and paths; others get one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ip2p_cli.datagen.dataset.tables import ParquetPairs
from ip2p_cli.errors import InputError
from tests.gen_pairs import two_pictures

BEFORE, AFTER = two_pictures(1, 40)


def table(folder: Path, original: Any) -> ParquetPairs:
    (folder / "data" / "pictures").mkdir(parents=True)
    (folder / "data" / "pictures" / "a.jpg").write_bytes(BEFORE)
    (folder / "secret.jpg").write_bytes(BEFORE)
    rows = [{"original_image": original, "edit_prompt": "make it blue", "edited_image": AFTER}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "a.parquet")
    return ParquetPairs([folder / "data" / "a.parquet"])


@pytest.mark.parametrize(
    "original",
    [BEFORE, {"bytes": BEFORE, "path": None}, {"bytes": None, "path": "pictures/a.jpg"}, "pictures/a.jpg"],
    ids=["bytes", "both", "path in both", "path"],
)
def test_pictures_are_read(tmp_path: Path, original: Any) -> None:
    pairs = table(tmp_path, original)
    assert pairs.sample(0).pictures == {"original.jpg": BEFORE, "edited.jpg": AFTER}
    assert pairs.row(0)["instruction"] == "make it blue"


@pytest.mark.parametrize("original", ["../secret.jpg", "/etc/passwd", "none.jpg", "", None, 3, [1, 2], {"x": 1}])
def test_what_is_no_picture_names_the_column(tmp_path: Path, original: Any) -> None:
    with pytest.raises(InputError, match="original_image") as error:
        table(tmp_path, original).sample(0)
    assert "\n" not in str(error.value)
