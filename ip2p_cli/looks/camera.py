"""Lenses, films and sensors."""

import cv2
import numpy as np

from ip2p_cli.looks import tones
from ip2p_cli.looks.base import Draw, Pixels


def blur(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A photo that is strongly out of focus."""
    return tones.clip(tones.blur(image, 5.6 * amount))


def sharpen(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Harsh detail, as of too much sharpening."""
    lum = tones.luminance(image)
    fine = np.tanh((lum - tones.blur(lum, 1.1)) * 5) * 0.45
    coarse = (lum - tones.blur(lum, 4)) * 0.7
    return tones.clip(image + tones.grey(fine + coarse) * amount)


def tilt_shift(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A toy-like scene: one sharp band, the rest blurred, saturated colour."""
    away = np.abs(tones.row_position(image) - 0.55)
    near, far = tones.smoothstep(away, 0.06, 0.22), tones.smoothstep(away, 0.2, 0.42)
    rich = tones.clip(tones.saturate(tones.curve(image, (0, 0), (0.3, 0.29), (0.7, 0.76), (1, 1)), 1 + 0.35 * amount))
    soft = tones.mix(tones.blur(rich, 3.0 * amount), tones.blur(rich, 7.0 * amount), far)
    return tones.clip(tones.mix(rich, soft, near))


def film_grain(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Fine film grain with softer contrast, a little less colour and some warmth."""
    noise = 0.9 * (draw.field(0, image) + 0.5 * draw.field(1, image, 8))
    soft = tones.curve(tones.saturate(image, 0.75), (0, 0.09), (0.5, 0.5), (1, 0.92))
    film = tones.grade(image, soft + tones.f32([0.02, 0.01, -0.03]), amount)
    lum = tones.luminance(film)
    depth = 0.045 * amount * (0.35 + 2.6 * lum * (1 - lum))
    return tones.clip(film + tones.grey(noise * depth))


def vintage(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A faded old print: magenta shadows, yellowed lights, soft dark corners."""
    r = tones.curve(image[..., 0], (0, 0.20), (0.5, 0.62), (1, 0.97))
    g = tones.curve(image[..., 1], (0, 0.08), (0.5, 0.48), (1, 0.90))
    b = tones.curve(image[..., 2], (0, 0.20), (0.5, 0.40), (1, 0.64))
    print_ = tones.saturate(cv2.merge([r, g, b]), 0.8)
    shade = 1 - 0.42 * tones.smoothstep(tones.radius(image), 0.55, 1.4)
    return tones.grade(image, tones.multiply(print_, shade), amount)


def infrared(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """False-colour infrared film: leaves turn pink, the rest cyan and dark."""
    lum = tones.luminance(image)
    leaf = tones.gradient(
        lum,
        (0, (0.14, 0.0, 0.08)),
        (0.25, (0.72, 0.08, 0.38)),
        (0.5, (0.96, 0.30, 0.58)),
        (0.8, (1.0, 0.66, 0.80)),
        (1, (1, 0.93, 0.95)),
    )
    rest = cv2.transform(image, tones.f32([[0.62, 0.1, -0.12], [0.2, 0.62, 0.0], [0.0, 0.30, 0.62]]))
    return tones.grade(image, tones.clip(tones.mix(tones.clip(rest), leaf, tones.vegetation(image))), min(amount, 1.3))


def thermal(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """The palette of a heat camera."""
    heat = tones.gradient(
        tones.blur(tones.luminance(image), 1.2),
        (0, (0.0, 0.0, 0.10)),
        (0.2, (0.20, 0.02, 0.50)),
        (0.42, (0.72, 0.06, 0.50)),
        (0.62, (0.98, 0.42, 0.08)),
        (0.82, (1.0, 0.82, 0.12)),
        (1, (1.0, 1.0, 0.88)),
    )
    return tones.blend(image, heat, amount)


def bokeh(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A sharp centre, and everything around it far out of focus, with lights as bright discs."""
    h, w = image.shape[:2]
    size = 8.0 * amount * tones.scale_of(image)
    f = 1
    while size / f > 5:
        f *= 2
    small = cv2.resize(image, (max(1, round(w / f)), max(1, round(h / f))), interpolation=cv2.INTER_AREA)
    r = size / f
    k = int(r) + 1
    y, x = np.mgrid[-k : k + 1, -k : k + 1]
    disc = tones.f32(np.clip(r + 0.5 - np.hypot(x, y), 0, 1))
    weight = tones.grey(0.02 + tones.luminance(small) ** 5)  # lights outshine their surroundings
    disc /= disc.sum()
    spread = cv2.filter2D(small * weight, -1, disc, borderType=cv2.BORDER_REFLECT)
    spread /= cv2.filter2D(weight, -1, disc, borderType=cv2.BORDER_REFLECT)
    soft = cv2.resize(tones.saturate(spread, 1.25), (w, h), interpolation=cv2.INTER_LINEAR)
    soft = tones.curve(soft, (0, 0), (0.4, 0.44), (0.8, 0.92), (1, 1))
    return tones.clip(tones.mix(image, soft, tones.smoothstep(tones.radius(image), 0.45, 0.95)))
