"""Decoded pixels of any mode as upright 8-bit sRGB."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from PIL import Image, ImageChops

from ip2p_cli.io import tiff
from ip2p_cli.io.colour import to_srgb

_TRANSPOSES = MappingProxyType(
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


def upright_srgb(
    image: Image.Image, profile: object, orientation: int
) -> tuple[Image.Image, Image.Image | None, str | None]:
    """Bring any mode to upright 8-bit sRGB on white: RGB, alpha if anything is transparent, a note on the profile."""
    base, alpha = _base_and_alpha(image)
    note = None
    if isinstance(profile, bytes) and profile:
        try:
            base = to_srgb(base, profile)
        except ValueError as error:
            note = f"its colour profile {error} and was ignored"
    rgb = base if base.mode == "RGB" and base is not image else base.convert("RGB")  # converting would copy it
    turn = _TRANSPOSES.get(orientation)
    if turn is not None:
        rgb = rgb.transpose(turn)
    if alpha is None or alpha.getextrema() == (255, 255):
        return rgb, None, note
    if turn is not None:
        alpha = alpha.transpose(turn)
    rgb.paste("white", (0, 0), ImageChops.invert(alpha))
    return rgb, alpha, note


def _base_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split an image of any mode into L, RGB or CMYK, which colour profiles are for, and its alpha."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        key = image.info.get("transparency")
        alpha = Image.fromarray(np.where(values == key, np.uint8(0), np.uint8(255))) if isinstance(key, int) else None
        return Image.fromarray(_grey_8bit(values, image)), alpha
    if image.has_transparency_data:
        mode = "LA" if image.mode in ("1", "L", "LA", "La") else "RGBA"
        whole = image if image.mode == mode else image.convert(mode)
        return whole.convert(mode[:-1]), whole.getchannel("A")
    if image.mode in ("L", "RGB", "CMYK"):
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _grey_8bit(values: np.ndarray, image: Image.Image) -> np.ndarray:
    """Scale grey of more than 8 bits so that white stays white.

    White is 65535 for 16 bits (4095 in a 12-bit TIFF) and for 32-bit integers, unless a pixel is brighter: then the
    brightest. For floats it is 1 where 99 % of the pixels are no brighter (highlights may be), else 255 or the
    brightest.
    """
    values = tiff.grey_values(values, image).astype(np.float32)
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
        white = 65535.0
    levels = np.clip(values / (tiff.grey_white(image) or white), 0.0, 1.0)
    return ((1.0 - levels if tiff.is_inverted_grey(image) else levels) * 255.0 + 0.5).astype(np.uint8)
