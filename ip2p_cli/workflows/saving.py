"""A result as the bytes of its file: with the photo's transparency and EXIF, and the record of how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ip2p_cli.io.exif import strip_location
from ip2p_cli.io.images import Picture
from ip2p_cli.io.output import encode_picture
from ip2p_cli.types import OutputOptions


def encoded(
    image: Image.Image, target: Path, picture: Picture, record: Mapping[str, Any], saving: OutputOptions
) -> bytes:
    """The bytes of `image`, an edit of the photo `picture`, in the format of `target`; raises as `encode_picture`.

    Transparency is carried where the sizes agree.
    """
    alpha = picture.alpha if picture.alpha is not None and picture.alpha.size == image.size else None
    exif = picture.exif if saving.metadata else None
    if exif is not None and saving.strip_location:
        exif = strip_location(exif)
    return encode_picture(
        image,
        target,
        alpha=alpha,
        quality=saving.quality,
        record=record if saving.metadata else None,
        exif=exif,
    )
