"""Seasons and weather."""

import cv2
import numpy as np

from ip2p_cli.looks.base import Image, Paint, Plane
from ip2p_cli.looks.tones import (
    blur,
    curve,
    f32,
    gain,
    graded,
    gradient,
    grey,
    luminance,
    mix,
    rows,
    saturate,
    scale_of,
    screen,
    smoothstep,
    times,
    unit,
    vegetation,
)


def winter(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Frost on leaves and snow on bright ground, in cold light."""
    lum = luminance(image)
    base = gain(saturate(image, 0.35), (0.86, 1.0, 1.16), (0.02, 0.04, 0.07))
    frost = gradient(
        lum, (0, (0.16, 0.22, 0.32)), (0.25, (0.62, 0.70, 0.80)), (0.6, (0.92, 0.95, 0.99)), (1, (1, 1, 1))
    )
    ground = smoothstep(lum, 0.3, 0.75) * (0.35 + 0.6 * smoothstep(rows(image), 0.25, 0.7))
    cover = np.maximum(vegetation(image) * 0.95, ground)
    return graded(image, mix(unit(base), frost, f32(cover)), amount)


def autumn(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Leaves turn orange and rust, the light turns warm."""
    leaf = gradient(
        luminance(image),
        (0, (0.06, 0.02, 0.02)),
        (0.25, (0.50, 0.16, 0.05)),
        (0.5, (0.88, 0.42, 0.08)),
        (0.75, (1.0, 0.70, 0.25)),
        (1, (1.0, 0.93, 0.72)),
    )
    warm = gain(saturate(curve(image, (0, 0), (0.4, 0.33), (1, 0.97)), 0.95), (1.12, 0.84, 0.62), (0.04, 0.01, 0))
    return graded(image, mix(warm, leaf, vegetation(image) * 0.95), amount)


def spring(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Fresh light green and pink blossom in the lights."""
    lum = luminance(image)
    veg = vegetation(image)
    leaf = gradient(
        lum, (0, (0.04, 0.10, 0.03)), (0.3, (0.38, 0.58, 0.18)), (0.6, (0.70, 0.87, 0.42)), (1, (0.97, 1.0, 0.85))
    )
    airy = curve(image, (0, 0.03), (0.4, 0.52), (1, 1))
    blossom = gradient(
        lum, (0, (0.2, 0.12, 0.16)), (0.5, (0.92, 0.62, 0.74)), (0.8, (1.0, 0.83, 0.90)), (1, (1, 0.95, 0.97))
    )
    pink = smoothstep(lum, 0.35, 0.8) * (1 - veg) * 0.82
    return graded(image, mix(mix(airy, blossom, f32(pink)), leaf, veg * 0.85), amount)


def heat(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Bleached by a hot sun, in orange haze."""
    dry = gain(saturate(curve(image, (0, 0.06), (0.35, 0.46), (0.7, 0.88), (1, 1)), 0.6), (1.1, 0.93, 0.62))
    haze = gain(blur(unit(dry), 6), (0.62, 0.34, 0.10))
    return graded(image, unit(screen(unit(dry), haze)), amount)


def _flakes(image: Image, rng: np.random.Generator, count: int, size: float, soft: float) -> Plane:
    h, w = image.shape[:2]
    s = scale_of(image)
    layer = np.zeros((h, w), dtype=np.float32)
    n = max(1, round(count * h * w / (s * s * 65536)))
    n = min(n, 4 * count)  # a very long strip need not be filled to look snowy
    places = rng.random((n, 3))
    for x, y, r in places:
        at = (int(x * w * 16), int(y * h * 16))
        cv2.circle(layer, at, max(8, int(size * s * (0.6 + 0.8 * r) * 16)), 1.0, -1, cv2.LINE_8, 4)
    return blur(layer, soft)


def snow(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Falling flakes in grey-white light."""
    pale = gain(curve(saturate(image, 0.4), (0, 0.17), (0.5, 0.66), (1, 0.97)), (0.93, 1.0, 1.07))
    pale = graded(image, unit(pale), amount)
    far = _flakes(image, rng, round(260 * amount), 0.8, 0.5)
    mid = _flakes(image, rng, round(110 * amount), 1.5, 0.8)
    near = _flakes(image, rng, round(26 * amount), 3.2, 1.8)
    cover = np.clip(np.maximum(np.maximum(far * 0.75, mid * 0.95), near * 0.85), 0, 1)
    return unit(mix(pale, (0.98, 0.99, 1.0), f32(cover)))


def fog(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """A white-grey veil, thicker toward the top where the distance is."""
    thick = (0.80 - 0.30 * smoothstep(rows(image), 0.2, 1.0)) * min(1.15, amount**0.7)
    soft = mix(saturate(image, 0.6), blur(image, 3), 0.35)
    return unit(
        mix(mix(image, soft, min(1.0, amount)), (0.83, 0.845, 0.86), f32(np.broadcast_to(thick, image.shape[:2])))
    )


def rain(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """A wet grey-blue day with slanted streaks."""
    h, w = image.shape[:2]
    s = scale_of(image)
    wet = gain(curve(saturate(image, 0.38), (0, 0.04), (0.5, 0.34), (1, 0.74)), (0.88, 0.99, 1.14))
    wet = graded(image, unit(wet), amount)
    layer = np.zeros((h, w), dtype=np.float32)
    n = min(600, max(1, round(105 * amount * h * w / (s * s * 65536))))
    for x, y, length, light in rng.random((n, 4)):
        run = (10 + 16 * length) * s
        a = (int((x * 1.1 * w) * 16), int((y * 1.1 - 0.1) * h * 16))
        b = (int(a[0] - 0.22 * run * 16), int(a[1] + run * 16))
        cv2.line(layer, a, b, 0.35 + 0.45 * light, max(1, round(s)), cv2.LINE_8, 4)
    return unit(mix(wet, (0.82, 0.88, 0.94), blur(layer, 0.45) * 0.75))


def storm(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Dark and dramatic under a greenish-blue sky."""
    lum = luminance(image)
    local = f32(np.clip(0.5 + (lum - blur(lum, 10)) * 0.9, 0, 1))
    dark = curve(soft_local(saturate(image, 0.5), local), (0, 0), (0.3, 0.19), (0.6, 0.44), (1, 0.88))
    dark = gain(dark, (0.76, 1.0, 1.0), (0.0, 0.015, 0.03))
    shade = 0.34 + 0.66 * smoothstep(rows(image), 0.0, 0.65)
    return graded(image, unit(times(dark, shade)), amount)


def soft_local(image: Image, local: Plane) -> Image:
    """Local contrast: burn and dodge with a detail plane."""
    return f32(np.clip(image + (2 * grey(local) - 1) * 0.6, 0, 1))


PAINTS: dict[str, Paint] = {f.__name__: f for f in (winter, autumn, spring, heat, snow, fog, rain, storm)}
