"""Lenses, films and sensors."""

import cv2
import numpy as np

from ip2p_cli.looks import patterns, tones
from ip2p_cli.looks.base import Draw, Pixels


def _lab(image: Pixels, amount: float, draw: Draw, much: float = 1.0) -> Pixels:
    """Develop the photo a little lighter, darker, warmer or cooler, as numbers 4 to 6 say."""
    exposure, contrast = 1 + draw.between(4, -0.10, 0.10) * much, 1 + draw.between(6, -0.07, 0.07) * much
    developed = tones.develop(image, exposure, draw.between(5, -0.03, 0.03) * much, contrast)
    return tones.clip(tones.mix(image, developed, min(1.0, amount)))


def blur(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A photo that is strongly out of focus."""
    return tones.clip(tones.blur(_lab(image, amount, draw, 0.65), draw.between(0, 4.6, 8.0) * amount))


def sharpen(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Harsh detail, as of too much sharpening."""
    photo = _lab(image, amount, draw)
    lum = tones.luminance(photo)
    fine = np.tanh((lum - tones.blur(lum, draw.between(1, 0.9, 1.4))) * 5) * draw.between(0, 0.36, 0.62)
    coarse = (lum - tones.blur(lum, 4)) * draw.between(2, 0.5, 1.0)
    return tones.clip(photo + tones.grey(fine + coarse) * amount)


def tilt_shift(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A toy-like scene: one sharp band somewhere between the upper third and the bottom, saturated colour."""
    away = np.abs(tones.row_position(image) - draw.between(0, 0.40, 0.74))
    narrow = draw.between(1, 0.03, 0.09)
    near, far = tones.smoothstep(away, narrow, narrow + 0.15), tones.smoothstep(away, 0.2, 0.42)
    toy = tones.curve(_lab(image, amount, draw, 0.55), (0, 0), (0.3, 0.29), (0.7, 0.76), (1, 1))
    toy = tones.clip(tones.saturate(toy, 1 + draw.between(2, 0.40, 0.65) * amount))
    wide = draw.between(3, 6.0, 9.0) * amount
    soft = tones.mix(tones.blur(toy, 0.45 * wide), tones.blur(toy, wide), far)
    return tones.clip(tones.mix(toy, soft, near))


def film_grain(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Clear film grain, finer or coarser, on film with softer contrast, less colour and a warm or a cold tint."""
    coarse = draw.between(0, 0.5, 1.0)
    noise = tones.blur(patterns.speckle(draw.fields, image), coarse) * np.float32(2 * np.sqrt(np.pi) * coarse)
    soft = tones.curve(
        tones.saturate(image, draw.between(1, 0.65, 0.9)), (0, draw.between(2, 0.04, 0.10)), (0.5, 0.5), (1, 0.93)
    )
    film = tones.grade(image, tones.develop(soft, draw.between(4, 0.94, 1.06), draw.between(5, -0.03, 0.06)), amount)
    lum = tones.luminance(film)
    depth = draw.between(3, 0.038, 0.068) * amount * (0.35 + 2.6 * lum * (1 - lum))
    return tones.clip(film + tones.grey(noise * depth))


def vintage(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A faded old print: red to blue shadows, yellow to green lights, soft dark corners."""
    fade, yellow = draw.between(0, 0.13, 0.24), draw.between(1, 0.58, 0.72)
    red, blue = draw.between(2, -0.04, 0.05), draw.between(3, -0.05, 0.04)
    r = tones.curve(image[..., 0], (0, fade + red), (0.5, 0.61 + red), (1, 0.96))
    g = tones.curve(image[..., 1], (0, 0.45 * fade), (0.5, 0.48), (1, 0.90))
    b = tones.curve(image[..., 2], (0, fade + blue), (0.5, 0.41 + blue), (1, yellow))
    print_ = tones.develop(tones.saturate(cv2.merge([r, g, b]), draw.between(4, 0.7, 0.9)), draw.between(5, 0.95, 1.05))
    shade = 1 - draw.between(6, 0.28, 0.55) * tones.smoothstep(tones.radius(image), 0.55, 1.4)
    return tones.grade(image, tones.multiply(print_, shade), amount)


def infrared(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """False-colour infrared film: leaves turn pink, from rose to red, the rest cyan to blue and dark."""
    lum, red = tones.luminance(image), draw.between(0, 0, 1)
    bright = draw.between(1, -0.06, 0.06)
    leaf = tones.gradient(
        tones.clip(tones.f32(lum + bright)),
        (0, (0.14, 0.0, 0.08)),
        (0.25, (0.72, 0.08, 0.46 - 0.22 * red)),
        (0.5, (0.96, 0.32 - 0.08 * red, 0.66 - 0.24 * red)),
        (0.8, (1.0, 0.68 - 0.08 * red, 0.84 - 0.16 * red)),
        (1, (1, 0.93, 0.95)),
    )
    cyan, dark = draw.between(2, -0.10, 0.10), draw.between(3, 0.88, 1.10)
    rows = [[0.62, 0.1, -0.12], [0.2, 0.62 + cyan, 0.0], [0.0, 0.30 - 0.5 * cyan, 0.62]]
    rest = cv2.transform(image, tones.f32(rows) * np.float32(dark))
    return tones.grade(image, tones.clip(tones.mix(tones.clip(rest), leaf, tones.vegetation(image))), min(amount, 1.3))


# Stops of three heat cameras' palettes: iron, a more violet and a redder one; the fourth corner has cold blue.
_HEAT: tuple[tuple[float, tuple[tones.Colour, tones.Colour, tones.Colour, tones.Colour]], ...] = (
    (0.0, ((0.0, 0.0, 0.10), (0.02, 0.0, 0.14), (0.05, 0.0, 0.05), (0.0, 0.02, 0.22))),
    (0.2, ((0.20, 0.02, 0.50), (0.26, 0.02, 0.58), (0.32, 0.0, 0.36), (0.06, 0.06, 0.64))),
    (0.42, ((0.72, 0.06, 0.50), (0.66, 0.08, 0.62), (0.80, 0.06, 0.34), (0.60, 0.08, 0.62))),
    (0.62, ((0.98, 0.42, 0.08), (0.94, 0.34, 0.28), (0.98, 0.38, 0.04), (0.99, 0.40, 0.16))),
    (0.82, ((1.0, 0.82, 0.12), (1.0, 0.74, 0.26), (1.0, 0.76, 0.05), (1.0, 0.86, 0.14))),
    (1.0, ((1.0, 1.0, 0.88), (1.0, 0.97, 0.86), (1.0, 0.98, 0.76), (1.0, 1.0, 0.92))),
)


def thermal(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """The palette of a heat camera."""
    u, v = draw.between(0, 0, 1), draw.between(1, 0, 1)
    warm = tones.blur(tones.luminance(image), draw.between(3, 0.8, 1.8)) + np.float32(draw.between(2, -0.06, 0.06))
    heat = tones.gradient(tones.clip(warm), *((at, tones.mix_corners(corners, u, v)) for at, corners in _HEAT))
    return tones.blend(image, heat, amount)


def bokeh(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A sharp spot near the centre, and everything around it far out of focus, with lights as bright discs."""
    h, w = image.shape[:2]
    photo = _lab(image, amount, draw, 0.7)
    soft = _out_of_focus(photo, draw.between(0, 6.5, 10.0) * amount * tones.scale_of(image))
    soft = tones.curve(tones.saturate(soft, 1.25), (0, 0), (0.4, 0.44), (0.8, 0.92), (1, 1))
    x = (np.arange(w, dtype=np.float32) + 0.5)[None, :] / w * 2 - 1 - draw.between(1, -0.45, 0.45)
    y = (np.arange(h, dtype=np.float32) + 0.5)[:, None] / h * 2 - 1 - draw.between(2, -0.35, 0.35)
    sharp = draw.between(3, 0.38, 0.58)
    away = tones.smoothstep(tones.f32(np.sqrt(x * x + y * y)), sharp, sharp + 0.5)
    return tones.clip(tones.mix(photo, soft, tones.f32(away * min(1.0, amount) ** 0.5)))


def _out_of_focus(image: Pixels, size: float) -> Pixels:
    """Blur by a disc of radius `size`, in which lights outshine their surroundings."""
    h, w = image.shape[:2]
    f = 1
    while size / f > 5:
        f *= 2
    small = cv2.resize(image, (max(1, round(w / f)), max(1, round(h / f))), interpolation=cv2.INTER_AREA)
    r = size / f
    k = int(r) + 1
    y, x = np.mgrid[-k : k + 1, -k : k + 1]
    disc = tones.f32(np.clip(r + 0.5 - np.hypot(x, y), 0, 1))
    weight = tones.grey(0.02 + tones.luminance(small) ** 5)
    disc /= disc.sum()
    spread = cv2.filter2D(small * weight, -1, disc, borderType=cv2.BORDER_REFLECT)
    spread /= cv2.filter2D(weight, -1, disc, borderType=cv2.BORDER_REFLECT)
    return tones.f32(cv2.resize(spread, (w, h), interpolation=cv2.INTER_LINEAR))
