"""Drawn, painted and printed."""

import cv2
import numpy as np

from ip2p_cli.looks import tones
from ip2p_cli.looks.base import Draw, Pixels, Plane


def pencil_sketch(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Grey pencil lines on light paper."""
    lum = tones.luminance(image)
    dodge = np.clip((lum + 0.03) / (tones.blur(lum, 3.2) + 0.03), 0, 1)
    line = tones.f32(dodge ** (2.6 * max(amount, 1.0)))
    shade = tones.curve(tones.blur(lum, 0.8), (0, 0.62), (0.35, 0.86), (0.7, 0.97), (1, 0.97))
    return tones.blend(image, tones.grey(0.14 * (1 - line) + line * shade), amount)


def charcoal(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Dark, heavy, smudged charcoal on warm paper."""
    lum = tones.luminance(image)
    smudge = tones.flatten(tones.blur(lum, 1.0), 9, 0.006)
    tone = tones.curve(smudge, (0, 0.02), (0.25, 0.12), (0.5, 0.40), (0.8, 0.80), (1, 0.94))
    tone = tones.mix(tone, tones.blur(tone, 3), 0.4)
    line = tones.outlines(lum, 1.5, 24 * max(amount, 1.0))
    mono = tone * (1 - 0.85 * line) + 0.1 * tones.smoothstep(lum - tones.blur(lum, 2), 0.02, 0.15)
    drawing = tones.gradient(tones.f32(mono), (0, (0.04, 0.04, 0.045)), (1, (1.0, 0.985, 0.96)))
    return tones.blend(image, drawing, amount)


def watercolour(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Pale washes with pigment at their edges, on paper that shows in the corners."""
    wash = tones.brush_strokes(image, 4.5)
    pale = tones.curve(tones.saturate(wash, 1.25), (0, 0.20), (0.3, 0.52), (0.6, 0.83), (0.85, 0.99), (1, 1))
    rim = np.clip(tones.edges(tones.luminance(wash), 0.8) * 3.5 * max(amount, 1.0), 0, 0.45)
    pale = pale * (1 - tones.gain(tones.grey(rim), (0.9, 0.8, 0.6)))
    paper = tones.smoothstep(tones.radius(image), 0.75, 1.4) * 0.85
    return tones.blend(image, tones.mix(pale, (0.99, 0.98, 0.955), paper), amount)


def oil(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Thick saturated brush strokes, lit from the side."""
    paint = tones.brush_strokes(image, 6.0 if amount <= 1 else 6.0 + 2.5 * (amount - 1))
    lum = tones.luminance(paint)
    relief = tones.blur(lum, 0.6) - _shifted(tones.blur(lum, 0.6), 1.2)
    rich = tones.saturate(tones.curve(paint, (0, 0.01), (0.3, 0.23), (0.7, 0.79), (1, 1)), 1.65)
    rich = tones.gain(rich, (1.05, 0.98, 0.80))  # old varnish
    return tones.blend(image, rich + tones.grey(np.clip(relief * 1.1, -0.15, 0.15)), amount)


def _shifted(plane: Pixels, by: float) -> Pixels:
    """Shift a plane down and to the right."""
    d = by * tones.scale_of(plane)
    shift = tones.f32([[1, 0, d], [0, 1, d]])
    return tones.f32(cv2.warpAffine(plane, shift, plane.shape[1::-1], borderMode=cv2.BORDER_REPLICATE))


def cartoon(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Flat bright colours with dark outlines."""
    flat = tones.brush_strokes(image, 4)
    lum = tones.luminance(flat)
    level = tones.posterise(lum, 6, 5.0)
    bright = tones.curve(level, (0, 0.06), (0.35, 0.52), (0.7, 0.9), (1, 1))
    toned = tones.multiply(flat, (bright + 0.02) / (lum + 0.02))
    line = tones.outlines(lum, 1.0, 30 * max(amount, 1.0))
    return tones.blend(image, tones.multiply(tones.saturate(tones.clip(toned), 1.7), 1 - 0.95 * line), amount)


def poster(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A screen print in four flat inks."""
    inks = ((0.05, 0.17, 0.29), (0.80, 0.15, 0.14), (0.45, 0.64, 0.67), (0.97, 0.90, 0.68))
    return tones.blend(image, _print(tones.luminance(image), 7, inks, (0.24, 0.46, 0.68)), amount)


def _print(lum: Plane, size: float, inks: tuple[tones.Colour, ...], cuts: tuple[float, ...]) -> Pixels:
    """Print in flat inks, each where the luminance is above its cut, without texture finer than `size`."""
    # Local contrast gives a flat or hazy photo more than one ink.
    lum = tones.flatten(tones.f32(lum + 0.4 * (lum - tones.blur(lum, 24))), size, 0.015)
    lum = tones.blur(lum, 0.5)
    print_ = np.ascontiguousarray(np.broadcast_to(tones.f32(inks[0]), (*lum.shape, 3)))
    for colour, cut in zip(inks[1:], cuts, strict=True):
        print_ = tones.mix(print_, colour, tones.smoothstep(lum, cut - 0.045, cut + 0.045))
    return print_


def pixel_art(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Big square pixels in few colours."""
    h, w = image.shape[:2]
    size = max(1, round(8 * tones.scale_of(image) * (amount if amount > 1 else 0.5 + 0.5 * amount)))
    rich = tones.saturate(tones.curve(image, (0, 0), (0.3, 0.28), (0.7, 0.75), (1, 1)), 1.45)
    padded = cv2.copyMakeBorder(rich, 0, -h % size, 0, -w % size, cv2.BORDER_REPLICATE)
    small = cv2.resize(padded, (padded.shape[1] // size, padded.shape[0] // size), interpolation=cv2.INTER_AREA)
    small = tones.posterise(tones.clip(small), 5, 3.5)
    big = cv2.resize(small, padded.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return tones.clip(np.ascontiguousarray(big[:h, :w]))


def blueprint(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """White lines on blue paper."""
    lum = tones.luminance(image)
    line = np.tanh(np.maximum(tones.edges(lum, 0.6) - 0.008, 0) * 11 * max(amount, 1.0))
    ground = tones.gradient(lum, (0, (0.03, 0.13, 0.40)), (1, (0.12, 0.34, 0.70)))
    return tones.blend(image, tones.mix(ground, (0.93, 0.97, 1.0), np.clip(line, 0, 1)), amount)


def pop_art(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Bold flat silkscreen colours."""
    inks = ((0.16, 0.04, 0.36), (0.92, 0.06, 0.50), (1.0, 0.82, 0.05), (0.10, 0.80, 0.82))
    return tones.blend(image, _print(tones.luminance(image), 5, inks, (0.25, 0.47, 0.74)), amount)


def engraving(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Ink hatching on cream paper, with thicker lines where the photo is darker."""
    h, w = image.shape[:2]
    s = tones.scale_of(image)
    tone = tones.curve(tones.luminance(image), (0, 0.04), (0.5, 0.55), (0.8, 0.93), (1, 1))
    y = (np.arange(h, dtype=np.float32) + 0.5)[:, None] / s - 0.5
    x = (np.arange(w, dtype=np.float32) + 0.5)[None, :] / s - 0.5
    across = 0.5 + 0.5 * np.cos(y * (2 * np.pi / 4))
    slant = 0.5 + 0.5 * np.cos((x + y) * (2 * np.pi / 4))
    first = tones.smoothstep(tones.f32(tone * 1.35 - across), -0.45, 0.35)
    second = tones.smoothstep(tones.f32(tone * 3.2 - slant), -0.45, 0.35)
    paper = first * second * (1 - 0.8 * tones.outlines(tones.luminance(image), 0.8, 20 * max(amount, 1.0)))
    engraved = tones.gradient(tones.f32(paper), (0, (0.12, 0.10, 0.11)), (1, (0.97, 0.93, 0.83)))
    return tones.blend(image, engraved, amount)
