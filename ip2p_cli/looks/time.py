"""Times of day."""

import numpy as np

from ip2p_cli.looks.base import Image, Paint
from ip2p_cli.looks.tones import (
    blur,
    curve,
    f32,
    gain,
    graded,
    gradient,
    hue_mask,
    luminance,
    mix,
    radius,
    rows,
    saturate,
    screen,
    smoothstep,
    times,
    to_hsv,
    unit,
)


def night(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Dark and moonlit blue."""
    dim = curve(saturate(image, 0.45), (0, 0), (0.4, 0.16), (0.75, 0.44), (1, 0.92))
    moon = gain(dim, (0.52, 0.72, 1.18), (0.005, 0.015, 0.05))
    shade = 1 - 0.35 * smoothstep(radius(image), 0.5, 1.4)
    return graded(image, unit(times(moon, shade)), amount)


def sunset(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """A sky of orange-red from the top, purple shadows below."""
    lum = luminance(image)
    toned = gradient(
        lum,
        (0, (0.09, 0.03, 0.14)),
        (0.25, (0.34, 0.13, 0.30)),
        (0.5, (0.80, 0.31, 0.26)),
        (0.78, (1.0, 0.60, 0.28)),
        (1, (1.0, 0.88, 0.56)),
    )
    y = rows(image)
    out = mix(gain(saturate(image, 0.9), (1.0, 0.74, 0.68)), toned, 0.6)
    sky = gradient(
        y, (0, (0.93, 0.26, 0.12)), (0.3, (1.0, 0.47, 0.13)), (0.6, (1.0, 0.68, 0.30)), (1, (0.5, 0.28, 0.42))
    )
    cover = (0.15 + 0.6 * smoothstep(lum, 0.25, 0.85)) * (1 - smoothstep(y, 0.1, 0.85))
    return graded(
        image, unit(mix(out, times(f32(np.broadcast_to(sky, image.shape)), 0.55 + 0.5 * lum), f32(cover))), amount
    )


def sunrise(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Soft pink to pale yellow morning light with lifted shadows."""
    lum = luminance(image)
    toned = gradient(
        lum, (0, (0.34, 0.24, 0.36)), (0.4, (0.82, 0.55, 0.60)), (0.7, (1.0, 0.78, 0.70)), (1, (1.0, 0.96, 0.80))
    )
    out = mix(curve(image, (0, 0.2), (0.5, 0.6), (1, 0.98)), toned, 0.6)
    light = gradient(rows(image), (0, (0.42, 0.16, 0.24)), (0.5, (0.40, 0.28, 0.12)), (1, (0.04, 0.02, 0.05)))
    return graded(image, unit(screen(unit(out), f32(np.broadcast_to(light, image.shape) * 0.6))), amount)


def golden_hour(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Low rich gold light with a glow."""
    rich = saturate(curve(image, (0, 0), (0.3, 0.22), (0.7, 0.72), (1, 1)), 1.06)
    rich = unit(gain(rich, (1.10, 0.85, 0.36)))
    glow = gain(blur(curve(rich, (0, 0), (0.4, 0.08), (1, 0.7)), 9), (1.0, 0.72, 0.22))
    return graded(image, unit(screen(rich, unit(glow))), amount)


def midday(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Harsh high sun: hard contrast, bleached lights, a cyan-blue sky."""
    sun = curve(image, (0, 0), (0.2, 0.13), (0.45, 0.52), (0.7, 0.92), (1, 1))
    lum = luminance(image)
    sky = hue_mask(to_hsv(image), 212, 35, 20, 0.06, 0.45)
    azure = gradient(
        lum, (0, (0, 0.05, 0.16)), (0.4, (0.10, 0.45, 0.72)), (0.75, (0.48, 0.82, 0.96)), (1, (0.92, 1, 1))
    )
    sun = mix(gain(saturate(sun, 1.05), (0.97, 1.02, 1.06)), azure, sky * 0.8)
    return graded(image, unit(f32(sun)), amount)


PAINTS: dict[str, Paint] = {f.__name__: f for f in (night, sunset, sunrise, golden_hour, midday)}
