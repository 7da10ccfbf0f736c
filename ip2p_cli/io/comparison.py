"""Pictures before and after an edit in one: side by side, in rows, or as an animation that fades between them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

MAX_HEIGHT = 1200
MAX_WIDTH = 4000
MAX_GIF_SIDE = 800

_GAP = 8
_HOLD_MS, _FADE_MS, _FADES = 1200, 60, 6


def compare_path(output: Path) -> Path:
    """Return the path of an output's comparison: beside it, <stem>-compare.png."""
    return output.with_name(f"{output.stem}-compare.png")


def gif_path(output: Path) -> Path:
    """Return the path of an output's animation: beside it, <stem>.gif."""
    return output.with_name(f"{output.stem}.gif")


def compare(before: Image.Image, after: Image.Image) -> Image.Image:
    """Put two pictures side by side: RGB, of one height, at most MAX_WIDTH x MAX_HEIGHT pixels."""
    return strip([[before, after]], min(MAX_HEIGHT, max(before.height, after.height)))


def strip(rows: Sequence[Sequence[Image.Image]], height: int = 320) -> Image.Image:
    """Put pictures into rows, white lines between them: RGB, at most MAX_WIDTH pixels wide.

    Args:
        rows: The pictures of each row, at least one.
        height: The height of each row in pixels; less where a row would be too wide.
    """
    room = MAX_WIDTH - _GAP * (max(map(len, rows)) - 1)
    widest = max(sum(image.width / image.height for image in row) for row in rows)
    height = max(1, min(height, int(room / widest)))
    sheets = []
    for row in rows:
        images = []
        for image in row:
            width = max(1, image.width * height // image.height)
            if height == 1:  # a row that would be less than a pixel high
                width = min(width, room // len(row))
            images.append(image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0))
        sheets.append(_joined(images, axis=0))
    return _joined(sheets, axis=1)


def _joined(images: Sequence[Image.Image], axis: int) -> Image.Image:
    """Put pictures beside each other (axis 0) or below each other (axis 1), with gaps."""
    size = [max(image.size[0] for image in images), max(image.size[1] for image in images)]
    size[axis] = sum(image.size[axis] for image in images) + _GAP * (len(images) - 1)
    sheet = Image.new("RGB", (size[0], size[1]), "white")
    offset = 0
    for image in images:
        sheet.paste(image, (0, offset) if axis else (offset, 0))
        offset += image.size[axis] + _GAP
    return sheet


def before_after_gif(before: Image.Image, after: Image.Image) -> bytes:
    """Make an animated GIF that fades from one picture to the other and back; see `animated_gif`."""
    return animated_gif([before, after])


def animated_gif(pictures: Sequence[Image.Image]) -> bytes:
    """Make an endless animated GIF that fades from each picture to the next, and from the last to the first.

    It has the shape of the last picture, and its longer side is at most MAX_GIF_SIDE pixels. Of a picture of another
    shape the middle is shown.
    """
    frames, waits = _fading(pictures)
    # One palette for all frames: if each had its own, still parts would flicker.
    sampled = [frame for number, frame in enumerate(frames) if number % (_FADES + 1) in (0, _FADES // 2 + 1)]
    palette = _joined(sampled, axis=1).quantize(256, Image.Quantize.MEDIANCUT)
    drawn = [image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for image in frames]
    buffer = io.BytesIO()
    drawn[0].save(buffer, "GIF", save_all=True, append_images=drawn[1:], duration=waits, loop=0, optimize=False)
    return buffer.getvalue()


def animated_webp(pictures: Sequence[Image.Image], quality: int = 85) -> bytes:
    """Make the animation of `animated_gif` as a WebP in full colour. quality: 1 to 100."""
    frames, waits = _fading(pictures)
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=waits, loop=0, quality=quality, method=2
    )
    return buffer.getvalue()


def _fading(pictures: Sequence[Image.Image]) -> tuple[list[Image.Image], list[int]]:
    """Make the frames, and the time that each is shown, in ms."""
    last = pictures[-1]
    scale = min(1.0, MAX_GIF_SIDE / max(last.size))
    size = (max(1, round(last.width * scale)), max(1, round(last.height * scale)))
    stills = [ImageOps.fit(image.convert("RGB"), size, Image.Resampling.LANCZOS) for image in pictures]
    frames: list[Image.Image] = []
    waits: list[int] = []
    for still, following in zip(stills, [*stills[1:], stills[0]], strict=True):
        frames += [still, *(Image.blend(still, following, step / (_FADES + 1)) for step in range(1, _FADES + 1))]
        waits += [_HOLD_MS, *[_FADE_MS] * _FADES]
    return frames, waits
