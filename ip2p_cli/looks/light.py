"""Exposure and contrast."""

import numpy as np

from ip2p_cli.looks.base import Image, Paint
from ip2p_cli.looks.tones import blur, curve, graded, luminance, radius, saturate, screen, smoothstep, times, unit


def brighter(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """More light, no burnt-out whites."""
    up = min(0.44, 0.22 * amount)
    return unit(curve(image, (0, 0), (0.3, 0.3 + up), (0.6, 0.6 + up * 1.05), (1, 1)))


def darker(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Less light, detail kept."""
    k = 0.52**amount
    return unit(curve(image, (0, 0), (0.5, 0.5 * k * 0.92), (1, k**0.55)))


def contrast(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Strong contrast: deep darks and bright lights."""
    hard = curve(image, (0, 0), (0.22, 0.05), (0.42, 0.32), (0.58, 0.70), (0.78, 0.95), (1, 1))
    return graded(image, saturate(hard, 1.05), amount)


def faded(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Matte: lifted blacks, lowered whites, quiet colour."""
    matte = curve(saturate(image, 0.62), (0, 0.27), (0.3, 0.40), (0.7, 0.68), (1, 0.84))
    return graded(image, matte, amount)


def high_key(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Airy and nearly white; only the darks keep tone."""
    bright = curve(saturate(image, 0.7), (0, 0.30), (0.2, 0.66), (0.45, 0.92), (0.7, 1.0), (1, 1))
    return graded(image, screen(bright, blur(bright, 5) * 0.12), amount)


def low_key(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Very dark; only the highlights survive."""
    lum = luminance(image)
    keep = curve(lum, (0, 0), (0.45, 0.05), (0.7, 0.35), (0.9, 0.85), (1, 1))
    return graded(image, times(saturate(image, 0.9), keep), amount)


def vignette(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Strongly darkened corners."""
    shade = 1 - min(1.0, 0.85 * amount) * smoothstep(radius(image), 0.42, 1.25)
    return unit(times(image, shade))


PAINTS: dict[str, Paint] = {f.__name__: f for f in (brighter, darker, contrast, faded, high_key, low_key, vignette)}
