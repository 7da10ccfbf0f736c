"""Lenses, films and sensors."""

import cv2
import numpy as np

from ip2p_cli.looks.base import Image, Paint
from ip2p_cli.looks.tones import (
    blur as gaussian,
)
from ip2p_cli.looks.tones import (
    curve,
    drawn,
    f32,
    graded,
    gradient,
    grey,
    luminance,
    mix,
    radius,
    rows,
    saturate,
    scale_of,
    smoothstep,
    times,
    unit,
    vegetation,
)


def blur(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Strongly out of focus."""
    return unit(gaussian(image, 5.6 * amount))


def sharpen(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Crunchy detail."""
    lum = luminance(image)
    fine = np.tanh((lum - gaussian(lum, 1.1)) * 5) * 0.45
    coarse = (lum - gaussian(lum, 4)) * 0.7
    return unit(image + grey(f32(fine + coarse)) * amount)


def tilt_shift(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """A toy-like scene: one sharp band, saturated colour."""
    away = np.abs(rows(image) - 0.55)
    t = np.broadcast_to(smoothstep(away, 0.06, 0.22), image.shape[:2])
    far = np.broadcast_to(smoothstep(away, 0.2, 0.42), image.shape[:2])
    rich = unit(saturate(curve(image, (0, 0), (0.3, 0.29), (0.7, 0.76), (1, 1)), 1 + 0.35 * amount))
    soft = mix(gaussian(rich, 3.0 * amount), gaussian(rich, 7.0 * amount), f32(far))
    return unit(mix(rich, soft, f32(t)))


def film_grain(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Fine grain on film: a softer range, a little less colour, a touch of warmth."""
    h, w = image.shape[:2]
    s = scale_of(image)
    gh, gw = max(1, round(h / max(s, 1))), max(1, round(w / max(s, 1)))
    noise = rng.standard_normal((gh, gw), dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.6) * 2.1
    if (gh, gw) != (h, w):
        noise = cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC)
    soft = curve(saturate(image, 0.75), (0, 0.09), (0.5, 0.5), (1, 0.92))
    film = graded(image, soft + f32([0.02, 0.01, -0.03]), amount)
    lum = luminance(film)
    depth = 0.045 * amount * (0.35 + 2.6 * lum * (1 - lum))
    return unit(film + grey(f32(noise * depth)))


def vintage(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """A faded old print: magenta shadows, yellowed lights, soft dark corners."""
    r = curve(image[..., 0], (0, 0.20), (0.5, 0.62), (1, 0.97))
    g = curve(image[..., 1], (0, 0.08), (0.5, 0.48), (1, 0.90))
    b = curve(image[..., 2], (0, 0.20), (0.5, 0.40), (1, 0.64))
    print_ = saturate(cv2.merge([r, g, b]), 0.8)
    shade = 1 - 0.42 * smoothstep(radius(image), 0.55, 1.4)
    return graded(image, times(print_, shade), amount)


def infrared(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """False-colour infrared film: leaves turn pink, the rest cyan and dark."""
    lum = luminance(image)
    leaf = gradient(
        lum,
        (0, (0.14, 0.0, 0.08)),
        (0.25, (0.72, 0.08, 0.38)),
        (0.5, (0.96, 0.30, 0.58)),
        (0.8, (1.0, 0.66, 0.80)),
        (1, (1, 0.93, 0.95)),
    )
    rest = cv2.transform(image, f32([[0.62, 0.1, -0.12], [0.2, 0.62, 0.0], [0.0, 0.30, 0.62]]))
    return graded(image, unit(mix(unit(rest), leaf, vegetation(image))), min(amount, 1.3))


def thermal(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """The palette of a heat camera."""
    heat = gradient(
        gaussian(luminance(image), 1.2),
        (0, (0.0, 0.0, 0.10)),
        (0.2, (0.20, 0.02, 0.50)),
        (0.42, (0.72, 0.06, 0.50)),
        (0.62, (0.98, 0.42, 0.08)),
        (0.82, (1.0, 0.82, 0.12)),
        (1, (1.0, 1.0, 0.88)),
    )
    return drawn(image, heat, amount)


def bokeh(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """The centre sharp, everything around it thrown far out of focus with bright discs."""
    h, w = image.shape[:2]
    size = 8.0 * amount * scale_of(image)
    f = 1
    while size / f > 5:
        f *= 2
    small = cv2.resize(image, (max(1, round(w / f)), max(1, round(h / f))), interpolation=cv2.INTER_AREA)
    r = size / f
    k = int(r) + 1
    y, x = np.mgrid[-k : k + 1, -k : k + 1]
    disc = f32(np.clip(r + 0.5 - np.hypot(x, y), 0, 1))
    weight = grey(0.02 + luminance(small) ** 5)  # lights outshine their surroundings before they spread
    disc /= disc.sum()
    spread = cv2.filter2D(small * weight, -1, disc, borderType=cv2.BORDER_REFLECT)
    spread /= cv2.filter2D(weight, -1, disc, borderType=cv2.BORDER_REFLECT)
    soft = cv2.resize(saturate(spread, 1.25), (w, h), interpolation=cv2.INTER_LINEAR)
    return unit(
        mix(image, curve(soft, (0, 0), (0.4, 0.44), (0.8, 0.92), (1, 1)), smoothstep(radius(image), 0.45, 0.95))
    )


PAINTS: dict[str, Paint] = {
    f.__name__: f for f in (blur, sharpen, tilt_shift, film_grain, vintage, infrared, thermal, bokeh)
}
