"""Before and after in one picture: side by side, or as an animation that fades from one to the other."""

from __future__ import annotations

import io
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


def before_after_gif(before: Image.Image, after: Image.Image) -> bytes:
    """An endless animated GIF: before, a cross-fade to after, and back; its longer side at most MAX_GIF_SIDE pixels.

    Has the shape of `after`; of a `before` of another shape its middle is shown.
    """
    scale = min(1.0, MAX_GIF_SIDE / max(after.size))
    size = (max(1, round(after.width * scale)), max(1, round(after.height * scale)))
    first, last = (ImageOps.fit(image.convert("RGB"), size, Image.Resampling.LANCZOS) for image in (before, after))
    fades = [Image.blend(first, last, step / (_FADES + 1)) for step in range(1, _FADES + 1)]
    pictures = [first, *fades, last, *reversed(fades)]
    # One palette for all, of what is in both: with one each, still parts would flicker.
    both = Image.new("RGB", (size[0], 3 * size[1]))
    for place, image in enumerate((first, fades[_FADES // 2], last)):
        both.paste(image, (0, place * size[1]))
    palette = both.quantize(256, Image.Quantize.MEDIANCUT)
    frames = [image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for image in pictures]
    waits = [_HOLD_MS, *[_FADE_MS] * _FADES, _HOLD_MS, *[_FADE_MS] * _FADES]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=waits, loop=0, optimize=False)
    return buffer.getvalue()
