"""Exposure and contrast."""

from ip2p_cli.looks import patterns, tones
from ip2p_cli.looks.base import Draw, Pixels


def brighter(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """More light, without burnt-out whites."""
    up = min(0.44, draw.between(0, 0.2, 0.305) * amount)
    lights = draw.between(1, 0.9, 1.1)
    return tones.clip(tones.curve(image, (0, 0), (0.3, 0.3 + up), (0.6, min(0.97, 0.6 + up * lights)), (1, 1)))


def darker(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Less light, with all detail."""
    k = draw.between(0, 0.42, 0.68) ** amount
    white = k ** draw.between(1, 0.4, 0.75)
    return tones.clip(tones.curve(image, (0, 0), (0.5, 0.5 * k * 0.95), (1, white)))


def contrast(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Strong contrast: deep darks and bright lights."""
    middle = draw.between(0, 0.46, 0.54)
    low, high = middle * draw.between(1, 0.1, 0.4), 1 - (1 - middle) * draw.between(2, 0.08, 0.3)
    hard = tones.curve(image, (0, 0), (middle * 0.5, low), (middle, 0.5), (1 - (1 - middle) * 0.5, high), (1, 1))
    return tones.grade(image, tones.saturate(hard, draw.between(3, 0.84, 1.0)), amount)


def faded(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Matte: lifted blacks, lowered whites, quiet colour."""
    black, white = draw.between(0, 0.23, 0.34), draw.between(1, 0.82, 0.91)
    middle = draw.between(2, 0.52, 0.62)
    quiet = tones.saturate(image, draw.between(3, 0.4, 0.75))
    matte = tones.curve(quiet, (0, black), (0.5, middle), (1, white))
    tint = tones.between_colours(draw.between(4, 0, 1), (1.05, 1.0, 0.93), (0.96, 1.0, 1.04))
    return tones.grade(image, tones.clip(tones.gain(matte, tint)), amount)


def high_key(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Airy and nearly white; only the darks keep tone."""
    black, dark, middle = draw.between(0, 0.2, 0.44), draw.between(1, 0.54, 0.76), draw.between(2, 0.86, 0.97)
    quiet = tones.saturate(image, draw.between(3, 0.45, 0.9))
    bright = tones.curve(quiet, (0, black), (0.2, dark), (0.45, middle), (0.75, 1.0), (1, 1))
    return tones.grade(image, tones.screen(bright, tones.blur(bright, 5) * draw.between(4, 0.03, 0.25)), amount)


def low_key(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Very dark; only the highlights survive, in a pool of light."""
    lum = tones.luminance(image)
    dark, middle = draw.between(0, 0.02, 0.16), draw.between(1, 0.26, 0.6)
    keep = tones.curve(lum, (0, 0), (0.4, dark), (0.7, middle), (0.9, 0.85), (1, 1))
    pool = patterns.spot(image, draw.between(2, 0.2, 0.8), draw.between(3, 0.25, 0.75), draw.between(4, 0.4, 0.8))
    lit = tones.saturate(image, draw.between(5, 0.6, 1.1))
    return tones.grade(image, tones.clip(tones.multiply(lit, keep * (0.35 + 0.75 * pool))), amount)


def vignette(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Strongly darkened corners."""
    size = draw.between(0, 0.44, 0.53)
    light = patterns.spot(image, draw.between(2, 0.43, 0.57), draw.between(3, 0.43, 0.57), size)
    shade = 1 - tones.smoothstep(light, 0.0, 0.66)
    tint = tones.between_colours(draw.between(4, 0, 1), (0.16, 0.08, 0.03), (0.02, 0.02, 0.02), (0.03, 0.06, 0.16))
    return tones.clip(tones.mix(image, tint, shade * min(1.0, draw.between(1, 0.78, 0.95) * amount)))
