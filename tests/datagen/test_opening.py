"""Datasets that others made, in the layouts that ip2p knows."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from ip2p_cli.datagen.dataset.base import PairSet
from ip2p_cli.datagen.dataset.opening import open_dataset
from ip2p_cli.errors import InputError
from ip2p_cli.io.shards import Sample
from tests.gen_pairs import two_pictures


def only(path: Path) -> PairSet:
    (found,) = open_dataset(path).values()
    return found


def test_the_published_parquet(tmp_path: Path) -> None:
    """Five columns, pictures as the datasets library writes them, one row group."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pictures = [two_pictures(n, 30) for n in range(3)]
    table = pa.table(
        {
            "original_prompt": ["a lake"] * 3,
            "original_image": [{"bytes": before, "path": None} for before, _ in pictures],
            "edit_prompt": ["make it winter", "make it blue", "make it night"],
            "edited_prompt": ["a lake in winter"] * 3,
            "edited_image": [{"bytes": after, "path": None} for _, after in pictures],
        }
    )
    pq.write_table(table, tmp_path / "train-00000-of-00001-abc.parquet")
    pairs = only(tmp_path)
    row = {"key": "2", "triplet": "2", "caption": "a lake", "instruction": "make it night"}
    expected = {"original.jpg": pictures[2][0], "edited.jpg": pictures[2][1]}
    assert pairs.sample(2) == Sample(row=row | {"edited_caption": "a lake in winter"}, pictures=expected)
    assert len(set(pairs.groups().tolist())) == 3
    assert only(tmp_path / "train-00000-of-00001-abc.parquet").row(2) == pairs.row(2)


def test_other_columns(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet has no column original_image, edit_prompt, edited_image"):
        open_dataset(tmp_path)


def test_tars_with_png_in_another_order(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    files = {
        "a.json": b'{"instruction": "x"}',
        "a.original.png": picture.getvalue(),
        "a.edited.png": picture.getvalue(),
        "b.json": b"{}",  # without pictures: no pair
    }
    with tarfile.open(tmp_path / "part.tar", "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    pairs = only(tmp_path)
    assert len(pairs) == 1
    assert pairs.sample(0).pictures["edited.jpg"] == picture.getvalue()


def test_the_authors_own(tmp_path: Path) -> None:
    """Without metadata.jsonl, with the names of the unreleased writer."""
    folder = tmp_path / "0000012"
    folder.mkdir()
    (tmp_path / "seeds.json").write_text(json.dumps([["0000012", [7]]]))
    (folder / "prompt.json").write_text(json.dumps({"caption": "a", "edit": "b", "output": "c"}))
    before, after = two_pictures(1, 30)
    (folder / "7_0.jpg").write_bytes(before)
    (folder / "7_1.jpg").write_bytes(after)
    sample = only(tmp_path).sample(0)
    assert [sample.row[name] for name in ("caption", "instruction", "edited_caption", "seed")] == ["a", "b", "c", 7]
    assert sample.pictures == {"original.jpg": before, "edited.jpg": after}
    (folder / "7_1.jpg").unlink()
    with pytest.raises(InputError, match=r"7_1\.jpg: no such file"):
        only(tmp_path).sample(0)


@pytest.mark.parametrize("listed", ['[["../../etc", [1]]]', '[["a", ["x"]]]', "{", '["a"]'])
def test_seeds_that_are_none(tmp_path: Path, listed: str) -> None:
    (tmp_path / "seeds.json").write_text(listed)
    with pytest.raises(InputError, match=r"seeds\.json"):
        open_dataset(tmp_path)


def test_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no known dataset of pairs"):
        open_dataset(tmp_path)
    (tmp_path / "seeds.json").write_text("[]")
    with pytest.raises(InputError, match="the dataset has no pairs"):
        open_dataset(tmp_path)
