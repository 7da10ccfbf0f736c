"""Rows of CSV as programs and spreadsheets write it, and of JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.tables import read_rows


def rows(folder: Path, name: str, text: str, *, strict: bool = False) -> list[tuple[int, Any]]:
    path = folder / name
    path.write_text(text, "utf-8", newline="")
    return list(read_rows(path, strict=strict))


@pytest.mark.parametrize("before", ["", "\ufeff", "\r\n\r\n"])
@pytest.mark.parametrize(
    "text",
    [
        'a, b,"c"\r\n1,"x, y",\r\n2\r\n',
        'a;b;c\r\n1;"x, y";\r\n2;;\r\n',
        'sep=;\r\n"a";b;c\r\n1;x, y;\r\n2\r\n',
        "a\tb\tc\r\n1\tx, y\t\r\n2\t\t\r\n",
        'sep=|\na|b|c\n1|"x, y"|\n2|',
    ],
)
def test_separators(tmp_path: Path, text: str, before: str) -> None:
    assert rows(tmp_path, "t.csv", before + text) == [
        (1, {"a": "1", "b": "x, y", "c": None}),
        (2, {"a": "2", "b": None, "c": None}),
    ]


def test_the_header_decides_not_the_texts(tmp_path: Path) -> None:
    assert rows(tmp_path, "t.csv", "caption\na; b; c\n") == [(1, {"caption": "a; b; c"})]
    assert rows(tmp_path, "t.csv", '"a;b;c",d\n1,2\n') == [(1, {"a;b;c": "1", "d": "2"})]


def test_blank_rows_do_not_count(tmp_path: Path) -> None:
    assert rows(tmp_path, "t.csv", "a,b\n\n1,2\n,\n  , \n3,4\n\n") == [
        (1, {"a": "1", "b": "2"}),
        (2, {"a": "3", "b": "4"}),
    ]
    assert rows(tmp_path, "t.csv", "") == []


@pytest.mark.parametrize("strict", [False, True])
def test_two_columns_of_one_name(tmp_path: Path, strict: bool) -> None:
    with pytest.raises(UsageError, match=r"t\.csv: two columns are called 'text': rename or remove one"):
        rows(tmp_path, "t.csv", "text,id, text\na,1,b\n", strict=strict)
    assert rows(tmp_path, "t.csv", "text;;\na;;\n") == [(1, {"text": "a", "": None})]  # a spreadsheet's empty columns


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_line_breaks_within_a_text(tmp_path: Path, name: str) -> None:
    value = "one\u2028two\u0085three\x0bfour"
    text = f'a\n"{value}"\n' if name == "t.csv" else f'"{value}"\n'.replace("\x0b", "\\u000b")
    ((_, row),) = rows(tmp_path, name, text)
    assert (row["a"] if name == "t.csv" else row) == value


def test_json_lines(tmp_path: Path) -> None:
    assert rows(tmp_path, "t.jsonl", '\ufeff{"a": 1}\r\n\n[2]\n"b"') == [(1, {"a": 1}), (3, [2]), (4, "b")]


@pytest.mark.parametrize(("strict", "error"), [(False, InputError), (True, UsageError)])
def test_damage_is_named_with_its_row(tmp_path: Path, strict: bool, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"t\.jsonl, row 2: not valid JSON"):
        rows(tmp_path, "t.jsonl", "1\n{\n", strict=strict)
    with pytest.raises(error, match="not valid CSV after row 1"):
        rows(tmp_path, "t.csv", "a\n1\n" + "x" * 200_000 + "\n", strict=strict)


def test_stray_quotes_and_cells(tmp_path: Path) -> None:
    assert rows(tmp_path, "t.csv", 'a,b\n"x"y,2,3\n') == [(1, {"a": "xy", "b": "2"})]
    with pytest.raises(UsageError, match="not valid CSV"):
        rows(tmp_path, "t.csv", 'a,b\n"x"y,2\n', strict=True)
    with pytest.raises(UsageError, match="row 1: more cells than the header has; quote texts that hold ;"):
        rows(tmp_path, "t.csv", "a;b\nx;y;z\n", strict=True)


def test_what_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a\n\xff\n")
    with pytest.raises(InputError, match="not UTF-8"):
        list(read_rows(tmp_path / "t.csv"))
    with pytest.raises(InputError, match="no such file"):
        list(read_rows(tmp_path / "none.csv"))
