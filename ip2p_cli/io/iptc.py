"""IPTC-IIM of photos (the older form of titles, rights and keywords) as properties of XMP."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from PIL import Image, IptcImagePlugin

# The most bytes that are read: more than any editor of photos writes.
MAX_BYTES = 1_000_000
_TAG, _RESOURCE = 33723, 0x0404  # where TIFF and JPEG hold it
# Photoshop's own blocks in a TIFF, which Pillow does not look into.
_PHOTOSHOP_TAG, _IN_PHOTOSHOPS = 34377, b"8BIM\4\4"
# https://iptc.org/std/photometadata/specification/: the number of a field in record 2, and its property in XMP.
_PROPERTIES: Mapping[int, str] = MappingProxyType(
    {
        5: "dc:title",
        10: "photoshop:Urgency",
        15: "photoshop:Category",
        20: "photoshop:SupplementalCategories",
        25: "dc:subject",
        40: "photoshop:Instructions",
        80: "dc:creator",
        85: "photoshop:AuthorsPosition",
        90: "photoshop:City",
        92: "Iptc4xmpCore:Location",
        95: "photoshop:State",
        100: "Iptc4xmpCore:CountryCode",
        101: "photoshop:Country",
        103: "photoshop:TransmissionReference",
        105: "photoshop:Headline",
        110: "photoshop:Credit",
        115: "photoshop:Source",
        116: "dc:rights",
        120: "dc:description",
        122: "photoshop:CaptionWriter",
    }
)
_DATE, _TIME = 55, 60
# Versions, the digitising program and its times say nothing about the picture.
_TECHNICAL = frozenset({0, 3, 4, 62, 63, 65, 70, 130, 131})
_CHARACTERS, _UTF_8 = (1, 90), b"\x1b%G"


def fields(image: Image.Image) -> tuple[dict[str, list[str]], bool]:
    """Read the IPTC-IIM of a JPEG or TIFF.

    Returns:
        The texts by their property in XMP, such as "dc:rights"; and whether all that is there was read.
    """
    block = _block(image)
    if not block or len(block) > MAX_BYTES:
        return {}, not block and _IN_PHOTOSHOPS not in _tag(image, _PHOTOSHOP_TAG)
    try:
        found: Mapping[tuple[int, int], Any] = IptcImagePlugin.getiptcinfo(image) or {}  # type: ignore[arg-type]
    except Exception:  # broken, in any way
        return {}, False
    encoding = "utf-8" if found.get(_CHARACTERS) == _UTF_8 else None
    texts: dict[int, list[str]] = {}
    for (part, number), values in found.items():
        values = values if isinstance(values, list) else [values]
        if part == 2 and number not in _TECHNICAL and (words := [_text(value, encoding) for value in values if value]):
            texts[number] = words
    taken = _date(texts.pop(_DATE, [""])[0], texts.pop(_TIME, [""])[0])
    properties = {_PROPERTIES[number]: words for number, words in texts.items() if number in _PROPERTIES}
    if taken:
        properties["photoshop:DateCreated"] = [taken]
    return properties, bool(found) and set(texts) <= set(_PROPERTIES)


def _block(image: Image.Image) -> bytes:
    """Return the bytes that Pillow looks for fields in; b"" where there are none."""
    blocks = image.info.get("photoshop")
    block = blocks.get(_RESOURCE) if isinstance(blocks, dict) else None
    return block if isinstance(block, bytes) else _tag(image, _TAG)


def _tag(image: Image.Image, number: int) -> bytes:
    """Return the bytes of a tag of a TIFF, which may be called integers; b"" without."""
    block = getattr(getattr(image, "tag_v2", None), "_tagdata", {}).get(number)
    return block if isinstance(block, bytes) else b""


def _text(value: bytes, encoding: str | None) -> str:
    """Decode a text: files that do not name an encoding hold UTF-8 or Windows' Latin letters."""
    with contextlib.suppress(UnicodeDecodeError):
        return value.decode("utf-8")
    return value.decode(encoding or "cp1252", "replace")


def _date(day: str, time: str) -> str:
    """Write "20200131" and "120000+0100" as ISO 8601 does; parts of a day that are 00 are not known."""
    if not (day.isascii() and day.isdecimal() and len(day) == 8):
        return ""
    parts = [part for part in (day[:4], day[4:6], day[6:]) if part.strip("0")]
    date = "-".join(parts)
    if len(parts) < 3 or not time[:6].isdecimal() or len(time) < 6:
        return date
    zone = f"{time[6:9]}:{time[9:11]}" if len(time) == 11 else ""
    return f"{date}T{time[:2]}:{time[2:4]}:{time[4:6]}{zone}"
