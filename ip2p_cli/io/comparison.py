"""Before and after in one picture: side by side, or as an animation that fades from one to the other."""

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
    """Where the comparison of an output goes: beside it, as <stem>-compare.png."""
    return output.with_name(f"{output.stem}-compare.png")


def gif_path(output: Path) -> Path:
    """Where the animation of an output goes: beside it, as <stem>.gif."""
    return output.with_name(f"{output.stem}.gif")


def compare(before: Image.Image, after: Image.Image) -> Image.Image:
    """Both side by side, RGB, of one height, a white line between; at most MAX_WIDTH x MAX_HEIGHT pixels."""
    height = min(MAX_HEIGHT, max(before.height, after.height))
    across = before.width / before.height + after.width / after.height
    height = max(1, min(height, int((MAX_WIDTH - _GAP) / across)))
    pair = []
    for image in (before, after):
        width = max(1, image.width * height // image.height)
        if height == 1:  # a strip that would be less than a pixel high
            width = min(width, (MAX_WIDTH - _GAP) // 2)
        pair.append(image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0))
    sheet = Image.new("RGB", (pair[0].width + _GAP + pair[1].width, height), "white")
    sheet.paste(pair[0], (0, 0))
    sheet.paste(pair[1], (pair[0].width + _GAP, 0))
    return sheet


def strip(rows: Sequence[Sequence[Image.Image]], height: int = 320) -> Image.Image:
    """Pictures in rows, RGB, each `height` high or less, white lines between; at most MAX_WIDTH pixels wide."""
    widest = max(sum(image.width / image.height for image in row) + 1e-9 for row in rows)
    most = max(map(len, rows))
    height = max(1, min(height, int((MAX_WIDTH - _GAP * (most - 1)) / widest)))
    sheets = []
    for row in rows:
        images = [
            image.convert("RGB").resize(
                (max(1, image.width * height // image.height), height), Image.Resampling.LANCZOS, reducing_gap=3.0
            )
            for image in row
        ]
        sheet = Image.new("RGB", (sum(one.width for one in images) + _GAP * (len(images) - 1), height), "white")
        left = 0
        for one in images:
            sheet.paste(one, (left, 0))
            left += one.width + _GAP
        sheets.append(sheet)
    whole = Image.new("RGB", (max(one.width for one in sheets), (height + _GAP) * len(sheets) - _GAP), "white")
    for number, one in enumerate(sheets):
        whole.paste(one, (0, number * (height + _GAP)))
    return whole


def before_after_gif(before: Image.Image, after: Image.Image) -> bytes:
    """An endless animated GIF: before, a cross-fade to after, and back; its longer side at most MAX_GIF_SIDE pixels.

    Has the shape of `after`; of a `before` of another shape its middle is shown.
    """
    return animated_gif([before, after])


def animated_gif(pictures: Sequence[Image.Image]) -> bytes:
    """An endless animated GIF that fades from each picture to the next, and from the last to the first.

    Has the shape of the last; its longer side is at most MAX_GIF_SIDE pixels.
    """
    frames, waits = _fading(pictures)
    # One palette for all, of what is in them: with one each, still parts would flicker.
    shown = [frame for place, frame in enumerate(frames) if place % (_FADES + 1) in (0, _FADES // 2 + 1)]
    width, height = frames[0].size
    together = Image.new("RGB", (width, len(shown) * height))
    for place, image in enumerate(shown):
        together.paste(image, (0, place * height))
    palette = together.quantize(256, Image.Quantize.MEDIANCUT)
    drawn = [image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for image in frames]
    buffer = io.BytesIO()
    drawn[0].save(buffer, "GIF", save_all=True, append_images=drawn[1:], duration=waits, loop=0, optimize=False)
    return buffer.getvalue()


def animated_webp(pictures: Sequence[Image.Image], quality: int = 85) -> bytes:
    """As `animated_gif`, as a WebP in full colour; quality: 1 to 100."""
    frames, waits = _fading(pictures)
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=waits, loop=0, quality=quality, method=2
    )
    return buffer.getvalue()


def _fading(pictures: Sequence[Image.Image]) -> tuple[list[Image.Image], list[int]]:
    """(frames, how long each is shown, in ms)"""
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
