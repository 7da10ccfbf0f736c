"""Exposure and contrast."""

from ip2p_cli.looks import tones
from ip2p_cli.looks.base import Draw, Pixels


def brighter(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """More light, without burnt-out whites."""
    up = min(0.44, 0.22 * amount)
    return tones.clip(tones.curve(image, (0, 0), (0.3, 0.3 + up), (0.6, 0.6 + up * 1.05), (1, 1)))


def darker(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Less light, with all detail."""
    k = 0.52**amount
    return tones.clip(tones.curve(image, (0, 0), (0.5, 0.5 * k * 0.92), (1, k**0.55)))


def contrast(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Strong contrast: deep darks and bright lights."""
    hard = tones.curve(image, (0, 0), (0.22, 0.05), (0.42, 0.32), (0.58, 0.70), (0.78, 0.95), (1, 1))
    return tones.grade(image, tones.saturate(hard, 1.05), amount)


def faded(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Matte: lifted blacks, lowered whites, quiet colour."""
    matte = tones.curve(tones.saturate(image, 0.62), (0, 0.27), (0.3, 0.40), (0.7, 0.68), (1, 0.84))
    return tones.grade(image, matte, amount)


def high_key(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Airy and nearly white; only the darks keep tone."""
    bright = tones.curve(tones.saturate(image, 0.7), (0, 0.30), (0.2, 0.66), (0.45, 0.92), (0.7, 1.0), (1, 1))
    return tones.grade(image, tones.screen(bright, tones.blur(bright, 5) * 0.12), amount)


def low_key(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Very dark; only the highlights survive."""
    lum = tones.luminance(image)
    keep = tones.curve(lum, (0, 0), (0.45, 0.05), (0.7, 0.35), (0.9, 0.85), (1, 1))
    return tones.grade(image, tones.multiply(tones.saturate(image, 0.9), keep), amount)


def vignette(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Strongly darkened corners."""
    shade = 1 - min(1.0, 0.85 * amount) * tones.smoothstep(tones.radius(image), 0.42, 1.25)
    return tones.clip(tones.multiply(image, shade))
