"""Pictures as encoded bytes, as datasets hold them: decode with a check of their size first, show small."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from ip2p_cli.io import formats
from ip2p_cli.io.names import printable


def decode_picture(data: bytes, name: str, side: int | None = None) -> Image.Image:
    """Decode a picture as RGB. With `side` a JPEG may come out smaller, but no side of it below so many pixels.

    Raises:
        InputError: It is not a picture, is broken, or has too many pixels. The message begins with `name`.
    """
    shown = printable(name)
    with formats.as_input_error(shown):
        image = formats.identify(io.BytesIO(data), shown).image
        formats.check_size(image.size, shown)
        if side is not None:
            image.draft("RGB", (side, side))
        return image.convert("RGB")


def picture_size(data: bytes, name: str) -> tuple[int, int]:
    """Read (width, height) from a picture's header. Raises InputError as `decode_picture` does."""
    shown = printable(name)
    with formats.as_input_error(shown):
        return formats.identify(io.BytesIO(data), shown).image.size


def data_uri(data: bytes, name: str, side: int = 200) -> str:
    """Make a data URI of a picture, as a JPEG of at most `side` pixels a side. Raises as `decode_picture` does."""
    image = decode_picture(data, name, side)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def picture_of(pixels: npt.NDArray[np.float32]) -> Image.Image:
    """Make a picture of (height, width, 3) RGB values in [0, 1]; values outside are clipped."""
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))
