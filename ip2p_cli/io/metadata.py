"""What a photo says about itself beside its EXIF: title, creator, rights, rating, keywords, as XMP for the output.

XMP is carried over (see `xmp`); the fields of IPTC-IIM and the usual texts of PNG become properties of XMP where it
lacks them, so that they survive in every format.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from PIL import Image

from ip2p_cli.io import iptc, xmp
from ip2p_cli.io.names import printable

_TEXTS: Mapping[str, str] = MappingProxyType(
    {"Title": "dc:title", "Author": "dc:creator", "Description": "dc:description", "Copyright": "dc:rights"}
)
# Texts that say nothing about the picture, or that are read elsewhere.
_TECHNICAL = frozenset(
    ["Software", "Creation Time", "XML:com.adobe.xmp", "ip2p", "Raw profile type exif", "Raw profile type xmp"]
)
_TECHNICAL_STARTS = ("date:", "exif:", "icc:", "png:", "tiff:", "xmp:")
_SHOWN = 3


def carried_xmp(image: Image.Image, *, has_record: bool) -> tuple[bytes | None, str | None]:
    """Collect what is carried over from a decoded image.

    Args:
        image: The image.
        has_record: Whether ip2p made it: then its text of parameters is one that is written anew.

    Returns:
        An rdf:Description (see `xmp.carried`), None where there is nothing; and a note on what is not carried over.
    """
    packet = _packet(image.info)
    from_iptc, is_whole = iptc.fields(image)
    from_text, left_out = _texts(image, has_record)
    fields, lost = {**from_text, **from_iptc}, []
    try:
        carried = xmp.carried(packet, fields)
        lost += [f"its XMP's {_listed(carried.too_large)} (too large)"] if carried.too_large else []
    except ValueError:
        carried = xmp.carried(b"", fields)
        lost.append("its XMP (broken or too large)")
    lost += ["a part of its XMP (too large)"] if b"HasExtendedXMP" in packet else []
    lost += [] if is_whole else ["some of its IPTC"]
    lost += [f"its text {_listed(left_out)}"] if left_out else []
    return carried.description or None, f"not in the result: {', '.join(lost)}" if lost else None


def raw_profile(info: Mapping[Any, Any], name: str) -> bytes:
    """Return a block of metadata as ImageMagick puts it into PNG (a name, a length, then hex); b"" without.

    Raises:
        ValueError: It is not hex.
    """
    text = info.get(f"Raw profile type {name}")
    return bytes.fromhex("".join(text.split("\n")[3:])) if isinstance(text, str) else b""


def _packet(info: Mapping[Any, Any]) -> bytes:
    packet = info.get("xmp")
    if isinstance(packet, bytes) and packet.strip(b"\0 \r\n\t"):
        return packet
    try:
        return raw_profile(info, "xmp")
    except ValueError:
        return b"broken"


def _texts(image: Image.Image, has_record: bool) -> tuple[dict[str, list[str]], list[str]]:
    """Return the texts of a PNG by their property in XMP, and the names of texts that have no place."""
    # Pillow also puts what is no text into `info`.
    texts = getattr(image, "text", {}) if image.format == "PNG" else {}
    fields, left_out = {}, []
    for name, text in texts.items():
        if name in _TECHNICAL or name.startswith(_TECHNICAL_STARTS) or (has_record and name == "parameters"):
            continue
        if name in _TEXTS and text.strip():
            fields[_TEXTS[name]] = [str(text)]
        else:
            left_out.append(name)
    return fields, [*left_out, *(["comment"] if image.info.get("comment") else [])]


def _listed(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(f'"{printable(name[:40])}"' for name in names[:_SHOWN])
    return shown + (", …" if len(names) > _SHOWN else "")
