"""Job files: rows in, edits out; what is wrong is said with the row."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.jobs import read_jobs
from ip2p_cli.types import EditSettings


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_csv_rows(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "jobs.csv",
        "input,instruction,output,steps,cfg_text,sampler\na.jpg,make it winter,,,,\n"
        'b.jpg,"warm, sunny",x/b.png,4,1.25,ddim\n',
    )
    first, second = read_jobs(path)
    assert (first.input, first.instruction, first.output) == ("a.jpg", "make it winter", None)
    assert first.settings == EditSettings()
    assert (second.instruction, second.output) == ("warm, sunny", "x/b.png")
    assert second.settings == EditSettings(steps=4, cfg_text=1.25, sampler="ddim")


def test_json_rows_and_a_byte_order_mark(tmp_path: Path) -> None:
    rows = [{"input": "a.jpg", "instruction": "x", "seed": 7}, {"input": "b.jpg", "instruction": "y", "steps": None}]
    path = tmp_path / "jobs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", "utf-8-sig")
    assert [job.settings.seed for job in read_jobs(path)] == [7, None]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("j.csv", "input,instruction,stpes\na.jpg,x,3\n", r"row 1: unknown field 'stpes'. Did you mean steps"),
        ("j.csv", "input,instruction\na.jpg,x\nb.jpg,\n", r"row 2: `instruction` is missing"),
        ("j.csv", "input,instruction\na.jpg,x,3\n", r"row 1: more cells"),
        ("j.csv", "input,instruction,steps\na.jpg,x,many\n", r"row 1: steps: .*'many'"),
        ("j.csv", "input,instruction\n", "no rows"),
        ("j.jsonl", '{"input": "a.jpg", "instruction": "x"}\n{"input": ', "row 2: not valid JSON"),
        ("j.jsonl", "[1]\n", "row 1: a JSON object"),
        ("j.jsonl", '{"input": "a.jpg", "instruction": "x", "steps": true}\n', "row 1: steps: True"),
        ("j.jsonl", '{"input": 3, "instruction": "x"}\n', "row 1: input: 3"),
        ("j.txt", "a.jpg\n", "ends in .csv or .jsonl"),
    ],
)
def test_what_is_wrong_is_said_with_its_row(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_jobs(write(tmp_path, name, text))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_jobs(tmp_path / "none.csv")
    (tmp_path / "j.csv").write_bytes(b"input,instruction\n\xff,x\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_jobs(tmp_path / "j.csv")


WORDS = st.text(
    st.characters(blacklist_categories=("Cc", "Cs")) | st.sampled_from("\u0085\u2028\u2029\n;\t"), min_size=1
).filter(lambda t: t.strip() == t)


@given(rows=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_csv_carries_any_text(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("input", "instruction"), *rows])
    path = tmp_path / "any.csv"
    path.write_text(buffer.getvalue(), "utf-8", newline="")
    assert [(job.input, job.instruction) for job in read_jobs(path)] == rows


@given(rows=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5), ascii_only=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_json_lines_carry_any_text(tmp_path: Path, rows: list[tuple[str, str]], ascii_only: bool) -> None:
    path = tmp_path / "any.jsonl"
    lines = [json.dumps({"input": name, "instruction": text}, ensure_ascii=ascii_only) for name, text in rows]
    path.write_text("\n".join(lines), "utf-8", newline="")
    assert [(job.input, job.instruction) for job in read_jobs(path)] == rows


def test_files_of_a_spreadsheet(tmp_path: Path) -> None:
    text = "sep=;\r\ninput;instruction;cfg_text\r\na.jpg;warm, sunny;7,5\r\n;;\r\nb.jpg;x;\r\n;;\r\n"
    with pytest.raises(UsageError, match="row 1: cfg_text"):
        read_jobs(write(tmp_path, "a.csv", text))
    jobs = read_jobs(write(tmp_path, "b.csv", "\ufeff" + text.replace("7,5", "7.5")))
    assert [(job.instruction, job.settings.cfg_text) for job in jobs] == [("warm, sunny", 7.5), ("x", None)]
    with pytest.raises(UsageError, match="two columns are called 'steps'"):
        read_jobs(write(tmp_path, "c.csv", "input,instruction,steps, steps\na.jpg,x,3,4\n"))
