"""Seasons and weather."""

import cv2
import numpy as np

from ip2p_cli.looks import patterns, tones
from ip2p_cli.looks.base import Draw, Pixels, Plane


def winter(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """White snow on ground, roofs and plants, in cold light."""
    lum = tones.luminance(image)
    light = draw.between(2, 0.9, 1.02)
    cold = tones.between_colours(draw.between(3, 0, 1), (0.98, 1.0, 1.02), (0.90, 0.99, 1.08))
    base = tones.gain(tones.saturate(image, draw.between(4, 0.25, 0.5)), cold, (0.03, 0.035, 0.045)) * light
    stops = ((0, (0.20, 0.22, 0.25)), (0.25, (0.68, 0.71, 0.75)), (0.6, (0.94, 0.96, 0.98)), (1, (1, 1, 1)))
    white = tones.gradient(lum, *stops) * (0.55 + 0.45 * light)
    # Snow starts at a height of the picture, and is thicker in some places.
    start = draw.between(1, 0.05, 0.32)
    lying = draw.between(0, 0.1, 0.25) + 0.05 * draw.field(0, image, 24)
    ground = tones.smoothstep(tones.f32(lum + lying), 0.32, 0.72)
    ground = ground * (0.3 + 0.68 * tones.smoothstep(tones.row_position(image), start - 0.1, start + 0.3))
    cover = np.maximum(tones.vegetation(image) * draw.between(5, 0.85, 1.0), ground)
    return tones.grade(image, tones.mix(tones.clip(base), white, tones.f32(cover)), amount)


def autumn(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Leaves turn yellow, orange or deep red, the light turns warm."""
    lum = tones.luminance(image)
    yellow = ((0, (0.08, 0.04, 0.01)), (0.25, (0.56, 0.32, 0.04)), (0.5, (0.93, 0.66, 0.10)), (1, (1.0, 0.96, 0.70)))
    orange = ((0, (0.06, 0.02, 0.02)), (0.25, (0.52, 0.18, 0.04)), (0.5, (0.92, 0.43, 0.07)), (1, (1.0, 0.90, 0.64)))
    red = ((0, (0.06, 0.01, 0.02)), (0.25, (0.42, 0.09, 0.06)), (0.5, (0.76, 0.24, 0.13)), (1, (1.0, 0.78, 0.60)))
    # Every tree has a colour of its own, around that of the draw.
    hue = tones.f32(np.clip(draw.between(0, 0.1, 1.9) + 0.4 * draw.field(0, image, 12), 0, 2))
    leaf = tones.mix(tones.gradient(lum, *yellow), tones.gradient(lum, *orange), np.minimum(hue, 1))
    leaf = tones.mix(leaf, tones.gradient(lum, *red), np.maximum(hue - 1, 0))
    tint = tones.between_colours(draw.between(1, 0, 1), (1.09, 0.92, 0.60), (1.12, 0.84, 0.62), (1.13, 0.76, 0.64))
    middle = draw.between(2, 0.25, 0.42)
    toned = tones.curve(image, (0, 0), (0.4, middle), (1, 0.86 + 0.3 * middle))
    warm = tones.gain(tones.saturate(toned, draw.between(3, 0.9, 1.1)), tint, (0.04, 0.01, 0))
    leaf = leaf * (0.55 + 1.2 * middle)
    return tones.grade(image, tones.mix(warm, leaf, tones.vegetation(image) * 0.9), amount)


def spring(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Fresh green, and blossom from white to deep pink in the lights and on some of the plants."""
    lum, veg = tones.luminance(image), tones.vegetation(image)
    leaves = tones.between_stops(
        draw.between(0, 0, 1),
        ((0, (0.06, 0.10, 0.02)), (0.3, (0.46, 0.60, 0.14)), (0.6, (0.80, 0.90, 0.36)), (1, (1.0, 1.0, 0.82))),
        ((0, (0.03, 0.10, 0.04)), (0.3, (0.28, 0.56, 0.22)), (0.6, (0.58, 0.85, 0.46)), (1, (0.93, 1.0, 0.86))),
    )
    blossoms = tones.between_stops(
        draw.between(1, 0, 1),
        ((0, (0.22, 0.15, 0.18)), (0.5, (0.92, 0.73, 0.80)), (0.8, (1.0, 0.90, 0.94)), (1, (1, 0.97, 0.98))),
        ((0, (0.22, 0.10, 0.15)), (0.5, (0.94, 0.50, 0.68)), (0.8, (1.0, 0.74, 0.86)), (1, (1, 0.92, 0.96))),
    )
    blossom = tones.gradient(lum, *blossoms)
    airy = tones.curve(image, (0, 0.03), (0.4, draw.between(2, 0.41, 0.58)), (1, 1))
    pink = tones.smoothstep(lum, 0.35, 0.8) * (1 - veg) * draw.between(3, 0.55, 0.88)
    on_plants = tones.smoothstep(draw.field(0, image, 5), draw.between(4, 0.7, 1.4), 2.0) * veg
    out = tones.mix(tones.mix(airy, blossom, pink), tones.gradient(lum, *leaves), veg * 0.85)
    out = tones.mix(out, tones.clip(blossom * 1.1), tones.f32(on_plants * 0.85))
    return tones.grade(image, tones.clip(out), amount)


def heat(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A scene that a hot sun bleaches, in haze from yellow to red-orange."""
    hue, middle = draw.between(0, 0, 1), draw.between(1, 0.36, 0.54)
    dry = tones.saturate(tones.curve(image, (0, 0.06), (0.35, middle), (0.7, 0.52 + 0.75 * middle), (1, 1)), 0.6)
    dry = tones.clip(
        tones.gain(dry, tones.between_colours(hue, (1.1, 0.97, 0.66), (1.1, 0.93, 0.62), (1.14, 0.84, 0.62)))
    )
    haze = tones.between_colours(hue, (0.62, 0.41, 0.16), (0.62, 0.34, 0.10), (0.66, 0.24, 0.08))
    haze_light = tones.clip(tones.gain(tones.blur(dry, 6), haze) * draw.between(2, 0.65, 1.15))
    sun = patterns.spot(image, draw.between(3, 0.05, 0.95), draw.between(4, 0.0, 0.35), 0.4)
    glare = tones.gain(tones.grey(sun), (1.0, 0.86, 0.5)) * draw.between(5, 0.2, 0.55)
    return tones.grade(image, tones.clip(tones.screen(tones.screen(dry, haze_light), glare)), amount)


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
    """Crisp bright flakes at three distances, before a scene that is grey-blue and a little dark."""
    dark = draw.between(2, 0.72, 1.0)
    tint = tones.between_colours(draw.between(3, 0, 1), (0.98, 1.0, 1.03), (0.84, 0.97, 1.13))
    grey = tones.curve(tones.saturate(image, 0.4), (0, 0.10), (0.5, 0.50 * dark), (1, 0.82 * dark))
    scene = tones.grade(image, tones.clip(tones.gain(grey, tint)), amount)
    haze = draw.between(4, 0.05, 0.4) * min(1.2, amount) * (1 - tones.smoothstep(tones.row_position(image), 0.1, 0.9))
    scene = tones.mix(scene, (0.62, 0.66, 0.70), np.broadcast_to(haze, image.shape[:2]))
    many, large = draw.between(0, 0.5, 1.5) * amount, draw.between(1, 0.85, 1.35)
    far = _flakes(image, draw, 0, 0.09 * many, 0.75 * large, 0.35)
    mid = _flakes(image, draw, 3, 0.035 * many, 1.5 * large, 0.5)
    near = _flakes(image, draw, 6, 0.007 * many, 4.0 * large, 1.5)
    cover = np.clip(np.maximum(np.maximum(far * 0.85, mid * 1.05), near * 0.9), 0, 1)
    return tones.clip(tones.mix(scene, (0.98, 0.99, 1.0), cover))


def fog(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Drifting fog, grey to bluish or warm, thicker toward the top, where distant things are."""
    dense, edge = draw.between(0, 0.78, 0.9), draw.between(1, 0.05, 0.5)
    thick = dense - draw.between(2, 0.12, 0.34) * tones.smoothstep(tones.row_position(image), edge, edge + 0.6)
    drift = np.clip(thick + 0.05 * draw.field(0, image, 40), 0.15, 0.92) * min(1.1, amount**0.7)
    soft = tones.mix(tones.saturate(image, 0.6), tones.blur(image, 3), 0.35)
    colour = tones.between_colours(draw.between(3, 0, 1), (0.86, 0.84, 0.80), (0.84, 0.845, 0.85), (0.80, 0.85, 0.90))
    light = draw.between(4, 0.93, 1.08)
    veil = (colour[0] * light, colour[1] * light, colour[2] * light)
    return tones.clip(tones.mix(tones.mix(image, soft, min(1.0, amount)), veil, tones.f32(drift)))


def rain(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A dark wet day, grey to blue or green, with bright slanted streaks."""
    h, w = image.shape[:2]
    s = tones.scale_of(image)
    dark = draw.between(3, 0.78, 1.04)
    tint = tones.between_colours(draw.between(4, 0, 1), (0.97, 1.0, 0.98), (0.88, 0.99, 1.10), (0.78, 0.97, 1.22))
    wet = tones.curve(tones.saturate(image, 0.38), (0, 0.03), (0.5, 0.31 * dark), (1, 0.66 * dark))
    wet = tones.grade(image, tones.clip(tones.gain(wet, tint)), amount)
    slant, length = draw.between(1, -0.5, 0.5), draw.between(2, 0.7, 1.3)
    layer = np.zeros((h, w), dtype=np.float32)
    for x, y, light in draw.marks(0, draw.between(0, 0.025, 0.07) * amount, image):
        run = (8 + 12 * light) * length * s
        a = (int((x - 0.5 * slant * run) * 16), int((y - 0.5 * run) * 16))
        b = (int((x + 0.5 * slant * run) * 16), int((y + 0.5 * run) * 16))
        cv2.line(layer, a, b, 0.6 + 0.4 * float(light), max(1, round(s)), cv2.LINE_8, 4)
    return tones.clip(tones.mix(wet, (0.88, 0.93, 0.98), tones.f32(np.minimum(tones.blur(layer, 0.4) * 0.95, 1))))


def storm(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Dark and dramatic, under heavy clouds that are green, blue or slate."""
    lum, y = tones.luminance(image), tones.row_position(image)
    local = tones.f32(np.clip(0.5 + (lum - tones.blur(lum, 10)) * draw.between(3, 0.6, 1.1), 0, 1))
    dark = draw.between(1, 0.8, 1.25)
    out = _local_contrast(tones.saturate(image, 0.5), local)
    out = tones.curve(out, (0, 0), (0.3, 0.19 * dark), (0.6, 0.44 * dark), (1, min(1.0, 0.84 * dark)))
    tint = tones.between_colours(draw.between(0, 0, 1), (0.78, 1.02, 0.84), (0.74, 1.0, 1.0), (0.72, 0.92, 1.16))
    out = tones.gain(out, tint, (0.0, 0.015, 0.03))
    # Clouds show where the picture is bright, in its upper part.
    edge = draw.between(2, 0.45, 0.8)
    clouds = draw.field(0, image, 36) * tones.smoothstep(lum, 0.3, 0.7) * (1 - tones.smoothstep(y, 0.2, edge))
    shade = draw.between(4, 0.22, 0.5) + (1 - draw.between(4, 0.22, 0.5)) * tones.smoothstep(y, 0.0, edge)
    return tones.grade(image, tones.clip(tones.multiply(out, tones.f32(shade * np.exp(0.22 * clouds)))), amount)


def _local_contrast(image: Pixels, local: Plane) -> Pixels:
    """Darken and brighten an image by a plane of details around 0.5."""
    return tones.f32(np.clip(image + (2 * tones.grey(local) - 1) * 0.6, 0, 1))
