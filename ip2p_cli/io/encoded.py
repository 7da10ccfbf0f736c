"""Pictures as encoded bytes, as datasets hold them: decoded with their size checked first, and shown small."""

from __future__ import annotations

import base64
import io

from PIL import Image

from ip2p_cli.io import formats
from ip2p_cli.io.names import printable


def decode_picture(data: bytes, name: str, side: int | None = None) -> Image.Image:
    """An RGB picture; with `side` a JPEG may come out smaller, but no side of it below `side`.

    Raises InputError, one line that begins with `name`, for what is no picture, broken or too large.
    """
    shown = printable(name)
    with formats.as_input_error(shown):
        image, _ = formats.identify(io.BytesIO(data), shown)
        if image.width * image.height > formats.MAX_PIXELS:
            raise formats.too_large(shown, *image.size)
        if side is not None:
            image.draft("RGB", (side, side))
        return image.convert("RGB")


def picture_size(data: bytes, name: str) -> tuple[int, int]:
    """(width, height) from the header alone; raises InputError as `decode_picture` does."""
    shown = printable(name)
    with formats.as_input_error(shown):
        return formats.identify(io.BytesIO(data), shown)[0].size


def data_uri(data: bytes, name: str, side: int = 200) -> str:
    """A picture of at most `side` pixels a side as a JPEG in an address; raises InputError as `decode_picture` does."""
    image = decode_picture(data, name, side)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
