"""Writing pictures: checked before the work, encoded in memory, written whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, features

from ip2p_cli.errors import OutputError, UsageError
from ip2p_cli.io import exif as exif_blocks
from ip2p_cli.io.colour import srgb_profile
from ip2p_cli.io.files import as_output_error
from ip2p_cli.io.formats import FORMATS, Format, Writer
from ip2p_cli.io.names import printable
from ip2p_cli.io.provenance import as_json, bounded, parameters, xmp_packet

_STRIP = 1 << 22  # pixels that are worked on at once
_WITH_DENSITY = ("PNG", "JPEG")  # WebP and AVIF have it in EXIF only; the tags of TIFF are EXIF


def check_output(path: Path, overwrite: bool) -> None:
    """Check, before a model is loaded, whether `path` can be written.

    Raises:
        UsageError: No format has this ending.
        OutputError: The folder is missing or closed, or the file exists and `overwrite` is false.
    """
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


def encode_picture(
    image: Image.Image,
    path: Path,
    *,
    alpha: Image.Image | None = None,
    quality: int = 92,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    record: Mapping[str, Any] | None = None,
    density: tuple[float, float] | None = None,
) -> bytes:
    """Encode a picture in the format of a file name's ending, tagged as sRGB.

    Nothing but the profile, `exif`, `xmp`, `density` and `record` is embedded.

    Args:
        image: The picture as seen on white, in sRGB.
        path: The file name, which chooses the format.
        alpha: The transparency, mode L; kept where the format can.
        quality: For lossy formats, 1 to 100.
        exif: The photo's EXIF, from `Picture.exif`; its width and height are set to the picture's. EXIF that cannot
            be read is left out.
        xmp: What the photo's XMP says, from `Picture.xmp`.
        record: How the picture was made (see `provenance`), embedded with the text of parameters (in EXIF it replaces
            the photo's UserComment) and XMP.
        density: Pixels per inch across and down; in EXIF where the format has no place of its own for it.

    Returns:
        The whole file.

    Raises:
        UsageError: The ending or the quality is not possible.
        OutputError: The format cannot hold the picture or the record.
    """
    format_, writer = _format(path)
    if not 1 <= quality <= 100:
        raise UsageError(f"quality {quality} is out of range: use 1 to 100, for example 92")
    if record is not None:
        record = bounded(record, writer.max_metadata, printable(path), xmp or b"")
    # PNG has the parameters in a text of its own; only in TIFF XMP is a part of the EXIF.
    comment = None if record is None or format_.name == "PNG" else parameters(record)
    packet = None if record is None and xmp is None else xmp_packet(record, xmp or b"")
    in_exif = packet if format_.name == "TIFF" else None
    block = exif_blocks.for_output(exif, image.size, comment=comment, xmp=in_exif)
    if density is not None and format_.name not in _WITH_DENSITY:
        block = exif_blocks.with_density(block, density)
    options = {**writer.options, **({"quality": quality} if writer.lossy else {}), "icc_profile": srgb_profile()}
    if density is not None and format_.name in _WITH_DENSITY:
        options["dpi"] = density
    if format_.name != "TIFF":  # Pillow's TIFF writer loses it; it is added to the file below
        options |= _metadata(block, record, packet, format_)
    # Converting an RGB picture would copy it.
    data = _encode(
        image if image.mode == "RGB" else image.convert("RGB"), alpha, format_.name, writer, options, printable(path)
    )
    return exif_blocks.add_to_tiff(data, block) if format_.name == "TIFF" else data


def _format(path: Path) -> tuple[Format, Writer]:
    writers = {
        ending: (format_, format_.writer)
        for format_ in FORMATS
        if format_.writer and (not format_.writer.feature or features.check(format_.writer.feature))
        for ending in format_.writer.endings
    }
    ending = path.suffix.lower()
    if ending in writers:
        return writers[ending]
    problem = f"cannot write {ending} files here" if ending else "the output has no extension"
    raise UsageError(f"{printable(path)}: {problem}: use one of {' '.join(writers)}")


def _metadata(
    block: exif_blocks.Block, record: Mapping[str, Any] | None, packet: bytes | None, format_: Format
) -> dict[str, object]:
    """Make Pillow's save options that put EXIF, the record and an XMP packet into a file."""
    if format_.name == "AVIF":  # with this tag Pillow would write the block anew, and lose what it does not know
        block = exif_blocks.without(block, exif_blocks.ORIENTATION)
    options: dict[str, object] = {}
    if data := exif_blocks.build(block, format_.writer.max_metadata if format_.writer else None):
        options["exif"] = data
    if format_.name != "PNG":
        return options if packet is None else {**options, "xmp": packet}
    info = PngImagePlugin.PngInfo()
    if record is not None:
        info.add_itxt("ip2p", as_json(record))
        info.add_text("parameters", parameters(record))
    if packet is not None:
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
    return {**options, "pnginfo": info}


def _encode(
    rgb: Image.Image,
    alpha: Image.Image | None,
    format_name: str,
    writer: Writer,
    options: Mapping[str, object],
    shown: str,
) -> bytes:
    """Encode in memory, so that an encoder's failure is never mistaken for the disk's."""
    if writer.max_side is not None and max(rgb.size) > writer.max_side:
        raise OutputError(f"{shown}: {format_name} holds at most {writer.max_side} pixels a side: use .png or .tiff")
    if alpha is not None:
        rgb = _remove_white(rgb, alpha)
        if writer.alpha:
            rgb.putalpha(alpha)
        else:
            rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
    buffer = io.BytesIO()
    try:
        rgb.save(buffer, format_name, **options)
    except (OSError, ValueError) as error:
        raise OutputError(f"{shown}: cannot be written as {format_name} ({error}): use .png") from error
    return buffer.getvalue()


def _remove_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    """Solve seen = a colour + (1 - a) white for the colour; where a = 0 any will do, and the seen one stays."""
    result = Image.new("RGB", rgb.size)
    rows = max(1, _STRIP // rgb.width)
    for top in range(0, rgb.height, rows):
        box = (0, top, rgb.width, min(top + rows, rgb.height))
        coverage = np.asarray(alpha.crop(box)).astype(np.float32)[..., None] / 255
        coverage[coverage == 0] = 1
        colours = 255 - (255 - np.asarray(rgb.crop(box)).astype(np.float32)) / coverage
        result.paste(Image.fromarray((np.clip(colours, 0, 255) + 0.5).astype(np.uint8)), box)
    return result


def check_ending(path: Path) -> None:
    """Raise UsageError if no picture can be written with the ending of `path`."""
    _format(path)


def can_write(ending: str) -> bool:
    """Whether a picture can be written with this ending, such as ".jpg"."""
    with suppress(UsageError):
        _format(Path(f"picture{ending}"))
        return True
    return False
