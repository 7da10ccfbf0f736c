"""Texts out of every file that captions come in, and what cannot be read is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.text_readers import fingerprint, read_texts

TEXTS = ["a cat, asleep", "", "zwölf \"Hunde\"", "a fox"]  # fmt: skip


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "\ufeffone\r\ntwo\n" + "x" * (3 << 20) + "\nthree")
    lines = [line.strip() for line in read_texts(path)]
    assert [lines[0], lines[1], lines[3]] == ["one", "two", "three"]
    assert len(lines[2]) == 1 << 20


def test_csv(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'id, caption,more\n1,"a cat, asleep",x\n2\n3,"zwölf ""Hunde""\nzwei",y\n')
    assert list(read_texts(path)) == ["a cat, asleep", "", 'zwölf "Hunde"\nzwei']
    assert list(read_texts(path, "more")) == ["x", "", "y"]
    with pytest.raises(UsageError, match=r"no column 'mor'\. Did you mean more\?"):
        list(read_texts(path, "mor"))
    with pytest.raises(UsageError, match="Name it with --column: a, b"):
        list(read_texts(written(tmp_path / "b.csv", "a,b\n1,2\n")))


def test_json_lines_of_the_released_files(tmp_path: Path) -> None:
    rows = [{"input": "one", "edit": "x", "output": "y"}, {"caption": "two", "edit": "x", "output": "y"}]
    path = written(tmp_path / "a.jsonl", "\n\n".join(map(json.dumps, rows)) + '\n"three"\n')
    assert list(read_texts(path)) == ["one", "two", "three"]
    with pytest.raises(InputError, match="row 2: not valid JSON"):
        list(read_texts(written(tmp_path / "b.jsonl", '"a"\n{\n')))
    with pytest.raises(InputError, match="neither a JSON object nor a text"):
        list(read_texts(written(tmp_path / "c.jsonl", "7\n")))


def test_parquet(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"n": range(4000), "TEXT": [f"{TEXTS[n % 4]} {n}" if n else None for n in range(4000)]})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=900)
    texts = list(read_texts(tmp_path / "a.parquet"))
    assert texts[0] == ""
    assert texts[1:] == [f"{TEXTS[n % 4]} {n}" for n in range(1, 4000)]
    assert list(read_texts(tmp_path / "a.parquet", "n"))[-1] == "3999"
    with pytest.raises(InputError, match="cannot be read"):
        list(read_texts(written(tmp_path / "b.parquet", b"PAR1 no")))


def test_datasets_on_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_dict({"original_prompt": TEXTS, "n": [1, 2, 3, 4]})
    one.save_to_disk(str(tmp_path / "one"), num_shards=2)
    assert list(read_texts(tmp_path / "one")) == TEXTS
    one.select([2, 0]).save_to_disk(str(tmp_path / "picked"))
    assert list(read_texts(tmp_path / "picked")) == [TEXTS[2], TEXTS[0]]
    datasets.DatasetDict({"train": one, "test": one.select([3])}).save_to_disk(str(tmp_path / "both"))
    assert list(read_texts(tmp_path / "both")) == [*TEXTS, TEXTS[3]]
    with pytest.raises(UsageError, match="give photos:"):
        list(read_texts(tmp_path))
    assert fingerprint(tmp_path / "one") != fingerprint(tmp_path / "picked")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(read_texts(tmp_path / "none.txt"))
    with pytest.raises(InputError, match="not UTF-8"):
        list(read_texts(written(tmp_path / "a.txt", b"\xff\xfe\x00")))
    with pytest.raises(UsageError, match=r"captions come from \.txt"):
        list(read_texts(written(tmp_path / "a.docx", "x")))


def test_a_fingerprint_tells_sources_apart(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "one\n")
    before = fingerprint(path)
    assert fingerprint(written(tmp_path / "b.txt", "one\n")) == before
    assert fingerprint(written(path, "two\n")) != before
