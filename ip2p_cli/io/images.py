"""Photos out of files: any common kind in, upright 8-bit RGB inside.

Transparency: `read_image` lays the picture on white, so that colours stored under invisible pixels cannot leak into
an edit, and keeps the alpha beside it. `output.write_image` takes both back apart: the file, seen on white, looks like
the edited picture, and an unedited picture comes out with the colours it came with.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from ip2p_cli.errors import UsageError
from ip2p_cli.io import formats as kinds
from ip2p_cli.io.colour import to_srgb
from ip2p_cli.io.exif import upright
from ip2p_cli.io.files import MAX_BYTES, check_regular_file
from ip2p_cli.io.names import printable

_UPRIGHT = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A decoded photo: `rgb` is upright, 8 bits, sRGB, laid on white; `alpha` (mode L) is None where all is opaque.

    exif: the photo's EXIF made ready for the output (see `exif.upright`), None without. notes: short lines for the
    user, such as "first of 12 frames". digest: SHA-256 of the file that was decoded, in hex.
    """

    rgb: Image.Image
    alpha: Image.Image | None
    path: Path
    digest: str
    exif: bytes | None = None
    notes: tuple[str, ...] = ()

    @property
    def parents(self) -> list[dict[str, Any]]:
        """The records that led to the photo."""
        from ip2p_cli.io.provenance import parents_of

        return parents_of(self.path)


def read_image(path: Path) -> Picture:
    """Read a photo: the first frame, turned upright by its EXIF orientation, in sRGB whatever it is stored as.

    The file is read once: what `digest` stands for is what was decoded. Of the photo's metadata only EXIF is kept;
    XMP, IPTC and PNG text are not. Raises InputError, one line that names the file, whatever is wrong with it.
    """
    shown = printable(path)
    check_regular_file(path)
    with kinds.as_input_error(shown):
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        image, kind = kinds.identify(io.BytesIO(data), shown)
        kinds.check_not_raw(image, path, kind)
        width, height = image.size
        if width * height > kinds.MAX_PIXELS:
            raise kinds.too_large(shown, width, height)
        profile = image.info.get("icc_profile")  # before decoding: GIF and PNG may lose it on the way
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        rgb, alpha, profile_note = _rgb_and_alpha(image, profile)
        exif, exif_note = _exif(image, kind, data)
        notes = (_name_note(path, kind), _frames_note(image, kind), profile_note, exif_note)
    if turn is not None:
        rgb = rgb.transpose(turn)
        alpha = alpha.transpose(turn) if alpha is not None else None
    return Picture(
        rgb=rgb,
        alpha=alpha,
        path=path,
        digest=hashlib.sha256(data).hexdigest(),
        exif=exif,
        notes=tuple(note for note in notes if note),
    )


def read_size(path: Path) -> tuple[int, int]:
    """The (width, height) that `read_image` will give, from the header alone; raises InputError as that does."""
    shown = printable(path)
    check_regular_file(path)
    with kinds.as_input_error(shown), path.open("rb") as file:
        image, _ = kinds.identify(file, shown)
        width, height = image.size
        turned = _orientation(image) >= 5
    if width * height > kinds.MAX_PIXELS:
        raise kinds.too_large(shown, width, height)
    return (height, width) if turned else (width, height)


def _name_note(path: Path, kind: str) -> str | None:
    extension = kinds.belied(path, kind)
    return f"a {kind} picture, although it is called {printable(extension)}" if extension else None


def _frames_note(image: ImageFile.ImageFile, kind: str) -> str | None:
    """Called last: counting moves through the file."""
    if kind == "JPEG":  # further pictures in a JPEG are previews or depth, not frames
        return None
    try:
        frames = int(getattr(image, "n_frames", 1))
    except Exception:  # the first frame is whole; what follows is broken
        return "first frame only; the others are damaged"
    if frames <= 1:
        return None
    return f"main one of {frames} pictures" if kind == "HEIC" else f"first of {frames} frames"


def _exif(image: ImageFile.ImageFile, kind: str, data: bytes) -> tuple[bytes | None, str | None]:
    """(the photo's EXIF for the output, a note where it is broken)"""
    block = image.info.get("exif")
    if kind == "TIFF":  # the file itself is an EXIF block; BigTIFF is not
        block = data if data[2:4] in (b"*\0", b"\0*") else None
    hexadecimal = image.info.get("Raw profile type exif")  # how ImageMagick puts EXIF into PNG: name, length, hex
    try:
        if block is None and isinstance(hexadecimal, str):
            block = bytes.fromhex("".join(hexadecimal.split("\n")[3:]))
        return (upright(block) if block else None), None
    except ValueError:
        return None, "its EXIF is broken and was left out"


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # broken EXIF is no reason to refuse a photo that decodes
        return 1


def _rgb_and_alpha(image: Image.Image, profile: object = None) -> tuple[Image.Image, Image.Image | None, str | None]:
    """Bring any mode to 8-bit sRGB on white: (RGB, its alpha if anything is transparent, a note on its profile)."""
    base, alpha = _base_and_alpha(image)
    note = None
    if isinstance(profile, bytes) and profile:
        try:
            base = to_srgb(base, profile)
        except ValueError as error:
            note = f"its colour profile {error} and was ignored"
    rgb = base.convert("RGB")
    if alpha is None or alpha.getextrema() == (255, 255):
        return rgb, None, note
    return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha), alpha, note


def _base_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """An image of any mode as L, RGB or CMYK, which are what colour profiles are for, and its alpha."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        key = image.info.get("transparency")
        alpha = Image.fromarray(np.where(values == key, np.uint8(0), np.uint8(255))) if isinstance(key, int) else None
        return Image.fromarray(_grey_8bit(values, image)), alpha
    if image.has_transparency_data:
        mode = "LA" if image.mode in ("1", "L", "LA", "La") else "RGBA"
        whole = image.convert(mode)
        return whole.convert(mode[:-1]), whole.getchannel("A")
    if image.mode in ("L", "RGB", "CMYK"):
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _grey_8bit(values: np.ndarray, image: Image.Image) -> np.ndarray:
    """Scale grey of more than 8 bits so that white stays white.

    16 bits: white is 65535 (4095 in a 12-bit TIFF). 32-bit integers: 65535 too, unless something is brighter: then
    that. Floats: 1 if 99 % of the pixels are no brighter (highlights may overshoot), else 255, else the brightest.
    """
    values = values.astype(np.float32)
    if image.mode == "F":
        values = np.nan_to_num(values, nan=0.0, posinf=float(np.max(values, where=np.isfinite(values), initial=0.0)))
    brightest = float(values.max())
    if image.mode == "F" and np.percentile(values, 99) <= 1:
        white = 1.0
    elif image.mode == "F":
        white = max(255.0, brightest)
    elif image.mode == "I":
        white = max(65535.0, brightest)
    else:
        bits = getattr(image, "tag_v2", {}).get(258, (16,))
        white = 4095.0 if bits == (12,) else 65535.0
    return (np.clip(values / white, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


# Pillow converts these to 8-bit colours as one expects; of others (16 bits, floats) it does not know what is white.
_EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV")


def picture_from_image(image: Image.Image) -> Picture:
    """A picture in memory as a photo."""
    if image.mode not in _EIGHT_BIT:
        raise UsageError(f"a picture of mode {image.mode} says nothing of its white: convert it to RGB, or give a path")
    digest = hashlib.sha256(f"{image.mode} {image.width} {image.height} ".encode() + image.tobytes()).hexdigest()
    turn = _UPRIGHT.get(_orientation(image))
    rgb, alpha, note = _rgb_and_alpha(image, image.info.get("icc_profile"))
    if turn is not None:
        rgb = rgb.transpose(turn)
        alpha = alpha.transpose(turn) if alpha is not None else None
    return Picture(rgb=rgb, alpha=alpha, path=Path("picture"), digest=digest, notes=(note,) if note else ())
