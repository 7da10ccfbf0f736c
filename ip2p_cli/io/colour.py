"""Colour profiles: converting photos to sRGB, which models and screens expect."""

from __future__ import annotations

import functools
import io
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageCms

# The largest real profiles, for printing, have some 3 MB.
MAX_PROFILE = 16_000_000

_MODES = MappingProxyType({"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"})


@functools.cache
def srgb_profile() -> bytes:
    """Return the ICC profile of sRGB; its date is fixed, so that its bytes are always the same."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # ICC.1:2022, 7.2.8: year, month, day, hours, minutes, seconds as 16-bit numbers from byte 24 on.
    return data[:24] + b"".join(n.to_bytes(2, "big") for n in (2000, 1, 1, 0, 0, 0)) + data[36:]


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an image with an embedded profile to sRGB, relative colorimetric with black point compensation.

    Args:
        image: The image, of mode RGB, L or CMYK.
        profile: The ICC profile.

    Returns:
        The image in mode RGB.

    Raises:
        ValueError: The profile is broken or for another kind of image; the text goes on from "its colour profile".
    """
    if len(profile) > MAX_PROFILE:
        raise ValueError("is too large")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
    except (OSError, ValueError, TypeError) as error:
        raise ValueError("is broken") from error
    if space == "RGB" and image.mode == "L":
        image = image.convert("RGB")
    if image.mode != _MODES.get(space):
        raise ValueError(f"is for {space} and not for {image.mode}")
    try:
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if image.mode != "CMYK" and _changes_nothing(transform, image.mode):
            return image if image.mode == "RGB" else image.convert("RGB")
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise ValueError("is broken") from error
    if converted is None:
        raise ValueError("is broken")
    return converted


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform changes no colour by more than a level, as for any profile of sRGB: then it is skipped."""
    levels = np.linspace(0, 255, 18).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    probe = Image.fromarray(colours) if mode == "RGB" else Image.fromarray(levels[None])
    after = ImageCms.applyTransform(probe, transform)
    if after is None:
        return False
    return int(np.abs(np.asarray(after).astype(int) - np.asarray(probe.convert("RGB"))).max()) <= 1
