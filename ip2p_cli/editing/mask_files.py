"""Masks as files: which part of a photo may change, to look at or to use again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ip2p_cli import __version__
from ip2p_cli.editing.step_masks import StepMask
from ip2p_cli.errors import InputError, OutputError
from ip2p_cli.io.files import write_whole
from ip2p_cli.io.images import Picture
from ip2p_cli.io.output import encode_picture
from ip2p_cli.io.provenance import read_record

_COVER = 0.65  # how much of the photo a heat map covers where it is hot


def write_mask(
    path: Path, mask: Image.Image, facts: Mapping[str, Any], picture: Picture, *, overwrite: bool = False
) -> None:
    """Write a mask with the record of what it is, whole or not at all; a file with the same content may be there.

    Args:
        path: The file, whose ending decides the format.
        mask: The mask, mode L.
        facts: How it was made.
        picture: The photo that it is of.
        overwrite: Whether another file may be replaced.

    Raises:
        UsageError: No picture can be written with this ending.
        OutputError: It cannot be written, or exists already.
    """
    source = {"input": picture.path.name, "input_sha256": picture.digest}
    record = {"ip2p": __version__, "mask": dict(facts), **source, "size": list(mask.size)}
    data = encode_picture(mask, path, quality=100, record=record)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data, overwrite=overwrite)
    except OutputError:
        if path.is_symlink() or not path.is_file() or path.read_bytes() != data:
            raise


def holds_mask(path: Path, mask: StepMask) -> bool:
    """Whether a file holds what was said of a mask, so that it need not be written again."""
    try:
        record = read_record(path)
    except InputError:
        return False
    said = record.get("mask") if record is not None else None
    return isinstance(said, dict) and said.items() >= mask.record(path.parent).items()


def heat_map(photo: Image.Image, values: Image.Image) -> Image.Image:
    """Draw values over a photo: from blue, little, to red, much; where they are 0 the photo is grey.

    Args:
        photo: RGB.
        values: Mode L, of the photo's size.
    """
    level = np.asarray(values)
    colours = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    cover = Image.fromarray((np.minimum(level, 128).astype(np.float32) * (2 * _COVER)).clip(0, 255).astype(np.uint8))
    return Image.composite(Image.fromarray(colours), photo.convert("L").convert("RGB"), cover)
