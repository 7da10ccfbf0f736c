"""XMP, IPTC and text of photos: what they say of title, rights and ratings is in the edit too, in every format."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from ip2p_cli.editing.outputs import encoded
from ip2p_cli.io import xmp
from ip2p_cli.io.images import Picture, read_image
from ip2p_cli.io.provenance import read_record, xmp_packet
from ip2p_cli.io.xmp import NAMESPACES, carried, strip_location
from ip2p_cli.types import OutputOptions
from tests.io.pictures import saved, smooth

FORMATS = ["png", "jpg", "webp", "tiff", "avif"]
RECORD: dict[str, Any] = {"ip2p": "0.1.0", "instruction": "make it winter", "parents": []}
LANG = f"{{{NAMESPACES['xml']}}}lang"

PHOTO = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
 xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"
 xmlns:Container="http://ns.google.com/photos/1.0/container/" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:Iptc4xmpCore="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
 xmlns:drone="http://www.dji.com/drone-dji/1.0/" xmlns:mine="urn:mine"
 xmp:Rating="4" xmp:CreatorTool="Lens 3" crs:Exposure="+1" hdrgm:Version="1.0" GCamera:MicroVideo="1"
 tiff:Orientation="6" exif:PixelXDimension="4000" exif:GPSLatitude="47,30N" exif:LensModel="35 mm"
 xmpMM:InstanceID="xmp.iid:1" drone:GpsLongtitude="9.1" photoshop:City="Bern" mine:Note="a &lt; b &quot;c&quot;">
<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Jürgen &amp; Co</rdf:li></rdf:Alt></dc:rights>
<dc:creator><rdf:Seq><rdf:li>Jürgen</rdf:li><rdf:li>Co</rdf:li></rdf:Seq></dc:creator>
<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType="Resource">/9j/THUMB</rdf:li></rdf:Alt></xmp:Thumbnails>
<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"/></rdf:Seq></Container:Directory>
<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture</Iptc4xmpExt:DigitalSourceType>
<Iptc4xmpExt:LocationShown><rdf:Bag><rdf:li rdf:parseType="Resource">
<Iptc4xmpExt:City>Bern</Iptc4xmpExt:City></rdf:li></rdf:Bag></Iptc4xmpExt:LocationShown>
<Iptc4xmpCore:Location>Kramgasse</Iptc4xmpCore:Location>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()
LEFT_OUT = ["Lens 3", "Exposure", "hdrgm", "MicroVideo", "Orientation", "4000", "InstanceID", "THUMB", "digitalCapture"]
PLACES = ["47,30N", "9.1", "Bern", "Kramgasse", "LocationShown"]


def said(path: Path) -> dict[str, list[str]]:
    """The texts of each property in a file's XMP, as another tool reads them."""
    with Image.open(path) as image:
        packet = image.info.get("xmp")
    return texts_of(packet) if packet else {}


def texts_of(packet: bytes) -> dict[str, list[str]]:
    rdf = f"{{{NAMESPACES['rdf']}}}"
    root = ElementTree.fromstring(packet.rstrip(b"\0").decode())
    found: dict[str, list[str]] = {}
    for description in root.iter(f"{rdf}Description"):
        for element in description:
            assert element.tag not in found, "each property once"
            found[element.tag] = [text.strip() for text in element.itertext() if text.strip()]
    return found


def full(name: str) -> str:
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def edit(picture: Picture, path: Path, **options: Any) -> Path:
    path.write_bytes(encoded(picture.rgb, path, picture, RECORD, OutputOptions(**options)))
    return path


def with_xmp(tmp_path: Path, ending: str, packet: bytes) -> Path:
    path, options = tmp_path / f"photo.{ending}", {"xmp": packet}
    if ending == "png":
        options = {"pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet.decode("utf-8", "replace"))
    elif ending == "tiff":
        options = {"tiffinfo": {700: packet}}
    smooth().save(path, **options)
    return path


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("ending", FORMATS)
def test_rights_and_ratings_are_in_the_edit(tmp_path: Path, source: str, ending: str) -> None:
    picture = read_image(with_xmp(tmp_path, source, PHOTO))
    assert picture.notes == ()
    out = edit(picture, tmp_path / f"out.{ending}")
    found = said(out)
    assert found[full("dc:rights")] == ["© Jürgen & Co"]
    assert found[full("dc:creator")] == ["Jürgen", "Co"]
    assert found[full("xmp:Rating")] == ["4"]
    assert found["{urn:mine}Note"] == ['a < b "c"']
    assert found[full("exif:GPSLatitude")] == ["47,30N"]
    assert found[full("xmp:CreatorTool")] == ["ip2p 0.1.0"]
    assert found[full("Iptc4xmpExt:DigitalSourceType")][0].endswith("compositeWithTrainedAlgorithmicMedia")
    assert read_record(out) == RECORD
    assert not [word for word in LEFT_OUT if word in str(found)]


def test_from_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(smooth()).save(tmp_path / "a.heic", xmp=PHOTO)
    picture = read_image(tmp_path / "a.heic")
    assert picture.notes == ()
    assert said(edit(picture, tmp_path / "out.jpg"))[full("xmp:Rating")] == ["4"]


def test_the_prefixes_stay() -> None:
    description = carried(PHOTO).description
    for name in (b"<xmp:Rating>4<", b"<dc:rights>", b"<drone:GpsLongtitude>", b'xml:lang="x-default"', b"<mine:Note>"):
        assert name in description


@pytest.mark.parametrize("ending", FORMATS)
def test_location_is_stripped_from_it(tmp_path: Path, ending: str) -> None:
    picture = read_image(with_xmp(tmp_path, "jpg", PHOTO))
    out = edit(picture, tmp_path / f"out.{ending}", strip_location=True)
    found = said(out)
    assert found[full("dc:rights")] == ["© Jürgen & Co"]
    assert found[full("exif:LensModel")] == ["35 mm"]
    assert not [word for word in PLACES if word in str(found)]
    assert b"Kramgasse" not in out.read_bytes()


@pytest.mark.parametrize("ending", FORMATS)
def test_without_metadata_there_is_neither_xmp_nor_density(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "photo.jpg"
    smooth().save(path, xmp=PHOTO, dpi=(300, 300), exif=Image.Exif())
    picture = read_image(path)
    assert picture.density == (300, 300)
    with Image.open(edit(picture, tmp_path / f"with.{ending}")) as image:
        assert float(image.info.get("dpi", (image.getexif().get(282),))[0]) == pytest.approx(300, abs=0.1)
    out = edit(picture, tmp_path / f"without.{ending}", metadata=False)
    assert said(out) == {}
    with Image.open(out) as image:
        assert image.getexif().get(282) is None
        assert image.info.get("dpi", (1, 1)) == (1, 1)
        assert "comment" not in image.info


def test_an_edit_of_an_edit_says_it_once(tmp_path: Path) -> None:
    first = edit(read_image(with_xmp(tmp_path, "jpg", PHOTO)), tmp_path / "first.png")
    again = read_image(first)
    assert again.notes == ()
    assert [parent["instruction"] for parent in again.parents] == ["make it winter"]
    second = edit(again, tmp_path / "second.webp")
    assert said(second) == said(first)
    assert carried(second.read_bytes().partition(b"XMP ")[2][4:].partition(b'end="w"?>')[0] + b'end="w"?>')


# IPTC and texts


def iptc_block(*fields: tuple[int, str], encoding: str = "utf-8") -> bytes:
    head = b"\x1c\1\x5a\0\3\x1b%G" if encoding == "utf-8" else b""
    values = [(number, text.encode(encoding)) for number, text in fields]
    return head + b"".join(struct.pack(">BBBH", 0x1C, 2, number, len(data)) + data for number, data in values)


FIELDS = [(0, "\0\4"), (5, "Garden"), (25, "tree"), (25, "bee"), (55, "20200131"), (60, "120000+0100"), (80, "Jürgen")]
FIELDS += [(90, "Bern"), (92, "Kramgasse"), (101, "Schweiz"), (110, "Agency"), (115, "Own"), (116, "© Ä"), (120, "é")]


def jpeg_with(tmp_path: Path, block: bytes, **options: Any) -> Path:
    path = saved(tmp_path, smooth(), "iptc.jpg", **options)
    resource = b"8BIM\4\4\0\0" + struct.pack(">L", len(block)) + block + b"\0" * (len(block) % 2)
    segment = b"Photoshop 3.0\0" + resource
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + data[2:])
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize("source", ["jpg", "tiff"])
@pytest.mark.parametrize("ending", FORMATS)
def test_iptc_is_in_the_edits_xmp(tmp_path: Path, source: str, ending: str, encoding: str) -> None:
    block = iptc_block(*FIELDS, encoding=encoding)
    if source == "jpg":
        path = jpeg_with(tmp_path, block)
    else:
        path = saved(tmp_path, smooth(), "iptc.tiff", tiffinfo={33723: block})
    picture = read_image(path)
    assert picture.notes == ()
    found = said(edit(picture, tmp_path / f"out.{ending}"))
    assert found[full("dc:title")] == ["Garden"]
    assert found[full("dc:subject")] == ["tree", "bee"]
    assert found[full("dc:creator")] == ["Jürgen"]
    assert found[full("dc:rights")] == ["© Ä"]
    assert found[full("dc:description")] == ["é"]
    assert found[full("photoshop:DateCreated")] == ["2020-01-31T12:00:00+01:00"]
    assert found[full("photoshop:Country")] == ["Schweiz"]
    assert found[full("photoshop:Credit")] == ["Agency"]
    stripped = said(edit(picture, tmp_path / f"stripped.{ending}", strip_location=True))
    assert stripped[full("photoshop:Source")] == ["Own"]
    assert not [word for word in ("Bern", "Kramgasse", "Schweiz") if word in str(stripped)]


def test_xmp_goes_before_iptc(tmp_path: Path) -> None:
    picture = read_image(jpeg_with(tmp_path, iptc_block((116, "older"), (105, "News")), xmp=PHOTO))
    found = said(edit(picture, tmp_path / "out.png"))
    assert found[full("dc:rights")] == ["© Jürgen & Co"]
    assert found[full("photoshop:Headline")] == ["News"]


def test_iptc_that_has_no_place_is_noted(tmp_path: Path) -> None:
    assert read_image(jpeg_with(tmp_path, iptc_block((200, "own field")))).notes == (
        "not in the result: some of its IPTC",
    )
    assert read_image(jpeg_with(tmp_path, b"garbage")).notes == ("not in the result: some of its IPTC",)
    path = saved(tmp_path, smooth(), "a.tif", tiffinfo={34377: b"8BIM\4\4\0\0\0\0\0\0"})
    assert read_image(path).notes == ("not in the result: some of its IPTC",)


def test_endless_iptc_is_not_read(tmp_path: Path) -> None:
    path = saved(tmp_path, smooth(), "a.tif", tiffinfo={33723: iptc_block((25, "x")) * 500_000})
    started = time.monotonic()
    picture = read_image(path)
    assert picture.notes == ("not in the result: some of its IPTC",)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("ending", FORMATS)
def test_texts_of_png(tmp_path: Path, ending: str) -> None:
    info = PngImagePlugin.PngInfo()
    for name, text in {"Title": "Garden", "Author": "Jürgen 冬\a", "Copyright": "© me", "Software": "x"}.items():
        info.add_itxt(name, text)
    for name in ("workflow", "Comment", "prompt", "more"):
        info.add_text(name, "words")
    picture = read_image(saved(tmp_path, smooth(), "a.png", pnginfo=info))
    assert picture.notes == ('not in the result: its text "workflow", "Comment", "prompt", …',)
    found = said(edit(picture, tmp_path / f"out.{ending}"))
    assert found[full("dc:creator")] == ["Jürgen 冬"]
    assert found[full("dc:rights")] == ["© me"]


@pytest.mark.parametrize("ending", FORMATS)
def test_texts_of_tiff_are_exif_of_the_edit(tmp_path: Path, ending: str) -> None:
    tags = {270: "garden", 315: "Jürgen", 33432: "(c) me", 269: "page 1"}
    picture = read_image(saved(tmp_path, smooth(), "a.tif", tiffinfo=tags))
    assert picture.notes == ()
    with Image.open(edit(picture, tmp_path / f"out.{ending}")) as image:
        exif = image.getexif()
        assert (exif[270], exif[33432], exif[269]) == ("garden", "(c) me", "page 1")


def test_what_a_bigtiff_says_is_noted(tmp_path: Path) -> None:
    path = saved(tmp_path, smooth(), "a.tif", big_tiff=True, tiffinfo={315: "me"})
    assert read_image(path).notes == ("its EXIF is that of a BigTIFF and was left out",)


def test_imagemagicks_profiles_in_png(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type xmp", f"\nxmp\n{len(PHOTO)}\n{PHOTO.hex()}\n")
    picture = read_image(saved(tmp_path, smooth(), "a.png", pnginfo=info))
    assert picture.notes == ()
    assert said(edit(picture, tmp_path / "out.png"))[full("xmp:Rating")] == ["4"]


# Files from elsewhere


def rdf(inner: str, more: str = "") -> bytes:
    return (
        f'{more}<rdf:RDF xmlns:rdf="{NAMESPACES["rdf"]}" xmlns:dc="{NAMESPACES["dc"]}">'
        f'<rdf:Description rdf:about="">{inner}</rdf:Description></rdf:RDF>'
    ).encode()


LAUGHS = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12))
HOSTILE = {
    "billion laughs": rdf("<dc:rights>&a12;</dc:rights>", f'<!DOCTYPE r [<!ENTITY a0 "ha">{LAUGHS}]>'),
    "a file": rdf("<dc:rights>&a;</dc:rights>", '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
    "50 MB": rdf("<dc:rights>" + "x" * 50_000_000 + "</dc:rights>"),
    "broken": b"<rdf:RDF xmlns:rdf='x'><rdf:Description>",
    "no XML": b"\xff\xfe\x00rights",
    "NUL": rdf("<dc:rights>a\0b</dc:rights>"),
    "deep": rdf("<dc:rights>" * 100_000 + "</dc:rights>" * 100_000),
    "no namespace": b"<x:xmpmeta/>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xmp_costs_only_itself(tmp_path: Path, name: str) -> None:
    started = time.monotonic()
    picture = read_image(with_xmp(tmp_path, "webp", HOSTILE[name]))
    assert picture.notes == ("not in the result: its XMP (broken or too large)",)
    out = edit(picture, tmp_path / "out.jpg")
    assert set(said(out)) == set(texts_of(xmp_packet(RECORD)))
    assert b"root:" not in out.read_bytes()
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("ending", ["png", "tiff", "jpg"])
def test_broken_xmp_in_other_formats(tmp_path: Path, ending: str) -> None:
    picture = read_image(with_xmp(tmp_path, ending, HOSTILE["billion laughs"]))
    assert picture.notes == ("not in the result: its XMP (broken or too large)",)
    assert picture.xmp is None


def test_iptc_survives_broken_xmp(tmp_path: Path) -> None:
    picture = read_image(jpeg_with(tmp_path, iptc_block((116, "© me")), xmp=b"<broken"))
    assert picture.notes == ("not in the result: its XMP (broken or too large)",)
    assert said(edit(picture, tmp_path / "out.jpg"))[full("dc:rights")] == ["© me"]


def test_the_largest_properties_are_left_out(tmp_path: Path) -> None:
    texts = "".join(f"<dc:a{number}>{'x' * 300}</dc:a{number}>" for number in range(50))
    packet = rdf(f"<dc:source>{'x' * 30_000}</dc:source>{texts}<dc:format>y</dc:format>")
    picture = read_image(with_xmp(tmp_path, "webp", packet))
    assert picture.notes == ('not in the result: its XMP\'s "source" (too large)',)
    found = said(edit(picture, tmp_path / "out.jpg"))
    assert found[full("dc:format")] == ["y"]
    assert full("dc:a49") in found


def test_many_properties_take_no_long_time() -> None:
    packet = rdf("".join(f"<dc:a{number}>x</dc:a{number}>" for number in range(120_000)))
    started = time.monotonic()
    made = carried(packet)
    assert 5_000 < len(made.description) <= xmp.MAX_CARRIED
    assert time.monotonic() - started < 20


def test_prefixes_of_others_do_not_mix_namespaces() -> None:
    packet = rdf(
        '<a:x xmlns:a="urn:1">1</a:x><a:x xmlns:a="urn:2">2</a:x><dc:x xmlns:dc="urn:3">3</dc:x><y xmlns="urn:4"/>'
    )
    found = texts_of(xmp_packet(None, carried(packet).description))
    assert found == {"{urn:1}x": ["1"], "{urn:2}x": ["2"], "{urn:3}x": ["3"]}


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, len(PHOTO) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_change_gives_xmp_or_a_value_error(changes: list[tuple[int, int]]) -> None:
    packet = bytearray(PHOTO)
    for place, value in changes:
        packet[place] = value
    try:
        description = carried(bytes(packet)).description
    except ValueError:
        return
    texts_of(xmp_packet(RECORD, description))
    texts_of(xmp_packet(RECORD, strip_location(description)))


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_of_iptc_can_be_written(text: str) -> None:
    made = carried(b"", {"dc:rights": [text], "photoshop:City": [text]}).description
    assert strip_location(made).count(b"City") == 0
    texts_of(xmp_packet(RECORD, made))
