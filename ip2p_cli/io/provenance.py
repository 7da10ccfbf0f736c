"""How a picture was made, stored in the picture, so that ip2p can make it again and other tools can read it.

A record is a JSON object: ip2p (version), model, weights, instruction, the resolved settings by their names, input
(file name), input_sha256, size, parents (earlier records, oldest first, without parents of their own). It is stored

- in PNG as the text chunk "ip2p", in other formats in XMP, in ip2p's own namespace, as JSON escaped for XML;
- as the text of parameters that image generators write, in the PNG text "parameters" or the EXIF UserComment;
- on request beside the picture, as NAME.json.

XMP also holds IPTC's digital source type, which C2PA uses too: the picture was made with a trained model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from ip2p_cli.errors import InputError, OutputError
from ip2p_cli.io import formats, xmp
from ip2p_cli.io.files import check_regular_file, write_whole
from ip2p_cli.io.names import printable

# https://cv.iptc.org/newscodes/digitalsourcetype/: a picture edited with a trained model
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
MAX_PARENTS = 100
# The most bytes of a record that are read: some thousand times a usual record.
MAX_BYTES = 4_000_000
_MAX_DEPTH = 50

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
    """Write a record as image generators do: the instruction, then a line "Steps: 1, Sampler: …".

    Keys that the record lacks are left out. Values that contain the line's own signs are quoted as JSON.
    """
    parts = []
    for label, key in _PARAMETERS:
        value = record.get(key)
        if value is None:
            continue
        if key == "size":
            value = "x".join(map(str, value))
        text = f"ip2p {value}" if key == "ip2p" else str(value)
        is_quoted = any(sign in text for sign in ',:"\n')
        parts.append(f"{label}: {json.dumps(text) if is_quoted else text}")
    text = f"{record.get('instruction', '')}\n{', '.join(parts)}"
    # No file's text can hold lone surrogates (bytes of an argument that are not text) and NUL.
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def xmp_packet(record: Mapping[str, Any] | None, photo: bytes = b"") -> bytes:
    """Make an XMP packet (ISO 16684-1).

    Args:
        record: How the picture was made: it is written with the tool's name and the digital source type.
        photo: What the photo's own XMP says, from `Picture.xmp`.
    """
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        f"{photo.decode()}{'' if record is None else _description(record)}\n"
        "</rdf:RDF>\n</x:xmpmeta>\n"
        '<?xpacket end="w"?>'
    ).encode()


def _description(record: Mapping[str, Any]) -> str:
    """Write what ip2p says of a picture as an rdf:Description."""
    version = escape(printable(f"ip2p {record.get('ip2p', '')}".strip()))
    return (
        '<rdf:Description rdf:about=""\n'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"\n'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"\n'
        f' xmlns:ip2p="{_NAMESPACE}">\n'
        f"<xmp:CreatorTool>{version}</xmp:CreatorTool>\n"
        f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>\n"
        f"<ip2p:record>{escape(as_json(record))}</ip2p:record>\n"
        "</rdf:Description>"
    )


def as_json(record: Mapping[str, Any]) -> str:
    """Write a record as JSON in ASCII, from which every text comes back exactly."""
    return json.dumps(record, default=str)


def bounded(record: Mapping[str, Any], limit: int | None, shown: str, photo: bytes = b"") -> Mapping[str, Any]:
    """Drop the oldest parents of a record until its XMP packet, with what the photo says, has at most `limit` bytes.

    Raises:
        OutputError: The packet is too large even without parents. It names the file `shown`.
    """
    while limit is not None and len(xmp_packet(record, photo)) > limit:
        parents = record.get("parents")
        if not parents:
            raise OutputError(f"{shown}: the instruction is too long for this format to hold: use .png")
        record = {**record, "parents": parents[1:]}
    return record


def read_record(path: Path) -> dict[str, Any] | None:
    """Read the record in a picture, or in the file NAME.json beside it; None where there is none.

    Raises:
        InputError: The file is missing or not a picture.
    """
    check_regular_file(path)
    shown = printable(path)
    with formats.as_input_error(shown), path.open("rb") as file:
        info = formats.identify(file, shown).image.info
    return record_in(info) or read_sidecar(path)


def record_in(info: Mapping[Any, Any]) -> dict[str, Any] | None:
    """Find the record in a Pillow image's `info`; None where there is none."""
    text, packet = info.get("ip2p"), info.get("xmp")
    record = _parsed(text) if isinstance(text, str) else None
    if record is None and isinstance(packet, bytes):
        record = _parsed(_record_text(packet))
    return record


def _parsed(text: str) -> dict[str, Any] | None:
    """Parse the JSON of a record; None for anything else, and for what is too large or nested too deep."""
    if len(text) > MAX_BYTES:
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_record = isinstance(record, dict) and isinstance(record.get("ip2p"), str)
    return record if is_record and _is_shallow(record) else None


def _is_shallow(value: object) -> bool:
    """Whether a JSON value is nested no deeper than any code that walks through it can follow."""
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        parts = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [inner for part in parts for inner in part]
        if not level:
            return True
    return False


def _record_text(packet: bytes) -> str:
    """Return the text of ip2p's element or attribute in an XMP packet; "" where there is none."""
    try:
        root, _ = xmp.parse(packet)
    except ValueError:
        return ""
    name = f"{{{_NAMESPACE}}}record"
    texts = (element.get(name) or (element.text if element.tag == name else "") for element in root.iter())
    return next(filter(None, texts), "")


def sidecar_of(path: Path) -> Path:
    """Return the path of the record beside a picture: photo.png -> photo.png.json."""
    return path.with_name(f"{path.name}.json")


def write_sidecar(path: Path, record: Mapping[str, Any], *, overwrite: bool = False) -> Path:
    """Write the record of the picture `path` beside it, whole or not at all; returns the path.

    Raises:
        OutputError: It cannot be written, or exists already.
    """
    sidecar = sidecar_of(path)
    text = json.dumps(record, indent=2, default=str)
    write_whole(sidecar, f"{text}\n".encode(), overwrite=overwrite)
    return sidecar


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """Read the record beside the picture `path`, which need not exist; None where there is none."""
    sidecar = sidecar_of(path)
    try:
        if not sidecar.is_file():  # checked first: an error would look through the folder for the nearest name
            return None
        check_regular_file(sidecar)
        with sidecar.open("rb") as file:
            return _parsed(file.read(MAX_BYTES + 1).decode("utf-8"))
    except (InputError, OSError, ValueError):
        return None


def parents_of(path: Path) -> list[dict[str, Any]]:
    """Read the records that led to an input, as `parents_in` lists them; empty where it cannot be read."""
    try:
        return parents_in(read_record(path))
    except InputError:
        return []


def parents_in(record: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """List the records that led to the input with this record: its parents, oldest first, and the record itself.

    At most the last `MAX_PARENTS`, none with parents of its own. Without a record the list is empty.
    """
    if record is None:
        return []
    parents = record.get("parents")
    earlier = [parent for parent in parents if isinstance(parent, dict)] if isinstance(parents, list) else []
    chain = [{key: value for key, value in item.items() if key != "parents"} for item in (*earlier, record)]
    return chain[-MAX_PARENTS:]
