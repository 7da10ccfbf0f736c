"""XMP of photos (ISO 16684-1): read safely, reduced to what is true for an edit, and written again.

A packet is RDF: properties of the picture, such as dc:rights or xmp:Rating, as attributes or elements of
rdf:Description. What is carried over is one rdf:Description with every property as an element, whatever namespace it
has, so that `provenance.xmp_packet` can put it beside ip2p's own.

Left out on purpose, as it would not be true for the edit or point to what is not there: how the photo was developed
(crs), its size, orientation and colours (tiff, some of exif and photoshop), thumbnails, gain maps, depth and further
pictures in the file (Google's and Apple's namespaces), the identity and history of the original file (xmpMM), links to
a manifest of provenance, the tool that wrote it, and the digital source type, which ip2p sets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

# The most bytes of a packet that are read, and of the properties that are carried over: a JPEG holds 65,500 of both
# those and ip2p's record.
MAX_BYTES = 4_000_000
MAX_CARRIED = 32_000
_MAX_DEPTH = 50

NAMESPACES: Mapping[str, str] = MappingProxyType(
    {
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "xml": "http://www.w3.org/XML/1998/namespace",
        "dc": "http://purl.org/dc/elements/1.1/",
        "dcterms": "http://purl.org/dc/terms/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
        "exif": "http://ns.adobe.com/exif/1.0/",
        "photoshop": "http://ns.adobe.com/photoshop/1.0/",
        "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
        "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    }
)
_RDF, _XML = NAMESPACES["rdf"], NAMESPACES["xml"]
_NOT_XML = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DESCRIPTION = f"{{{_RDF}}}Description"

# Namespaces that are left out, by how they begin; the last is ip2p's own.
_LEFT_OUT = (
    "http://ns.adobe.com/camera-raw-",
    "http://ns.adobe.com/hdr-gain-map/",
    "http://ns.adobe.com/tiff/",
    "http://ns.adobe.com/xap/1.0/mm/",
    "http://ns.adobe.com/xmp/note/",
    "http://ns.google.com/photos/",
    "http://ns.apple.com/",
    "urn:ip2p:",
)
_LEFT_OUT_NAMES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "xmp": frozenset({"CreatorTool", "Thumbnails"}),
        "exif": frozenset({"PixelXDimension", "PixelYDimension", "ColorSpace", "NativeDigest"}),
        "photoshop": frozenset({"ColorMode", "DocumentAncestors", "History", "ICCProfile", "TextLayers"}),
        "dcterms": frozenset({"provenance"}),
        "Iptc4xmpExt": frozenset({"DigitalSourceType"}),
    }
)
_PLACES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "dc": frozenset({"coverage"}),
        "photoshop": frozenset({"City", "State", "Country"}),
        "Iptc4xmpCore": frozenset({"Location", "CountryCode"}),
    }
)
# Words in the names of places, in any namespace: drones and phones have their own.
_PLACE_WORDS = ("gps", "latitude", "longitude", "longtitude", "altitude", "shotlocation")
_LISTS: Mapping[str, str] = MappingProxyType(
    {
        "dc:title": "Alt",
        "dc:description": "Alt",
        "dc:rights": "Alt",
        "dc:creator": "Seq",
        "dc:subject": "Bag",
        "photoshop:SupplementalCategories": "Bag",
    }
)


class Carried(NamedTuple):
    """What is carried over: an rdf:Description, b"" where nothing is; the names of properties that are too large."""

    description: bytes
    too_large: tuple[str, ...] = ()


class _Builder(ElementTree.TreeBuilder):
    """Builds a tree of bounded depth, without a document type, and notes the prefixes of namespaces."""

    def __init__(self) -> None:
        super().__init__()
        self.prefixes: dict[str, str] = {}
        self._depth = 0

    def doctype(self, *_: object) -> None:
        raise ValueError("XMP with a document type: its entities could grow without end or read files")

    def start_ns(self, prefix: str, uri: str) -> None:
        self.prefixes.setdefault(uri, prefix)

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError("XMP that is nested too deep")
        return super().start(tag, attrs)

    def end(self, tag: str) -> Element:
        self._depth -= 1
        return super().end(tag)


def parse(packet: bytes) -> tuple[Element, dict[str, str]]:
    """Parse a packet; return the root, and the prefixes of the namespaces by their names.

    Raises:
        ValueError: It is broken, too large or nested too deep, or it has a document type.
    """
    if len(packet) > MAX_BYTES:
        raise ValueError("XMP that is too large")
    builder = _Builder()
    parser = ElementTree.XMLParser(target=builder)
    try:
        parser.feed(packet.rstrip(b"\0").decode("utf-8"))
        return parser.close(), builder.prefixes
    except ElementTree.ParseError as error:
        raise ValueError("broken XMP") from error


def carried(packet: bytes, fields: Mapping[str, Sequence[str]] | None = None) -> Carried:
    """Reduce a photo's packet to what is carried over.

    Args:
        packet: The packet; b"" for none.
        fields: Texts by property, such as "dc:title", from elsewhere in the file: they are added where the packet lacks
            the property.

    Raises:
        ValueError: The packet cannot be read.
    """
    found, prefixes = _properties(packet)
    properties = list(_kept(found, _is_left_out))
    present = {element.tag for element in properties}
    added = (_property(name, texts) for name, texts in (fields or {}).items())
    properties += [element for element in added if element.tag not in present]
    description = _written(properties, prefixes)
    if len(description) <= MAX_CARRIED:
        return Carried(description)
    sizes = {element.tag: len(ElementTree.tostring(element)) for element in properties}
    properties.sort(key=lambda element: sizes[element.tag])
    excess, too_large = sum(sizes.values()) - MAX_CARRIED + 1000, []
    while properties and excess > 0:
        name = properties.pop().tag
        excess -= sizes[name]
        too_large.append(_split(name)[1])
    return Carried(_written(properties, prefixes), tuple(too_large))


def strip_location(description: bytes) -> bytes:
    """Remove where the photo was taken from what `carried` gave; b"" where nothing is left."""
    found, prefixes = _properties(description)
    return _written(list(_kept(found, _is_place)), prefixes)


def _properties(packet: bytes) -> tuple[list[Element], dict[str, str]]:
    """Return the properties in a packet or an rdf:Description, each as an element and once; and the prefixes."""
    if not packet.strip(b"\0 \r\n\t"):
        return [], {}
    root, prefixes = parse(packet)
    inside = [one for rdf in root.iter(f"{{{_RDF}}}RDF") for one in rdf.findall(_DESCRIPTION)]
    properties: dict[str, Element] = {}
    for description in [root] if root.tag == _DESCRIPTION else inside:
        for name, value in description.attrib.items():
            if _split(name)[0] not in ("", _RDF, _XML):
                properties.setdefault(name, _element(name, value))
        for element in description:
            properties.setdefault(element.tag, element)
    return list(properties.values()), prefixes


def _kept(elements: Sequence[Element], is_dropped: Callable[[str], bool]) -> Iterator[Element]:
    """Give the elements without those, and without the attributes and elements in them, whose names are dropped."""
    for element in elements:
        if is_dropped(element.tag):
            continue
        copy = _element(element.tag, element.text)
        copy.attrib |= {name: value for name, value in element.attrib.items() if not is_dropped(name)}
        copy.extend(_kept(list(element), is_dropped))
        if not (copy.text or "").strip():
            copy.text = None
        if len(copy) or copy.text or copy.attrib:
            yield copy


def _is_left_out(name: str) -> bool:
    namespace, local = _split(name)
    return namespace.startswith(_LEFT_OUT) or _is_named(namespace, local, _LEFT_OUT_NAMES)


def _is_place(name: str) -> bool:
    namespace, local = _split(name)
    if namespace == NAMESPACES["Iptc4xmpExt"] and local.startswith("Location"):
        return True
    is_place = any(word in local.lower() for word in _PLACE_WORDS) or "/geo/" in namespace
    return is_place or _is_named(namespace, local, _PLACES)


def _is_named(namespace: str, local: str, names: Mapping[str, frozenset[str]]) -> bool:
    return any(local in group and namespace == NAMESPACES[prefix] for prefix, group in names.items())


def _property(name: str, texts: Sequence[str]) -> Element:
    """Make a property of texts, such as those of IPTC."""
    if name not in _LISTS:
        return _element(_full(name), _clean(texts[0]))
    element, items = _element(_full(name)), _element(_full(f"rdf:{_LISTS[name]}"))
    element.append(items)
    for text in texts:
        item = _element(_full("rdf:li"), _clean(text))
        if _LISTS[name] == "Alt":
            item.set(f"{{{_XML}}}lang", "x-default")
        items.append(item)
    return element


def _written(properties: Sequence[Element], prefixes: Mapping[str, str]) -> bytes:
    """Write properties as one rdf:Description."""
    if not properties:
        return b""
    used = {namespace: prefix for prefix, namespace in NAMESPACES.items()}

    def short(name: str) -> str:
        namespace, local = _split(name)
        if not namespace:
            return local
        if namespace not in used:
            prefix = prefixes.get(namespace)
            used[namespace] = (
                prefix if prefix and prefix not in used.values() and prefix[:2] != "ns" else f"ns{len(used)}"
            )
        return f"{used[namespace]}:{local}"

    def shortened(element: Element) -> Element:
        copy = _element(short(element.tag), element.text)
        copy.attrib |= {short(name): value for name, value in element.attrib.items()}
        copy.extend(shortened(child) for child in element)
        return copy

    description = _element("rdf:Description")
    description.extend(shortened(element) for element in properties)
    names = {name.partition(":")[0] for element in description.iter() for name in (element.tag, *element.attrib)}
    description.set("rdf:about", "")
    for namespace, prefix in used.items():
        if prefix in names and prefix != "xml":
            description.set(f"xmlns:{prefix}", namespace)
    return ElementTree.tostring(description, encoding="unicode").encode()


def _element(tag: str, text: str | None = None) -> Element:
    element = Element(tag)
    element.text = text
    return element


def _split(name: str) -> tuple[str, str]:
    """Split "{namespace}name"."""
    namespace, _, local = name[1:].rpartition("}") if name.startswith("{") else ("", "", name)
    return namespace, local


def _full(name: str) -> str:
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def _clean(text: str) -> str:
    """Leave out the characters that XML cannot hold."""
    return _NOT_XML.sub("", text)
