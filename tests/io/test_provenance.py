"""How a picture was made goes into every format, comes back exactly, and can be read by other tools."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from ip2p_cli.errors import InputError, OutputError
from ip2p_cli.io import provenance
from ip2p_cli.io.images import read_image
from ip2p_cli.io.provenance import (
    SOURCE_TYPE,
    parameters,
    parents_of,
    read_record,
    sidecar_of,
    write_sidecar,
    xmp_packet,
)
from tests.io.pictures import write_image

FORMATS = ["png", "jpg", "webp", "tiff", "avif"]
NASTY = "say \"<b>&amp;</b>\" \\ ]]>\n🙂 Steps: 1, x\t\u2028 'quoted' <!DOCTYPE x>"

RECORD: dict[str, Any] = {
    "ip2p": "0.1.0",
    "model": "nano",
    "weights": "abc123",
    "instruction": "make it winter",
    "steps": 1,
    "cfg_text": 1.0,
    "cfg_image": 1.0,
    "sampler": "ddim",
    "seed": 7,
    "resolution": 256,
    "output_size": "input",
    "input": "in.jpg",
    "input_sha256": "00ff",
    "size": [640, 480],
    "parents": [],
}


def written(folder: Path, ending: str, record: dict[str, Any] | None, **options: Any) -> Path:
    path = folder / f"out.{ending}"
    write_image(Image.new("RGB", (8, 8)), path, overwrite=True, record=record, **options)
    return path


@pytest.mark.parametrize("ending", FORMATS)
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(), st.just(NASTY), st.text(st.sampled_from("\ud800\0\a\x7f\n\r\u2028<>&\"'\\]🙂é"))))
def test_any_instruction_comes_back_exactly(tmp_path: Path, ending: str, instruction: str) -> None:
    record = {**RECORD, "instruction": instruction}
    assert read_record(written(tmp_path, ending, record)) == record


def user_comment(path: Path) -> str:
    with Image.open(path) as image:
        comment = image.getexif().get_ifd(0x8769)[0x9286]
    assert comment.startswith(b"UNICODE\0")
    return str(comment[8:].decode("utf-16-be"))


@pytest.mark.parametrize("ending", FORMATS)
def test_other_tools_read_the_parameters(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path, ending, {**RECORD, "instruction": "冬 🙂"})
    if ending == "png":
        with Image.open(path) as image:
            text = image.info["parameters"]
    else:
        text = user_comment(path)
    assert text == (
        "冬 🙂\nSteps: 1, Sampler: ddim, CFG scale: 1.0, Image CFG scale: 1.0, Seed: 7, Size: 640x480, "
        "Model hash: abc123, Model: nano, Version: ip2p 0.1.0"
    )


def test_latin_parameters_are_a_plain_text_chunk(tmp_path: Path) -> None:
    data = written(tmp_path, "png", RECORD).read_bytes()
    assert b"tEXtparameters\0make it winter\n" in data
    assert b"iTXtip2p\0" in data


def test_parameters_leave_out_what_is_not_known_and_quote_what_would_confuse() -> None:
    text = parameters({"ip2p": "1", "instruction": "x", "model": 'a, "b": c', "weights": None, "seed": 1})
    assert text == 'x\nSeed: 1, Model: "a, \\"b\\": c", Version: ip2p 1'
    assert parameters({"ip2p": "1", "instruction": "a\0b\udc80"}) == "ab?\nVersion: ip2p 1"


@pytest.mark.parametrize("ending", FORMATS)
def test_xmp_says_how_it_came_about(tmp_path: Path, ending: str) -> None:
    with Image.open(written(tmp_path, ending, {**RECORD, "instruction": NASTY})) as image:
        root = ElementTree.fromstring(image.info["xmp"])
    said = {element.tag: element.text for element in root.iter()}
    assert said["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"] == SOURCE_TYPE
    assert said["{http://ns.adobe.com/xap/1.0/}CreatorTool"] == "ip2p 0.1.0"
    assert json.loads(said["{urn:ip2p:provenance:1.0/}record"] or "")["instruction"] == NASTY


@pytest.mark.parametrize("ending", FORMATS)
def test_without_a_record_nothing_is_said(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path, ending, None)
    assert read_record(path) is None
    assert b"ip2p" not in path.read_bytes()


@pytest.mark.parametrize("ending", FORMATS)
def test_the_same_record_gives_the_same_bytes(tmp_path: Path, ending: str) -> None:
    assert written(tmp_path, ending, RECORD).read_bytes() == written(tmp_path, ending, RECORD).read_bytes()


@pytest.mark.parametrize("ending", FORMATS)
def test_the_photos_own_words_stay(tmp_path: Path, ending: str) -> None:
    exif = Image.Exif()
    exif[270] = "our garden"
    path = written(tmp_path, ending, RECORD, exif=exif.tobytes())
    with Image.open(path) as image:
        assert image.getexif()[270] == "our garden"
    assert read_record(path) == RECORD
    assert read_image(path).notes == ()


# Chains


@pytest.mark.parametrize("ending", FORMATS)
def test_parents_are_a_chain_oldest_first(tmp_path: Path, ending: str) -> None:
    chain: list[dict[str, Any]] = []
    for number in range(3):
        path = written(tmp_path, ending, {**RECORD, "seed": number, "parents": chain})
        chain = parents_of(path)
        assert [p["seed"] for p in chain] == list(range(number + 1))
        assert all("parents" not in p for p in chain)


def test_chains_are_bounded(tmp_path: Path) -> None:
    parents = [{"ip2p": "0", "seed": n, "parents": [{}]} for n in range(150)] + [3, "x"]
    chain = parents_of(written(tmp_path, "png", {**RECORD, "seed": "last", "parents": parents}))
    assert len(chain) == provenance.MAX_PARENTS
    assert [p["seed"] for p in chain] == [*range(51, 150), "last"]
    assert not any("parents" in p for p in chain)


def test_no_parents_of_what_is_no_record(tmp_path: Path) -> None:
    assert parents_of(written(tmp_path, "png", None)) == []
    (tmp_path / "a.jpg").write_text("no picture")
    assert parents_of(tmp_path / "a.jpg") == []
    assert parents_of(tmp_path / "missing.jpg") == []
    assert parents_of(written(tmp_path, "png", {**RECORD, "parents": "odd"})) == [
        {key: value for key, value in RECORD.items() if key != "parents"}
    ]


def test_a_jpeg_holds_the_latest_parents_that_fit(tmp_path: Path) -> None:
    parents = [{**RECORD, "seed": n, "instruction": "x" * 1000} for n in range(100)]
    record = read_record(written(tmp_path, "jpg", {**RECORD, "parents": parents}))
    assert record is not None
    kept = [p["seed"] for p in record["parents"]]
    assert 30 < len(kept) < 100
    assert kept == list(range(100 - len(kept), 100))
    whole = read_record(written(tmp_path, "png", {**RECORD, "parents": parents}))
    assert whole is not None
    assert len(whole["parents"]) == 100


def test_an_instruction_beyond_what_a_jpeg_holds(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"out\.jpg: the instruction is too long for this format to hold: use \.png"):
        written(tmp_path, "jpg", {**RECORD, "instruction": "x" * 70_000})
    assert not list(tmp_path.iterdir())


# Files that others made


def foreign(tmp_path: Path, packet: bytes) -> Path:
    path = tmp_path / "a.webp"
    Image.new("RGB", (8, 8)).save(path, xmp=packet)
    return path


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    bomb = b'<!DOCTYPE r [<!ENTITY a "{}">]>' + xmp_packet(RECORD).replace(b'"nano"', b'"&a;"')
    assert read_record(foreign(tmp_path, bomb)) is None
    laughs = b'<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><r>&b;</r>'
    assert read_record(foreign(tmp_path, laughs)) is None


def test_a_record_that_a_tool_rewrote_as_an_attribute(tmp_path: Path) -> None:
    text = json.dumps(RECORD).replace('"', "&quot;")
    packet = f'<r xmlns:q="urn:ip2p:provenance:1.0/"><d q:record="{text}"/></r>'.encode()
    assert read_record(foreign(tmp_path, packet)) == RECORD


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{", '{"a": 1}', '{"ip2p": 3}', "[" * 100_000, "\0", "x" * (provenance.MAX_BYTES + 1)]
)
def test_what_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    packet = f'<r xmlns:q="urn:ip2p:provenance:1.0/"><q:record>{text}</q:record></r>'.encode()
    assert read_record(foreign(tmp_path, packet)) is None
    info = PngImagePlugin.PngInfo()
    info.add_itxt("ip2p", text)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    assert read_record(tmp_path / "a.png") is None
    sidecar_of(tmp_path / "a.png").write_text(text)
    assert read_record(tmp_path / "a.png") is None


@pytest.mark.parametrize("packet", [b"", b"<", b"\xff\xfe", b"<r/>", b"<r>&nope;</r>", bytes(99)])
def test_broken_xmp_is_none(tmp_path: Path, packet: bytes) -> None:
    assert read_record(foreign(tmp_path, packet)) is None


def test_reading_a_record_of_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(InputError, match=r"a\.png is not a picture"):
        read_record(tmp_path / "a.png")
    with pytest.raises(InputError, match="no such file"):
        read_record(tmp_path / "b.png")


# Sidecars


def test_a_sidecar_speaks_where_the_picture_does_not(tmp_path: Path) -> None:
    path = written(tmp_path, "jpg", None)
    assert write_sidecar(path, RECORD) == tmp_path / "out.jpg.json"
    assert read_record(path) == RECORD
    assert parents_of(path)[0]["seed"] == 7
    assert read_record(written(tmp_path, "jpg", {**RECORD, "seed": 8})) == {**RECORD, "seed": 8}


def test_a_sidecar_is_written_whole_and_never_over_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "png", None)
    sidecar_of(path).write_text("mine")
    with pytest.raises(OutputError, match=r"out\.png\.json exists already"):
        write_sidecar(path, RECORD)
    write_sidecar(path, RECORD, overwrite=True)
    before = sidecar_of(path).read_text()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space left"):
        write_sidecar(path, {**RECORD, "seed": 8}, overwrite=True)
    assert sidecar_of(path).read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.png", "out.png.json"]
