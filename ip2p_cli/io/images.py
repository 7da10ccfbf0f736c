"""Reading photos: pictures of any common format become upright 8-bit RGB.

Transparency: the picture is laid on white, so that colours stored under invisible pixels cannot leak into an edit, and
its alpha is kept separately. `output.encode_picture` reverses this: a picture that was not edited is written with the
colours that it came with.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from PIL import Image, ImageFile

from ip2p_cli.errors import UsageError
from ip2p_cli.io import formats
from ip2p_cli.io.exif import upright
from ip2p_cli.io.files import MAX_BYTES, check_regular_file
from ip2p_cli.io.metadata import carried_xmp, raw_profile
from ip2p_cli.io.names import printable
from ip2p_cli.io.pixels import upright_srgb
from ip2p_cli.io.provenance import parents_in, read_sidecar, record_in

_ORIENTATION = 0x0112
_MAX_DENSITY = 100_000
# Title, maker, model, artist, copyright, EXIF and GPS in a TIFF.
_DESCRIBING = frozenset({270, 271, 272, 315, 33432, 34665, 34853})
_SIDEWAYS = (5, 6, 7, 8)  # the orientations that exchange width and height

# Pillow converts these modes to 8-bit colours; of the others (16 bits, floats) it does not know which value is white.
_EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A decoded photo.

    Attributes:
        rgb: The picture: upright, 8 bits, sRGB, laid on white.
        alpha: Its transparency, mode L; None where everything is opaque.
        path: The file; for an image from memory the file that Pillow read it from, or an empty path.
        digest: The SHA-256 of the file that was decoded, in hex; for an image from memory, of its mode, size, pixels.
        exif: The photo's EXIF for the output (see `exif.upright`); None without.
        xmp: What the photo says about itself beside its EXIF, as XMP for the output (see `metadata`); None without.
        density: Pixels per inch across and down; None where the photo does not say.
        parents: The earlier ip2p records that led to this photo, oldest first (see `provenance.parents_in`).
        notes: Short lines for the user, such as "first of 12 frames".
    """

    rgb: Image.Image
    alpha: Image.Image | None
    path: Path
    digest: str
    exif: bytes | None = None
    xmp: bytes | None = None
    density: tuple[float, float] | None = None
    parents: list[dict[str, Any]] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def read_image(path: Path) -> Picture:
    """Read a photo: its first frame, upright, in sRGB whatever it is stored as.

    The file is opened once, so that `digest` belongs to what was decoded. Of the photo's metadata EXIF, XMP, IPTC, the
    usual texts of PNG and the records of ip2p are read; a note says what is left out.

    Raises:
        InputError: The file is missing, not a picture, broken or too large.
    """
    check_regular_file(path)
    with formats.as_input_error(printable(path)), path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    return picture_from_bytes(data, path)


def picture_from_bytes(data: bytes, path: Path) -> Picture:
    """Decode a photo from the bytes of its file, as `read_image` does.

    Args:
        data: The whole file.
        path: Where the bytes come from: for messages, for `Picture.path`, and to find the record beside the file.

    Raises:
        InputError: The bytes are not a picture, broken or too large.
    """
    with formats.as_input_error(printable(path)):
        image, format_name, left_out = _open(io.BytesIO(data), path)
        picture = _decode(image, path, data if format_name == "TIFF" else None)
        notes = (_ending_note(path, format_name), _frames_note(image, format_name), *left_out, *picture.notes)
    return replace(
        picture,
        digest=hashlib.sha256(data).hexdigest(),
        parents=picture.parents or parents_in(read_sidecar(path)),
        notes=tuple(note for note in notes if note),
    )


def picture_from_image(image: Image.Image) -> Picture:
    """Make a picture of a Pillow image, treating profile, orientation and transparency as those of a file.

    Raises:
        UsageError: The image has a mode (16 bits, floats) of which nobody knows which value is white.
    """
    if image.mode not in _EIGHT_BIT:
        raise UsageError(f"a picture of mode {image.mode} has no known white: convert it to RGB, or give a path")
    picture = _decode(image, Path(getattr(image, "filename", "") or ""), None)
    # _decode has loaded the image: before that a TIFF can have another size.
    digest = hashlib.sha256(f"{image.mode} {image.width} {image.height} ".encode() + image.tobytes()).hexdigest()
    return replace(picture, digest=digest)


def _decode(image: Image.Image, path: Path, tiff: bytes | None) -> Picture:
    """Decode an image that was opened. tiff: the whole file, if it is a TIFF."""
    profile = image.info.get("icc_profile")  # before decoding: GIF and PNG may lose it then
    image.load()
    orientation = 1 if tiff is not None else _orientation(image)  # Pillow turns a TIFF as it decodes it
    rgb, alpha, profile_note = upright_srgb(image, profile, orientation)
    record = record_in(image.info)
    exif, exif_note = _exif(image, tiff)
    xmp, xmp_note = carried_xmp(image, has_record=record is not None)
    return Picture(
        rgb=rgb,
        alpha=alpha,
        path=path,
        digest="",
        exif=exif,
        xmp=xmp,
        density=_density(image, orientation in _SIDEWAYS),
        parents=parents_in(record),
        notes=tuple(note for note in (profile_note, exif_note, xmp_note) if note),
    )


def read_size(path: Path) -> tuple[int, int]:
    """Read the size (width, height) of the picture that `read_image` gives, without decoding it where it can.

    Raises:
        InputError: As for `read_image`, as far as the header shows it.
    """
    return read_header(path).size


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the header of a picture says.

    Attributes:
        size: The (width, height) of the picture that `read_image` gives.
        has_record: Whether ip2p made the picture.
    """

    size: tuple[int, int]
    has_record: bool


def read_header(path: Path) -> Header:
    """Read the header of a picture, once for a file that does not change; raises InputError as `read_size` does."""
    check_regular_file(path)
    status = path.stat()
    return _read_header(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16_384)
def _read_header(path: Path, changed: int, length: int) -> Header:
    with formats.as_input_error(printable(path)), path.open("rb") as file:
        image, format_name, _ = _open(file, path)
        has_record = record_in(image.info) is not None
        width, height = image.size
        # Pillow gives the size of a TIFF as it is after the turn that its own tag asks for.
        turned = format_name == "TIFF" and getattr(image, "tag_v2", {}).get(_ORIENTATION) in _SIDEWAYS
        # Pillow decodes a PNG to look for EXIF after the pixels, where it rarely is.
        read_ahead = format_name != "PNG" or _has_late_metadata(file)
        sideways = _orientation(image, read_ahead=read_ahead) in _SIDEWAYS
    return Header(size=(width, height) if turned == sideways else (height, width), has_record=has_record)


def _open(file: IO[bytes], path: Path) -> formats.Identified:
    """Identify a picture and check that it may be decoded."""
    identified = formats.identify(file, printable(path))
    formats.check_not_raw(identified.image, path, identified.format)
    formats.check_size(identified.image.size, printable(path))
    return identified


def _has_late_metadata(file: IO[bytes]) -> bool:
    """Whether a PNG file has EXIF or text after its pixels."""
    start, after_pixels = file.tell(), False
    file.seek(8)
    while len(head := file.read(8)) == 8 and not (after_pixels and head[4:] in (b"eXIf", b"tEXt", b"iTXt", b"zTXt")):
        after_pixels = after_pixels or head[4:] == b"IDAT"
        file.seek(int.from_bytes(head[:4], "big") + 4, io.SEEK_CUR)
    file.seek(start)
    return len(head) == 8


def _orientation(image: Image.Image, *, read_ahead: bool = True) -> int:
    try:
        exif = image.getexif() if read_ahead else Image.Image.getexif(image)
        return int(exif.get(_ORIENTATION, 1))
    except Exception:  # broken EXIF is no reason to refuse a photo that can be decoded
        return 1


def _ending_note(path: Path, format_name: str) -> str | None:
    ending = formats.wrong_ending(path, format_name)
    return f"a {format_name} picture, although it is called {printable(ending)}" if ending else None


def _frames_note(image: ImageFile.ImageFile, format_name: str) -> str | None:
    """Count the frames; call this last, as counting moves through the file."""
    if format_name == "JPEG":  # further pictures in a JPEG are previews or depth, not frames
        return None
    try:
        frames = int(getattr(image, "n_frames", 1))
    except Exception:  # the first frame is whole, a later one is broken
        return "first frame only; the others are damaged"
    if frames <= 1:
        return None
    return f"main one of {frames} pictures" if format_name == "HEIC" else f"first of {frames} frames"


def _exif(image: Image.Image, tiff: bytes | None) -> tuple[bytes | None, str | None]:
    """Return the photo's EXIF for the output, and a note where it is broken. tiff: the whole file, if it is a TIFF."""
    block = image.info.get("exif")
    if tiff is not None:  # a TIFF file is an EXIF block; BigTIFF is not
        block = tiff if tiff[2:4] in (b"*\0", b"\0*") else None
        if block is None and _DESCRIBING & set(getattr(image, "tag_v2", {})):
            return None, "its EXIF is that of a BigTIFF and was left out"
    try:
        block = block or raw_profile(image.info, "exif")
        return (upright(block) or None) if block else None, None
    except ValueError:
        return None, "its EXIF is broken and was left out"


def _density(image: Image.Image, sideways: bool) -> tuple[float, float] | None:
    """Return the pixels per inch of the upright picture, where the file has a plausible value."""
    if 282 not in getattr(image, "tag_v2", {282: 1}):  # Pillow makes up 1 for a TIFF without a resolution
        return None
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not 1 <= min(across, down) <= max(across, down) <= _MAX_DENSITY:
        return None
    return (down, across) if sideways else (across, down)
