"""Drawn, painted and printed."""

import cv2
import numpy as np

from ip2p_cli.looks.base import Image, Paint
from ip2p_cli.looks.tones import (
    blur,
    colour,
    curve,
    dabs,
    drawn,
    edges,
    f32,
    flatten,
    gain,
    gradient,
    grey,
    ink,
    luminance,
    mix,
    radius,
    saturate,
    scale_of,
    smoothstep,
    steps,
    times,
    unit,
)


def pencil_sketch(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Grey pencil lines on light paper."""
    lum = luminance(image)
    dodge = np.clip((lum + 0.03) / (blur(lum, 3.2) + 0.03), 0, 1)
    line = f32(dodge ** (2.6 * max(amount, 1.0)))
    shade = curve(blur(lum, 0.8), (0, 0.62), (0.35, 0.86), (0.7, 0.97), (1, 0.97))
    return drawn(image, grey(f32(0.14 * (1 - line) + line * shade)), amount)


def charcoal(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Dark, heavy and smudged."""
    lum = luminance(image)
    smudge = flatten(blur(lum, 1.0), 9, 0.006)
    tone = curve(smudge, (0, 0.02), (0.25, 0.12), (0.5, 0.40), (0.8, 0.80), (1, 0.94))
    tone = mix(tone, blur(tone, 3), 0.4)
    line = ink(lum, 1.5, 24 * max(amount, 1.0))
    mono = tone * (1 - 0.85 * line) + 0.1 * smoothstep(lum - blur(lum, 2), 0.02, 0.15)
    return drawn(image, unit(gradient(f32(mono), (0, (0.04, 0.04, 0.045)), (1, (1.0, 0.985, 0.96)))), amount)


def watercolour(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Pale washes, pigment gathered at their edges, paper showing."""
    wash = dabs(image, 4.5)
    pale = curve(saturate(wash, 1.25), (0, 0.20), (0.3, 0.52), (0.6, 0.83), (0.85, 0.99), (1, 1))
    rim = np.clip(edges(luminance(wash), 0.8) * 3.5 * max(amount, 1.0), 0, 0.45)
    pale = pale * (1 - gain(grey(f32(rim)), (0.9, 0.8, 0.6)))
    paper = smoothstep(radius(image), 0.75, 1.4) * 0.85
    return drawn(image, unit(mix(pale, (0.99, 0.98, 0.955), paper)), amount)


def oil(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Thick saturated brush strokes, lit from the side."""
    paint = dabs(image, 6.0 if amount <= 1 else 6.0 + 2.5 * (amount - 1))
    lum = luminance(paint)
    relief = blur(lum, 0.6) - _shifted(blur(lum, 0.6), 1.2)
    rich = saturate(curve(paint, (0, 0.01), (0.3, 0.23), (0.7, 0.79), (1, 1)), 1.65)
    rich = gain(rich, (1.05, 0.98, 0.80))  # old varnish
    return drawn(image, unit(rich + grey(f32(np.clip(relief * 1.1, -0.15, 0.15)))), amount)


def _shifted(plane: Image, by: float) -> Image:
    d = by * scale_of(plane)
    m = f32([[1, 0, d], [0, 1, d]])
    out: Image = cv2.warpAffine(plane, m, plane.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return out


def cartoon(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Flat bright colours with dark outlines."""
    flat = dabs(image, 4)
    lum = luminance(flat)
    level = steps(lum, 6, 5.0)
    bright = curve(level, (0, 0.06), (0.35, 0.52), (0.7, 0.9), (1, 1))
    toned = times(flat, (bright + 0.02) / (lum + 0.02))
    line = ink(lum, 1.0, 30 * max(amount, 1.0))
    return drawn(image, unit(times(saturate(unit(toned), 1.7), 1 - 0.95 * line)), amount)


def poster(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """A screen print in four flat inks."""
    lum = _even(luminance(image), 7)
    out = _inks(
        blur(lum, 0.5),
        ((0.05, 0.17, 0.29), (0.80, 0.15, 0.14), (0.45, 0.64, 0.67), (0.97, 0.90, 0.68)),
        (0.24, 0.46, 0.68),
    )
    return drawn(image, out, amount)


def _even(lum: Image, size: float) -> Image:
    # some local contrast, so that a flat or hazy photo does not end up in a single ink
    return flatten(f32(lum + 0.4 * (lum - blur(lum, 24))), size, 0.015)


def _inks(lum: Image, inks: tuple[tuple[float, float, float], ...], cuts: tuple[float, ...]) -> Image:
    out = np.ascontiguousarray(np.broadcast_to(colour(inks[0]), (*lum.shape, 3)))
    for c, cut in zip(inks[1:], cuts, strict=True):
        out = mix(out, c, smoothstep(lum, cut - 0.045, cut + 0.045))
    return f32(out)


def pixel_art(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Big square pixels in few colours."""
    h, w = image.shape[:2]
    size = max(1, round(8 * scale_of(image) * (amount if amount > 1 else 0.5 + 0.5 * amount)))
    rich = saturate(curve(image, (0, 0), (0.3, 0.28), (0.7, 0.75), (1, 1)), 1.45)
    padded = cv2.copyMakeBorder(rich, 0, -h % size, 0, -w % size, cv2.BORDER_REPLICATE)
    small = cv2.resize(padded, (padded.shape[1] // size, padded.shape[0] // size), interpolation=cv2.INTER_AREA)
    small = steps(unit(small), 5, 3.5)
    big = cv2.resize(small, padded.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return unit(np.ascontiguousarray(big[:h, :w]))


def blueprint(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """White lines on blue paper."""
    lum = luminance(image)
    line = np.tanh(np.maximum(edges(lum, 0.6) - 0.008, 0) * 11 * max(amount, 1.0))
    ground = gradient(lum, (0, (0.03, 0.13, 0.40)), (1, (0.12, 0.34, 0.70)))
    return drawn(image, unit(mix(ground, (0.93, 0.97, 1.0), f32(np.clip(line, 0, 1)))), amount)


def pop_art(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Bold flat silkscreen colours."""
    lum = _even(luminance(image), 5)
    out = _inks(
        blur(lum, 0.5),
        ((0.16, 0.04, 0.36), (0.92, 0.06, 0.50), (1.0, 0.82, 0.05), (0.10, 0.80, 0.82)),
        (0.25, 0.47, 0.74),
    )
    return drawn(image, out, amount)


def engraving(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Ink hatching on cream paper: lines swell with the darkness."""
    h, w = image.shape[:2]
    s = scale_of(image)
    tone = curve(luminance(image), (0, 0.04), (0.5, 0.55), (0.8, 0.93), (1, 1))
    y = (np.arange(h, dtype=np.float32) + 0.5)[:, None] / s - 0.5
    x = (np.arange(w, dtype=np.float32) + 0.5)[None, :] / s - 0.5
    across = 0.5 + 0.5 * np.cos(y * (2 * np.pi / 4))
    slant = 0.5 + 0.5 * np.cos((x + y) * (2 * np.pi / 4))
    first = smoothstep(f32(tone * 1.35 - across), -0.45, 0.35)
    second = smoothstep(f32(tone * 3.2 - slant), -0.45, 0.35)
    paper = first * second * (1 - 0.8 * ink(luminance(image), 0.8, 20 * max(amount, 1.0)))
    return drawn(image, gradient(f32(paper), (0, (0.12, 0.10, 0.11)), (1, (0.97, 0.93, 0.83))), amount)


PAINTS: dict[str, Paint] = {
    f.__name__: f
    for f in (
        pencil_sketch,
        charcoal,
        watercolour,
        oil,
        cartoon,
        poster,
        pixel_art,
        blueprint,
        pop_art,
        engraving,
    )
}
