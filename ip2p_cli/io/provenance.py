"""How a picture was made, inside the picture: written so that ip2p can do it again and other tools can read it.

A record is a JSON object: ip2p (version), model, weights, instruction, the resolved settings by their names, input
(file name), input_sha256, size, parents (earlier records, oldest first, none with parents of its own). It is kept

- in PNG as text chunk "ip2p", else in XMP, in a namespace of ip2p's own; escaped JSON, so that XML never sees the text;
- as one text of parameters, as image generators write it, in PNG text "parameters", else in EXIF UserComment;
- beside the picture as NAME.json, if asked.

XMP also says that the picture was made with a trained model: IPTC's digital source type, which C2PA uses too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

from ip2p_cli.errors import InputError, OutputError
from ip2p_cli.io import formats as kinds
from ip2p_cli.io.files import check_regular_file, write_whole
from ip2p_cli.io.names import printable

# https://cv.iptc.org/newscodes/digitalsourcetype/: a picture edited with a trained model
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
MAX_PARENTS = 100
# Bytes of a record that are read at most: some thousand times a usual one.
MAX_BYTES = 4_000_000

_NAMESPACE = "urn:ip2p:provenance:1.0/"
_PARAMETERS = (
    ("Steps", "steps"),
    ("Sampler", "sampler"),
    ("CFG scale", "cfg_text"),
    ("Image CFG scale", "cfg_image"),
    ("Seed", "seed"),
    ("Size", "size"),
    ("Model hash", "weights"),
    ("Model", "model"),
    ("Version", "ip2p"),
)


def parameters(record: Mapping[str, Any]) -> str:
    """The record as the text that image generators write: the instruction, then one line "Steps: 1, Sampler: …".

    What the record does not say is left out. Values that hold the line's own signs are quoted as JSON.
    """
    parts = []
    for label, key in _PARAMETERS:
        value = record.get(key)
        if value is None:
            continue
        if key == "size":
            value = "x".join(map(str, value))
        text = f"ip2p {value}" if key == "ip2p" else str(value)
        quoted = any(sign in text for sign in ',:"\n')
        parts.append(f"{label}: {json.dumps(text) if quoted else text}")
    text = f"{record.get('instruction', '')}\n{', '.join(parts)}"
    # Lone surrogates (bytes of an argument that are no text) and NUL fit into no file's text.
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def xmp_packet(record: Mapping[str, Any]) -> bytes:
    """An XMP packet (ISO 16684-1) with the record, the tool, and the digital source type."""
    version = escape(printable(f"ip2p {record.get('ip2p', '')}".strip()))
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '<rdf:Description rdf:about=""\n'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"\n'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"\n'
        f' xmlns:ip2p="{_NAMESPACE}">\n'
        f"<xmp:CreatorTool>{version}</xmp:CreatorTool>\n"
        f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>\n"
        f"<ip2p:record>{escape(as_json(record))}</ip2p:record>\n"
        "</rdf:Description>\n</rdf:RDF>\n</x:xmpmeta>\n"
        '<?xpacket end="w"?>'
    ).encode()


def as_json(record: Mapping[str, Any]) -> str:
    """The record as JSON in plain ASCII: what it says comes back exactly, emoji, line breaks and all."""
    return json.dumps(record, default=str)


def bounded(record: Mapping[str, Any], limit: int | None, shown: str) -> Mapping[str, Any]:
    """The record without its oldest parents as far as its XMP packet would be larger than `limit` bytes.

    Raises OutputError if it is too large even without them.
    """
    while limit is not None and len(xmp_packet(record)) > limit:
        parents = record.get("parents")
        if not parents:
            raise OutputError(f"{shown}: the instruction is too long for this format to hold: use .png")
        record = {**record, "parents": parents[1:]}
    return record


def read_record(path: Path) -> dict[str, Any] | None:
    """What a picture, or else the file NAME.json beside it, says of how it was made; None where there is nothing.

    Raises InputError where the file is missing or no picture.
    """
    check_regular_file(path)
    shown = printable(path)
    with kinds.as_input_error(shown), path.open("rb") as file:
        info = kinds.identify(file, shown)[0].info
    text, packet = info.get("ip2p"), info.get("xmp")
    record = _parsed(text) if isinstance(text, str) else None
    if record is None and isinstance(packet, bytes):
        record = _parsed(_text_in(packet))
    return record if record is not None else read_sidecar(path)


def _parsed(text: str) -> dict[str, Any] | None:
    """A record out of JSON; None for what is none, is too large, or is nested too deep."""
    if len(text) > MAX_BYTES:
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("ip2p"), str) else None


class _RefusedError(Exception):
    """The XML holds a document type, through which entities could grow or read files."""


def _text_in(packet: bytes) -> str:
    """The text of ip2p's element, or attribute, in an XMP packet; "" where there is none."""
    if len(packet) > MAX_BYTES:
        return ""
    name, found, inside = f"{_NAMESPACE} record", [], [False]

    def start(element: str, attributes: dict[str, str]) -> None:
        inside[0] = element == name
        if name in attributes:
            found.append(attributes[name])

    def end(_: str) -> None:
        inside[0] = False

    def text(data: str) -> None:
        if inside[0]:
            found.append(data)

    def refuse(*_: object) -> None:
        raise _RefusedError

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, refuse
    try:
        parser.Parse(packet.rstrip(b"\0"), True)
    except (expat.ExpatError, _RefusedError, ValueError):
        return ""
    return "".join(found)


def sidecar_of(path: Path) -> Path:
    """Where the record of a picture lies beside it: photo.png -> photo.png.json."""
    return path.with_name(f"{path.name}.json")


def write_sidecar(path: Path, record: Mapping[str, Any], *, overwrite: bool = False) -> Path:
    """Write the record of the picture `path` beside it, whole or not at all; returns where. Raises OutputError."""
    sidecar = sidecar_of(path)
    text = json.dumps(record, indent=2, default=str)
    write_whole(sidecar, f"{text}\n".encode(), overwrite=overwrite)
    return sidecar


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The record beside the picture `path`, which need not exist; None where there is none."""
    sidecar = sidecar_of(path)
    try:
        check_regular_file(sidecar)
        with sidecar.open("rb") as file:
            return _parsed(file.read(MAX_BYTES + 1).decode("utf-8"))
    except (InputError, OSError, ValueError):
        return None


def parents_of(path: Path) -> list[dict[str, Any]]:
    """The records that led to an input, oldest first, at most the last 100: its own parents, then its own record.

    Empty where it holds none, or none that can be read: that is no reason to refuse a photo.
    """
    try:
        record = read_record(path)
    except InputError:
        return []
    if record is None:
        return []
    parents = record.pop("parents", None)
    earlier = [p for p in parents if isinstance(p, dict)] if isinstance(parents, list) else []
    chain = [{key: value for key, value in p.items() if key != "parents"} for p in earlier]
    return [*chain, record][-MAX_PARENTS:]
