"""PNG files as browsers read them: a chunk beside the pixels that is broken or too large does not cost the picture."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

from PIL import PngImagePlugin

from ip2p_cli.io.colour import MAX_PROFILE

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
# The fewest bytes of chunks of fixed layout; a shorter transparency is checked by Pillow's own rules below.
_LEAST = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))


class Chunk(NamedTuple):
    """A chunk of a file: its name, where its data begins, and how many bytes of data it has."""

    name: bytes
    start: int
    length: int


class Usable(NamedTuple):
    """What Pillow can read of a PNG file: the file, a profile too large for Pillow, and notes on what was left out."""

    file: IO[bytes]
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


def usable(file: IO[bytes]) -> Usable:
    """Leave out of a PNG file what keeps Pillow from reading the pixels.

    Args:
        file: The file; a file in which all is well is returned itself, at its start.
    """
    chunks = list(_chunks(file))
    dropped: dict[int, str] = {}  # by the start of the chunk
    profile, text_bytes = None, 0
    animation = [chunk for chunk in chunks if chunk.name in _ANIMATION]
    if animation and not _is_animation(file, chunks):
        dropped |= dict.fromkeys((chunk.start for chunk in animation), "its animation is broken and was left out")
    head = _data(file, chunks[0]) if chunks and chunks[0].name == b"IHDR" else b""
    for chunk in chunks:
        if chunk.name in _CRITICAL or chunk.name in _ANIMATION:
            continue
        data = _data(file, chunk)
        if len(data) < chunk.length or not _has_right_checksum(file, chunk, data):
            dropped[chunk.start] = f"its {_kind(chunk.name)} is damaged and was left out"
        elif chunk.name == b"iCCP":
            unpacked = _profile(data)
            if unpacked is None:
                dropped[chunk.start] = "its colour profile is broken or too large and was left out"
            elif len(unpacked) > PngImagePlugin.MAX_TEXT_CHUNK:
                dropped[chunk.start], profile = "", unpacked
        elif chunk.name in _TEXT:
            size = _text_size(chunk.name, data)
            text_bytes += size or 0
            if size is None or text_bytes > PngImagePlugin.MAX_TEXT_MEMORY:
                dropped[chunk.start] = "a text in it is broken or too large and was left out"
        elif len(data) < (_least_transparency(head) if chunk.name == b"tRNS" else _LEAST.get(chunk.name, 0)):
            dropped[chunk.start] = f"its {_kind(chunk.name)} is damaged and was left out"
    file.seek(0)
    if not dropped:
        return Usable(file)
    notes = tuple(dict.fromkeys(note for note in dropped.values() if note))
    return Usable(_without(file, chunks, dropped), profile, notes)


def _chunks(file: IO[bytes]) -> Iterator[Chunk]:
    """List the chunks, up to the last one that Pillow looks at."""
    place = len(SIGNATURE)
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8 or not head[4:].isalpha():
            return
        length = int.from_bytes(head[:4], "big")
        yield Chunk(head[4:], place + 8, length)
        if head[4:] == b"IEND":
            return
        place += length + 12


def _data(file: IO[bytes], chunk: Chunk) -> bytes:
    file.seek(chunk.start)
    return file.read(chunk.length)


def _has_right_checksum(file: IO[bytes], chunk: Chunk, data: bytes) -> bool:
    return file.read(4) == zlib.crc32(chunk.name + data).to_bytes(4, "big")


def _without(file: IO[bytes], chunks: list[Chunk], dropped: dict[int, str]) -> io.BytesIO:
    """Copy a file without some chunks; behind the last chunk it ends."""
    out = io.BytesIO()
    out.write(SIGNATURE)
    for chunk in chunks:
        if chunk.start not in dropped and chunk.name != b"IEND":
            file.seek(chunk.start - 8)
            out.write(file.read(chunk.length + 12))
    out.write(_END)
    out.seek(0)
    return out


def _is_animation(file: IO[bytes], chunks: list[Chunk]) -> bool:
    """Whether the chunks of an animation are as Pillow wants them: one acTL first, all frames numbered and inside."""
    names = [chunk.name for chunk in chunks]
    if names.count(b"acTL") != 1 or b"fcTL" not in names or b"IDAT" not in names:
        return False
    if names.index(b"acTL") > min(names.index(b"fcTL"), names.index(b"IDAT")):
        return False
    size = struct.unpack(">II", _data(file, chunks[0])[:8]) if names[0] == b"IHDR" else (0, 0)
    number = 0
    for chunk in chunks:
        if chunk.name not in (b"fcTL", b"fdAT"):
            continue
        file.seek(chunk.start)
        data = file.read(min(chunk.length, 26))
        if len(data) < (26 if chunk.name == b"fcTL" else 4) or int.from_bytes(data[:4], "big") != number:
            return False
        number += 1
        if chunk.name == b"fcTL":
            width, height, left, top = struct.unpack(">4I", data[4:20])
            if left + width > size[0] or top + height > size[1]:
                return False
    return True


def _profile(data: bytes) -> bytes | None:
    """Unpack a colour profile; None where it is broken or larger than `colour.MAX_PROFILE`."""
    _, separator, packed = data.partition(b"\0")
    if not separator or packed[:1] != b"\0":
        return None
    return _unpacked(packed[1:], MAX_PROFILE)


def _text_size(name: bytes, data: bytes) -> int | None:
    """Return how long a text is when it is unpacked; None where Pillow refuses it."""
    keyword, _, rest = data.partition(b"\0")
    packed: bytes | None = None
    if name == b"zTXt":
        if rest[:1] not in (b"", b"\0"):
            return None
        packed = rest[1:]
    elif name == b"iTXt" and rest[:2] == b"\1\0":
        packed = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if packed is None:
        return len(data)
    text = _unpacked(packed, PngImagePlugin.MAX_TEXT_CHUNK)
    return None if text is None else len(keyword) + len(text)


def _unpacked(packed: bytes, most: int) -> bytes | None:
    decompressor = zlib.decompressobj()
    try:
        data = decompressor.decompress(packed, most)
    except zlib.error:
        return None
    return None if decompressor.unconsumed_tail else data


def _least_transparency(head: bytes) -> int:
    """Return the fewest bytes that the transparency of a picture of this header has."""
    return {0: 2, 2: 6}.get(head[9] if len(head) > 9 else -1, 0)


def _kind(name: bytes) -> str:
    if name in _TEXT:
        return "text"
    kinds = {b"iCCP": "colour profile", b"tRNS": "transparency", b"eXIf": "EXIF", b"pHYs": "resolution"}
    return kinds.get(name, f"part {name.decode('ascii')}")
