"""Seasons and weather."""

import cv2
import numpy as np

from ip2p_cli.looks import tones
from ip2p_cli.looks.base import Draw, Pixels, Plane


def winter(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Frost on leaves and snow on bright ground, in cold light."""
    lum = tones.luminance(image)
    base = tones.gain(tones.saturate(image, 0.35), (0.86, 1.0, 1.16), (0.02, 0.04, 0.07))
    frost = tones.gradient(
        lum, (0, (0.16, 0.22, 0.32)), (0.25, (0.62, 0.70, 0.80)), (0.6, (0.92, 0.95, 0.99)), (1, (1, 1, 1))
    )
    ground = tones.smoothstep(lum, 0.3, 0.75) * (0.35 + 0.6 * tones.smoothstep(tones.row_position(image), 0.25, 0.7))
    cover = np.maximum(tones.vegetation(image) * 0.95, ground)
    return tones.grade(image, tones.mix(tones.clip(base), frost, cover), amount)


def autumn(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Leaves turn orange and rust, the light turns warm."""
    leaf = tones.gradient(
        tones.luminance(image),
        (0, (0.06, 0.02, 0.02)),
        (0.25, (0.50, 0.16, 0.05)),
        (0.5, (0.88, 0.42, 0.08)),
        (0.75, (1.0, 0.70, 0.25)),
        (1, (1.0, 0.93, 0.72)),
    )
    warm = tones.gain(
        tones.saturate(tones.curve(image, (0, 0), (0.4, 0.33), (1, 0.97)), 0.95), (1.12, 0.84, 0.62), (0.04, 0.01, 0)
    )
    return tones.grade(image, tones.mix(warm, leaf, tones.vegetation(image) * 0.95), amount)


def spring(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Fresh light green and pink blossom in the lights."""
    lum = tones.luminance(image)
    veg = tones.vegetation(image)
    leaf = tones.gradient(
        lum, (0, (0.04, 0.10, 0.03)), (0.3, (0.38, 0.58, 0.18)), (0.6, (0.70, 0.87, 0.42)), (1, (0.97, 1.0, 0.85))
    )
    airy = tones.curve(image, (0, 0.03), (0.4, 0.52), (1, 1))
    blossom = tones.gradient(
        lum, (0, (0.2, 0.12, 0.16)), (0.5, (0.92, 0.62, 0.74)), (0.8, (1.0, 0.83, 0.90)), (1, (1, 0.95, 0.97))
    )
    pink = tones.smoothstep(lum, 0.35, 0.8) * (1 - veg) * 0.82
    return tones.grade(image, tones.mix(tones.mix(airy, blossom, pink), leaf, veg * 0.85), amount)


def heat(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A scene that a hot sun bleaches, in orange haze."""
    dry = tones.gain(
        tones.saturate(tones.curve(image, (0, 0.06), (0.35, 0.46), (0.7, 0.88), (1, 1)), 0.6), (1.1, 0.93, 0.62)
    )
    haze = tones.gain(tones.blur(tones.clip(dry), 6), (0.62, 0.34, 0.10))
    return tones.grade(image, tones.clip(tones.screen(tones.clip(dry), haze)), amount)


def _flakes(image: Pixels, draw: Draw, index: int, share: float, size: float, soft: float) -> Plane:
    """Mask of round flakes of about `size` pixels, in a `share` of the draw's cells."""
    h, w = image.shape[:2]
    s = tones.scale_of(image)
    layer = np.zeros((h, w), dtype=np.float32)
    for x, y, r in draw.marks(index, share, image):
        at = (int(x * 16), int(y * 16))
        cv2.circle(layer, at, max(8, int(size * s * (0.6 + 0.8 * r) * 16)), 1.0, -1, cv2.LINE_8, 4)
    return tones.blur(layer, soft)


def snow(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Falling flakes in grey-white light."""
    pale = tones.gain(tones.curve(tones.saturate(image, 0.4), (0, 0.17), (0.5, 0.66), (1, 0.97)), (0.93, 1.0, 1.07))
    pale = tones.grade(image, tones.clip(pale), amount)
    far = _flakes(image, draw, 0, 0.065 * amount, 0.8, 0.5)
    mid = _flakes(image, draw, 3, 0.027 * amount, 1.5, 0.8)
    near = _flakes(image, draw, 6, 0.0065 * amount, 3.2, 1.8)
    cover = np.clip(np.maximum(np.maximum(far * 0.75, mid * 0.95), near * 0.85), 0, 1)
    return tones.clip(tones.mix(pale, (0.98, 0.99, 1.0), cover))


def fog(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """White-grey fog, thicker toward the top, where distant things are."""
    thick = (0.80 - 0.30 * tones.smoothstep(tones.row_position(image), 0.2, 1.0)) * min(1.15, amount**0.7)
    soft = tones.mix(tones.saturate(image, 0.6), tones.blur(image, 3), 0.35)
    return tones.clip(tones.mix(tones.mix(image, soft, min(1.0, amount)), (0.83, 0.845, 0.86), thick))


def rain(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A wet grey-blue day with slanted streaks."""
    h, w = image.shape[:2]
    s = tones.scale_of(image)
    wet = tones.gain(tones.curve(tones.saturate(image, 0.38), (0, 0.04), (0.5, 0.34), (1, 0.74)), (0.88, 0.99, 1.14))
    wet = tones.grade(image, tones.clip(wet), amount)
    layer = np.zeros((h, w), dtype=np.float32)
    for x, y, light in draw.marks(0, 0.026 * amount, image):
        run = (10 + 16 * light) * s
        a = (int(x * 16), int(y * 16))
        b = (int(a[0] - 0.22 * run * 16), int(a[1] + run * 16))
        cv2.line(layer, a, b, 0.35 + 0.45 * float(light), max(1, round(s)), cv2.LINE_8, 4)
    return tones.clip(tones.mix(wet, (0.82, 0.88, 0.94), tones.blur(layer, 0.45) * 0.75))


def storm(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Dark and dramatic under a greenish-blue sky."""
    lum = tones.luminance(image)
    local = tones.f32(np.clip(0.5 + (lum - tones.blur(lum, 10)) * 0.9, 0, 1))
    dark = tones.curve(_local_contrast(tones.saturate(image, 0.5), local), (0, 0), (0.3, 0.19), (0.6, 0.44), (1, 0.88))
    dark = tones.gain(dark, (0.76, 1.0, 1.0), (0.0, 0.015, 0.03))
    shade = 0.34 + 0.66 * tones.smoothstep(tones.row_position(image), 0.0, 0.65)
    return tones.grade(image, tones.clip(tones.multiply(dark, shade)), amount)


def _local_contrast(image: Pixels, local: Plane) -> Pixels:
    """Darken and brighten an image by a plane of details around 0.5."""
    return tones.f32(np.clip(image + (2 * tones.grey(local) - 1) * 0.6, 0, 1))
