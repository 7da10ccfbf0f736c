"""Drawn, painted and printed."""

import cv2
import numpy as np

from ip2p_cli.looks import patterns, tones
from ip2p_cli.looks.base import Draw, Pixels, Plane

_Four = tuple[tones.Colour, tones.Colour, tones.Colour, tones.Colour]


def pencil_sketch(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Grey pencil lines and hatching on light paper, without any colour."""
    lum = tones.luminance(image)
    soft = tones.blur(lum, 0.7)
    dodge = np.clip((soft + 0.04) / (tones.blur(lum, draw.between(0, 2.6, 4.2)) + 0.04), 0, 1)
    line = tones.f32(dodge ** (draw.between(1, 2.0, 3.6) * max(amount, 1.0)))
    line = line * (1 - 0.75 * tones.outlines(soft, 0.8, 14 * max(amount, 1.0)))
    tone = tones.curve(tones.flatten(lum, 5, 0.004), (0, 0.05), (0.5, draw.between(2, 0.50, 0.72)), (0.8, 0.98), (1, 1))
    turn = draw.between(3, 0, 1)
    wobble = 0.7 * draw.field(0, image, 10)
    first = _strokes(tone, patterns.hatch(image, 1, 1, wobble), 0.35 + 0.5 * turn)
    second = _strokes(tone, patterns.hatch(image, 1, -1, wobble), 0.85 - 0.5 * turn)
    grain = 1 + 0.025 * patterns.speckle(draw.fields[8:12], image)
    shade = (0.72 + 0.28 * tone) * first * second
    paper = draw.between(4, 0.88, 0.985)
    return tones.blend(image, tones.grey(paper * (0.13 + 0.87 * line * shade) * grain), amount)


def _strokes(tone: Plane, lines: Plane, upto: float) -> Plane:
    """Pencil lines where the tone is darker than `upto`: 1 on bare paper."""
    dark = np.clip((upto - tone) * 2, 0, 1)
    return tones.f32(1 - 0.55 * dark * lines)


def charcoal(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Dark, heavy, smudged charcoal on warm or grey paper, whose tooth shows."""
    lum = tones.luminance(image)
    smudge = tones.flatten(tones.blur(lum, 1.0), 9, 0.006)
    tone = tones.curve(smudge, (0, 0.02), (0.25, 0.12), (0.5, draw.between(0, 0.30, 0.48)), (0.8, 0.80), (1, 0.96))
    tone = tones.mix(tone, tones.blur(tone, 3), draw.between(1, 0.2, 0.6))
    line = tones.outlines(lum, draw.between(2, 1.2, 1.9), 24 * max(amount, 1.0))
    mono = tone * (1 - 0.88 * line) + 0.1 * tones.smoothstep(lum - tones.blur(lum, 2), 0.02, 0.15)
    tooth = patterns.speckle(draw.fields[8:12], image) + 0.35 * draw.field(0, image)
    mono = mono + draw.between(3, 0.035, 0.07) * tooth * (0.25 + 3 * mono * (1 - mono))
    light, warm = draw.between(4, 0.84, 1.0), draw.between(5, 0.0, 0.07)
    paper = (light, light * (1 - 0.45 * warm), light * (1 - warm))
    drawing = tones.gradient(tones.f32(mono), (0, (0.04, 0.04, 0.045)), (1, paper))
    return tones.blend(image, drawing, amount)


def watercolour(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Crisp pale washes with dark pigment at their edges, on grainy paper that shows between them."""
    base = tones.brush_strokes(image, draw.between(0, 3.0, 4.6))
    lum = tones.luminance(base)
    spread = tones.clip(tones.f32(lum + 0.025 * draw.field(0, image, 16)))
    steps = tones.staircase(spread, draw.between(1, 4.5, 6.5), 9.0)
    wash = tones.multiply(base, (0.75 * steps + 0.25 * lum + 0.05) / (lum + 0.05))
    pale = tones.saturate(tones.clip(wash), draw.between(2, 1.2, 1.55))
    pale = tones.curve(pale, (0, 0.16), (0.3, draw.between(3, 0.46, 0.56)), (0.6, 0.82), (0.85, 0.985), (1, 1))
    rim = tones.outlines(tones.mix(lum, steps, 0.6), 0.9, 16 * max(amount, 1.0))
    grain = patterns.speckle(draw.fields[8:12], image)
    drawn = tones.outlines(tones.luminance(image), 0.8, 12)
    pigment = 1 - 0.55 * np.maximum(rim, drawn) + 0.025 * grain + 0.04 * draw.field(1, image, 16)
    depth = tones.f32(np.clip(1.15 - tones.luminance(pale), 0, 1))
    pale = pale * tones.grey(1 + (pigment - 1) * np.clip(1.3 * depth, 0.25, 1))
    bare = tones.smoothstep(tones.radius(image) + 0.07 * draw.field(2, image, 16) + 0.35 * lum, 1.30, 1.38)
    light, cream = draw.between(4, 0.95, 1.0), draw.between(5, 0.01, 0.08)
    paper = tones.gain(tones.grey(1 + 0.02 * grain), (light, light * (1 - 0.35 * cream), light * (1 - cream)))
    return tones.blend(image, tones.mix(tones.clip(pale) * paper, paper, 0.9 * bare), amount)


def oil(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Thick saturated brush strokes, lit from the side, under more or less old varnish."""
    size = draw.between(0, 3.8, 6.0)
    paint = tones.brush_strokes(image, size if amount <= 1 else size + 2.5 * (amount - 1))
    paint = paint + 0.5 * (tones.blur(image, 0.8) - tones.blur(image, 2.0))  # eyes and mouths stay
    rough = 0.035 * draw.field(0, image, 6) + 0.02 * patterns.speckle(draw.fields[8:12], image)
    height = tones.blur(tones.f32(tones.luminance(paint) + rough), 0.6)
    relief = np.clip((height - _shifted(height, 1.2)) * draw.between(1, 0.9, 1.6), -0.15, 0.15)
    deep = draw.between(2, 0.19, 0.27)
    rich = tones.saturate(
        tones.curve(tones.clip(paint), (0, 0.01), (0.3, deep), (0.7, 0.78), (1, 1)), draw.between(3, 1.45, 1.85)
    )
    varnish = draw.between(4, 0.5, 1.5)
    rich = tones.gain(rich, (1.02 + 0.03 * varnish, 1.0 - 0.02 * varnish, 1 - 0.19 * varnish))
    rich = rich * tones.grey(1 + 0.03 * draw.field(1, image, 6))
    return tones.blend(image, rich + tones.grey(relief), amount)


def _shifted(plane: Plane, by: float) -> Plane:
    """Shift a plane down and to the right."""
    d = by * tones.scale_of(plane)
    shift = tones.f32([[1, 0, d], [0, 1, d]])
    return tones.f32(cv2.warpAffine(plane, shift, plane.shape[1::-1], borderMode=cv2.BORDER_REPLICATE))


def cartoon(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Flat bright cel colours with clear dark outlines."""
    flat = tones.brush_strokes(image, draw.between(0, 3.6, 4.8))
    lum = tones.luminance(flat)
    level = tones.staircase(tones.flatten(lum, 5, 0.002), draw.between(1, 3.0, 4.6), 9.0)
    bright = tones.curve(level, (0, 0.08), (0.35, draw.between(2, 0.44, 0.60)), (0.7, 0.88), (1, 1))
    toned = tones.multiply(flat, (bright + 0.03) / (lum + 0.03))
    toned = tones.saturate(tones.clip(toned), draw.between(3, 1.5, 2.0))
    warm = draw.between(4, -0.05, 0.05)
    toned = tones.clip(tones.gain(toned, (1 + warm, 1, 1 - warm)))
    return tones.blend(image, tones.multiply(toned, 1 - 0.95 * _ink(image, draw.between(5, 0.9, 1.3), amount)), amount)


def _ink(image: Pixels, width: float, amount: float) -> Plane:
    """Ink lines of about two pixels along the borders of things."""
    calm = tones.flatten(image, 5, 0.005)
    fine, wide = tones.blur(calm, 0.75 * width), tones.blur(calm, 1.5 * width)
    # Relative to the surroundings, so that the dark parts of a photo get lines but are not filled with ink; in every
    # channel, so that two colours of the same lightness have a border too.
    ridge = (wide - fine) / (wide + 0.16)
    borders = tones.f32(0.6 * ridge.max(axis=2) + 0.4 * tones.luminance(ridge))
    return tones.smoothstep(borders * np.float32(max(amount, 1.0)), 0.016, 0.046)


_POSTER: tuple[_Four, ...] = (
    ((0.05, 0.17, 0.29), (0.10, 0.10, 0.22), (0.02, 0.20, 0.24), (0.16, 0.10, 0.16)),
    ((0.80, 0.15, 0.14), (0.86, 0.30, 0.08), (0.68, 0.12, 0.22), (0.74, 0.22, 0.12)),
    ((0.45, 0.64, 0.67), (0.40, 0.56, 0.70), (0.52, 0.70, 0.60), (0.60, 0.66, 0.58)),
    ((0.97, 0.90, 0.68), (0.98, 0.93, 0.80), (0.95, 0.92, 0.72), (0.98, 0.86, 0.62)),
)
_POP: tuple[_Four, ...] = (
    ((0.16, 0.04, 0.36), (0.04, 0.06, 0.42), (0.30, 0.02, 0.30), (0.10, 0.02, 0.22)),
    ((0.92, 0.06, 0.50), (0.96, 0.10, 0.36), (0.80, 0.06, 0.66), (0.98, 0.16, 0.52)),
    ((1.00, 0.82, 0.05), (1.00, 0.72, 0.10), (0.96, 0.90, 0.20), (1.00, 0.78, 0.00)),
    ((0.10, 0.80, 0.82), (0.20, 0.86, 0.62), (0.20, 0.70, 0.96), (0.36, 0.88, 0.88)),
)


def poster(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A screen print in four flat inks."""
    return tones.blend(image, _print(tones.luminance(image), 7, _POSTER, (0.24, 0.46, 0.68), draw), amount)


def pop_art(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Bold flat silkscreen colours."""
    return tones.blend(image, _print(tones.luminance(image), 5, _POP, (0.25, 0.47, 0.74), draw), amount)


def _print(lum: Plane, size: float, palette: tuple[_Four, ...], cuts: tuple[float, float, float], draw: Draw) -> Pixels:
    """Print in flat inks, each where the luminance is above its cut, without texture finer than `size`."""
    inks = [tones.mix_corners(corners, draw.between(0, 0, 1), draw.between(1, 0, 1)) for corners in palette]
    # Local contrast gives a flat or hazy photo more than one ink.
    lum = tones.flatten(tones.f32(lum + 0.4 * (lum - tones.blur(lum, 24))), size, 0.015)
    lum = tones.blur(lum, 0.5) + np.float32(draw.between(2, -0.05, 0.05))
    spread = draw.between(3, 0.9, 1.1)
    print_ = np.ascontiguousarray(np.broadcast_to(tones.f32(inks[0]), (*lum.shape, 3)))
    for colour, cut in zip(inks[1:], cuts, strict=True):
        at = 0.46 + (cut - 0.46) * spread
        print_ = tones.mix(print_, colour, tones.smoothstep(lum, at - 0.04, at + 0.04))
    return print_


def pixel_art(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Big square pixels in few colours."""
    h, w = image.shape[:2]
    size = max(1, round(8 * tones.scale_of(image) * (amount if amount > 1 else 0.5 + 0.5 * amount)))
    rich = tones.develop(image, draw.between(0, 0.90, 1.10), draw.between(1, -0.06, 0.06), draw.between(2, 1.08, 1.28))
    rich = tones.clip(tones.saturate(rich, draw.between(3, 1.35, 1.7)))
    padded = cv2.copyMakeBorder(rich, 0, -h % size, 0, -w % size, cv2.BORDER_REPLICATE)
    small = cv2.resize(padded, (padded.shape[1] // size, padded.shape[0] // size), interpolation=cv2.INTER_AREA)
    small = tones.staircase(tones.clip(small), draw.between(4, 3.4, 5.0), 3.5)
    big = cv2.resize(small, padded.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return tones.clip(np.ascontiguousarray(big[:h, :w]))


def blueprint(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """White lines on blue paper, between navy and a brighter blue."""
    lum = tones.luminance(image)
    line = np.maximum(tones.edges(lum, draw.between(0, 0.5, 0.9)) - 0.008, 0) * draw.between(1, 9, 15)
    line = np.tanh(line * max(amount, 1.0))
    hue, light = draw.between(2, -1, 1), draw.between(3, -0.06, 0.07)
    dark = (0.03 + 0.3 * light, 0.13 + 0.04 * hue + light, 0.40 + 1.2 * light)
    pale = (0.12 + 0.3 * light, 0.34 + 0.06 * hue + light, 0.70 + 1.2 * light)
    stain = 0.05 * draw.field(0, image, 16) + 0.04 * patterns.speckle(draw.fields[8:12], image)
    ground = tones.multiply(tones.gradient(lum, (0, dark), (1, pale)), 1 + tones.f32(stain))
    return tones.blend(image, tones.mix(ground, (0.93, 0.97, 1.0), np.clip(line, 0, 1)), amount)


def engraving(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Ink hatching on cream paper, with thicker lines where the photo is darker."""
    tone = tones.curve(tones.luminance(image), (0, 0.04), (0.5, draw.between(0, 0.49, 0.61)), (0.8, 0.93), (1, 1))
    wave = 0.2 * draw.field(0, image, 12) + draw.between(1, -0.4, 0.4)
    across = patterns.hatch(image, 0, 1, wave)
    slant = tones.mix(patterns.hatch(image, 1, 1, wave), patterns.hatch(image, 1, -1, wave), draw.between(2, 0, 1))
    first = tones.smoothstep(tones.f32(tone * 1.35 - across), -0.45, 0.35)
    second = tones.smoothstep(tones.f32(tone * draw.between(3, 2.6, 3.8) - slant), -0.45, 0.35)
    paper = first * second * (1 - 0.8 * tones.outlines(tones.luminance(image), 0.8, 20 * max(amount, 1.0)))
    cream, light, brown = draw.between(4, 0.06, 0.20), draw.between(5, 0.90, 0.99), draw.between(6, -0.04, 0.10)
    ink = (0.12 + brown, 0.11 + 0.4 * brown, 0.12 - 0.4 * brown)
    sheet = (light, light * (1 - 0.3 * cream), light * (1 - cream))
    return tones.blend(image, tones.gradient(tones.f32(paper), (0, ink), (1, sheet)), amount)
