"""Shards: whole or not there, the same bytes for the same rows, and what cannot be read is said."""

from __future__ import annotations

import gc
import json
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ip2p_cli.errors import InputError, OutputError, UsageError
from ip2p_cli.io.files import as_output_error
from ip2p_cli.io.shards import Sample, Shards, ShardWriter
from ip2p_cli.types import Caption

ROWS = [{"key": "a", "caption": "a cät"}, {"key": "b", "caption": "dogs\nand more"}]


def write(shards: Shards, number: int = 0, source: str = "") -> None:
    with shards.writing(number, source) as writer:
        for row in ROWS:
            writer.add(row, {"original.jpg": row["key"].encode(), "edited.jpg": b"x" * 700})
        writer.drop("too short", 2)


@pytest.mark.parametrize("shard_format", ["jsonl", "tar"])
def test_rows_come_back(tmp_path: Path, shard_format: str) -> None:
    shards = Shards(folder=tmp_path / "new" / "captions", format=shard_format)  # type: ignore[arg-type]
    write(shards, 7, "abc")
    assert list(shards.rows(7)) == ROWS
    marker = shards.marker(7)
    assert shards.done() == {7: marker}
    assert (marker.rows, marker.source, marker.counts) == (2, "abc", {"too short": 2})
    assert not list(shards.folder.glob(".*"))


def test_pictures_come_back_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    one, two = (Shards(folder=tmp_path / name, format="tar") for name in ("one", "two"))
    write(one)
    write(two)
    assert one.path(0).read_bytes() == two.path(0).read_bytes()
    assert one.marker(0).sha256 == two.marker(0).sha256
    pictures = {"original.jpg": b"b", "edited.jpg": b"x" * 700}
    assert list(one.samples(0))[1] == Sample(row=ROWS[1], pictures=pictures)
    with tarfile.open(one.path(0)) as tar:
        assert tar.getnames()[:3] == ["a.original.jpg", "a.edited.jpg", "a.json"]


def test_what_fails_is_not_there(tmp_path: Path) -> None:
    shards = Shards(folder=tmp_path)
    with pytest.raises(KeyError), shards.writing(0) as writer:
        writer.add(ROWS[0] | {"key": ROWS[0]["no such"]})
    assert list(tmp_path.iterdir()) == []
    assert shards.done() == {}
    with pytest.raises(InputError, match=r"00000\.jsonl is not finished"):
        shards.marker(0)


def test_a_shard_without_its_marker_is_not_there(tmp_path: Path) -> None:
    shards = Shards(folder=tmp_path)
    write(shards)
    shards.marker_path(0).write_text("{")
    assert shards.done() == {}


def test_other_settings_are_refused_or_redone(tmp_path: Path) -> None:
    shards = Shards(folder=tmp_path)
    shards.begin({"seed": 1, "pair": (1, 2)})
    write(shards)
    shards.begin({"seed": 1, "pair": (1, 2)})
    with pytest.raises(UsageError, match="seed 1, now 2"):
        shards.begin({"seed": 2, "pair": (1, 2)})
    assert list(shards.done()) == [0]
    shards.begin({"seed": 2}, redo=True)
    assert shards.done() == {}
    assert shards.about() == {"seed": 2}


@pytest.mark.parametrize(("shard_format", "data"), [("jsonl", b"{nonsense\n"), ("tar", b"no tar at all" * 100)])
def test_damage_is_said(tmp_path: Path, shard_format: str, data: bytes) -> None:
    shards = Shards(folder=tmp_path, format=shard_format)  # type: ignore[arg-type]
    write(shards)
    shards.path(0).write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        list(shards.rows(0))


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError), Shards(folder=tmp_path / "file").writing(0):
        pass


def test_a_key_that_would_be_cut(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be a key"), Shards(folder=tmp_path, format="tar").writing(0) as writer:
        writer.add({"key": "a.b"})


@given(st.lists(st.dictionaries(st.text(), st.none() | st.integers() | st.text()), max_size=5))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    shards = Shards(folder=tmp_path_factory.mktemp("any"))
    with shards.writing(0) as writer:
        for row in rows:
            writer.add(json.loads(json.dumps(row)))
    assert list(shards.rows(0)) == rows


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "marker",
    [
        DEEP,
        b"3",
        b"[]",
        b"{}",
        b'{"number": "0", "rows": 1, "sha256": ""}',
        b'{"number": 0, "rows": -1, "sha256": ""}',
        b'{"number": 0, "rows": 1000000000000, "sha256": ""}',
        b'{"number": 7, "rows": 1, "sha256": ""}',
        b'{"number": 0, "rows": 1, "sha256": "", "counts": {"a": []}}',
    ],
)
def test_a_marker_of_another_shape_marks_nothing(tmp_path: Path, marker: bytes) -> None:
    shards = Shards(folder=tmp_path)
    with shards.writing(0) as writer:
        writer.add({"a": 1})
    assert list(shards.done()) == [0]
    shards.marker_path(0).write_bytes(marker)
    assert shards.done() == {}
    with pytest.raises(InputError, match="is not finished"):
        shards.marker(0)


@pytest.mark.parametrize("settings", [DEEP, b"3", b"[1]", b"\xff"])
def test_settings_of_another_shape_are_none(tmp_path: Path, settings: bytes) -> None:
    (tmp_path / "stage.json").write_bytes(settings)
    assert Shards(folder=tmp_path).about() is None


@pytest.mark.parametrize("line", [DEEP, b"3", b'{"key": 1}', b'{"key": "a", "caption": []}'])
def test_rows_of_another_shape_are_damage(tmp_path: Path, line: bytes) -> None:
    shards = Shards(folder=tmp_path)
    shards.path(0).write_bytes(line + b"\n")
    with pytest.raises(InputError, match="is damaged") as error:
        list(shards.objects(0, Caption))
    assert "\n" not in str(error.value)


def test_a_full_disk_is_one_error_and_no_destructor_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        def tell(self) -> int:
            return 0

    with pytest.raises(OutputError, match="no space left"), as_output_error(tmp_path):
        ShardWriter(Full(), "tar").add({"key": "a"}, {"original.jpg": b"x" * 10})  # type: ignore[arg-type]
    gc.collect()
    assert unraisable == []
