"""Pictures into files: checked before the work, encoded in memory, written whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, features

from ip2p_cli.errors import OutputError, UsageError
from ip2p_cli.io import exif as exif_blocks
from ip2p_cli.io.colour import srgb_profile
from ip2p_cli.io.files import as_output_error, write_whole
from ip2p_cli.io.names import printable
from ip2p_cli.io.provenance import as_json, bounded, parameters, xmp_packet
from ip2p_cli.io.provenance import read_record as read_record  # callers have it from here


@dataclass(frozen=True, kw_only=True)
class _Format:
    """A kind of file that can be written: Pillow's name for it, and what it can hold."""

    name: str
    alpha: bool = True
    max_side: int | None = None
    feature: str | None = None  # must be compiled into Pillow
    lossy: bool = False
    max_metadata: int | None = None  # bytes of EXIF, and of XMP
    options: Mapping[str, object] = field(default_factory=dict)


# No chroma subsampling: edits have strong colours side by side. PNG and AVIF at Pillow's own effort take 5 s and 11 s
# for 12 megapixels; at these, 2 s and 4 s, for 2 % and 12 % more bytes.
# A JPEG's segment holds 65,533 bytes, of which XMP's name takes 29.
_JPEG = _Format(name="JPEG", alpha=False, max_side=65_500, lossy=True, max_metadata=65_500, options={"subsampling": 0})
_AVIF = _Format(name="AVIF", max_side=65_535, feature="avif", lossy=True, options={"subsampling": "4:4:4", "speed": 8})
_TIFF = _Format(name="TIFF", feature="libtiff", options={"compression": "tiff_adobe_deflate"})
_WRITABLE = MappingProxyType(
    {
        ".png": _Format(name="PNG", options={"compress_level": 4}),
        ".jpg": _JPEG,
        ".jpeg": _JPEG,
        ".webp": _Format(name="WEBP", max_side=16_383, feature="webp", lossy=True),
        ".tif": _TIFF,
        ".tiff": _TIFF,
        ".avif": _AVIF,
    }
)


def check_output(path: Path, overwrite: bool) -> None:
    """Say now, before a model is loaded, what would keep `path` from being written."""
    shown, folder = printable(path), path.parent
    with as_output_error(path):
        if path.is_dir():
            raise OutputError(f"{shown} is a folder: name a file in it, for example {printable(path / 'edit.png')}")
        _format(path)
        if not folder.is_dir():
            raise OutputError(f"{shown}: there is no folder {printable(folder)}: mkdir -p {printable(folder)}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(
                f"{shown}: the folder {printable(folder)} cannot be written to: choose another one with -o"
            )
        if os.path.lexists(path):
            if not overwrite:
                raise FileExistsError
            if path.exists() and not path.is_file():
                raise OutputError(f"{shown} is not a regular file: choose another name with -o")


def write_image(
    image: Image.Image,
    path: Path,
    *,
    overwrite: bool,
    alpha: Image.Image | None = None,
    quality: int = 92,
    exif: bytes | None = None,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Write a picture in the format of the extension, tagged as sRGB, whole or not at all.

    image: as seen on white, in sRGB. alpha: its transparency, kept where the format can. quality: for lossy formats, 1
    to 100. exif: the photo's, from `Picture.exif`; its width and height are set to the picture's. record: how the
    picture was made (see `provenance`), embedded together with the parameters text (in EXIF: as the UserComment,
    instead of the photo's own) and XMP. Nothing else is embedded: XMP, IPTC and PNG text of the photo are dropped.
    Without `overwrite` an existing file stays as it is, even one that appears meanwhile.
    Raises UsageError (extension, quality) and OutputError.
    """
    check_output(path, overwrite)
    write_whole(
        path, encode_picture(image, path, alpha=alpha, quality=quality, exif=exif, record=record), overwrite=overwrite
    )


def encode_picture(
    image: Image.Image,
    path: Path,
    *,
    alpha: Image.Image | None = None,
    quality: int = 92,
    exif: bytes | None = None,
    record: Mapping[str, Any] | None = None,
) -> bytes:
    """The bytes that `write_image` would write to `path`; raises as that does where its format cannot hold them."""
    kind = _format(path)
    if not 1 <= quality <= 100:
        raise UsageError(f"quality {quality} is out of range: use 1 to 100, for example 92")
    if record is not None:
        record = bounded(record, kind.max_metadata, printable(path))
    block = _block(exif, record, kind, image.size)
    options = {**kind.options, **({"quality": quality} if kind.lossy else {}), "icc_profile": srgb_profile()}
    if kind.name != "TIFF":  # Pillow's TIFF writer cannot; it is added to the file below
        options |= _metadata(block, record, kind)
    data = _encode(image.convert("RGB"), alpha, kind, options, printable(path))
    if kind.name == "TIFF" and (block.main or block.exif or block.gps):
        data = exif_blocks.into_tiff(data, block)
    return data


def _format(path: Path) -> _Format:
    known = [extension for extension, kind in _WRITABLE.items() if not kind.feature or features.check(kind.feature)]
    extension = path.suffix.lower()
    if extension in known:
        return _WRITABLE[extension]
    problem = f"cannot write {extension} files here" if extension else "the output has no extension"
    raise UsageError(f"{printable(path)}: {problem}: use one of {' '.join(known)}")


def _block(
    exif: bytes | None, record: Mapping[str, Any] | None, kind: _Format, size: tuple[int, int]
) -> exif_blocks.Block:
    """The EXIF to write: the photo's, the parameters text where PNG text cannot hold it, and a TIFF's XMP."""
    block = exif_blocks.Block()
    if exif:
        try:
            block = exif_blocks.with_size(exif_blocks.parse(exif), size)
        except ValueError as error:
            raise OutputError(f"the EXIF to embed is broken ({error}): leave it out") from error
    if record is not None and kind.name != "PNG":
        block = exif_blocks.with_comment(block, parameters(record))
    if record is not None and kind.name == "TIFF":
        block = exif_blocks.with_xmp(block, xmp_packet(record))
    return block


def _metadata(block: exif_blocks.Block, record: Mapping[str, Any] | None, kind: _Format) -> dict[str, object]:
    """Pillow's save options that put EXIF and the record into a file."""
    if kind.name == "AVIF":  # with this tag Pillow would write the block anew, and lose what it does not know
        block = exif_blocks.without_orientation(block)
    options: dict[str, object] = {}
    if data := exif_blocks.fitted(block, kind.max_metadata):
        options["exif"] = data
    if record is None:
        return options
    if kind.name != "PNG":
        return {**options, "xmp": xmp_packet(record)}
    info = PngImagePlugin.PngInfo()
    info.add_itxt("ip2p", as_json(record))
    info.add_text("parameters", parameters(record))
    info.add_itxt("XML:com.adobe.xmp", xmp_packet(record).decode())
    return {**options, "pnginfo": info}


def _encode(
    rgb: Image.Image, alpha: Image.Image | None, kind: _Format, options: Mapping[str, object], shown: str
) -> bytes:
    """Encode in memory, so that an encoder's failure is never mistaken for the disk's."""
    if kind.max_side is not None and max(rgb.size) > kind.max_side:
        raise OutputError(f"{shown}: {kind.name} holds at most {kind.max_side} pixels a side: use .png or .tiff")
    if alpha is not None:
        rgb = _off_white(rgb, alpha)
        if kind.alpha:
            rgb.putalpha(alpha)
        else:
            rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
    buffer = io.BytesIO()
    try:
        rgb.save(buffer, kind.name, **options)
    except (OSError, ValueError) as error:
        raise OutputError(f"{shown}: cannot be written as {kind.name} ({error}): use .png") from error
    return buffer.getvalue()


def _off_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    """Solve seen = a colour + (1 - a) white for the colour; where a = 0 any will do, and the seen one stays."""
    coverage = np.asarray(alpha).astype(np.float32) / 255
    coverage[coverage == 0] = 1
    bands = (255 - (255 - np.asarray(band).astype(np.float32)) / coverage for band in rgb.split())
    return Image.merge("RGB", [Image.fromarray((np.clip(b, 0, 255) + 0.5).astype(np.uint8)) for b in bands])


def check_ending(path: Path) -> None:
    """Raise UsageError if no picture can be written with the ending of `path`."""
    _format(path)


def can_write(ending: str) -> bool:
    """Whether a picture can be written with this ending, such as ".jpg"."""
    kind = _WRITABLE.get(ending.lower())
    return kind is not None and (not kind.feature or bool(features.check(kind.feature)))
