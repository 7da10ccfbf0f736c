"""Times of day."""

from ip2p_cli.looks import tones
from ip2p_cli.looks.base import Draw, Pixels


def night(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Dark and moonlit blue."""
    dim = tones.curve(tones.saturate(image, 0.45), (0, 0), (0.4, 0.16), (0.75, 0.44), (1, 0.92))
    moon = tones.gain(dim, (0.52, 0.72, 1.18), (0.005, 0.015, 0.05))
    shade = 1 - 0.35 * tones.smoothstep(tones.radius(image), 0.5, 1.4)
    return tones.grade(image, tones.clip(tones.multiply(moon, shade)), amount)


def sunset(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """An orange-red sky at the top, purple shadows below."""
    lum = tones.luminance(image)
    toned = tones.gradient(
        lum,
        (0, (0.09, 0.03, 0.14)),
        (0.25, (0.34, 0.13, 0.30)),
        (0.5, (0.80, 0.31, 0.26)),
        (0.78, (1.0, 0.60, 0.28)),
        (1, (1.0, 0.88, 0.56)),
    )
    y = tones.row_position(image)
    out = tones.mix(tones.gain(tones.saturate(image, 0.9), (1.0, 0.74, 0.68)), toned, 0.6)
    sky = tones.gradient(
        y, (0, (0.93, 0.26, 0.12)), (0.3, (1.0, 0.47, 0.13)), (0.6, (1.0, 0.68, 0.30)), (1, (0.5, 0.28, 0.42))
    )
    cover = (0.15 + 0.6 * tones.smoothstep(lum, 0.25, 0.85)) * (1 - tones.smoothstep(y, 0.1, 0.85))
    lit_sky = sky * tones.grey(0.55 + 0.5 * lum)
    return tones.grade(image, tones.clip(tones.mix(out, lit_sky, cover)), amount)


def sunrise(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Soft pink to pale yellow morning light with lifted shadows."""
    lum = tones.luminance(image)
    toned = tones.gradient(
        lum, (0, (0.34, 0.24, 0.36)), (0.4, (0.82, 0.55, 0.60)), (0.7, (1.0, 0.78, 0.70)), (1, (1.0, 0.96, 0.80))
    )
    out = tones.mix(tones.curve(image, (0, 0.2), (0.5, 0.6), (1, 0.98)), toned, 0.6)
    light = tones.gradient(
        tones.row_position(image), (0, (0.42, 0.16, 0.24)), (0.5, (0.40, 0.28, 0.12)), (1, (0.04, 0.02, 0.05))
    )
    return tones.grade(image, tones.clip(tones.screen(tones.clip(out), light * 0.6)), amount)


def golden_hour(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Low rich gold light with a glow."""
    rich = tones.saturate(tones.curve(image, (0, 0), (0.3, 0.22), (0.7, 0.72), (1, 1)), 1.06)
    rich = tones.clip(tones.gain(rich, (1.10, 0.85, 0.36)))
    glow = tones.gain(tones.blur(tones.curve(rich, (0, 0), (0.4, 0.08), (1, 0.7)), 9), (1.0, 0.72, 0.22))
    return tones.grade(image, tones.clip(tones.screen(rich, tones.clip(glow))), amount)


def midday(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Harsh high sun: hard contrast, bleached lights, a cyan-blue sky."""
    sun = tones.curve(image, (0, 0), (0.2, 0.13), (0.45, 0.52), (0.7, 0.92), (1, 1))
    lum = tones.luminance(image)
    sky = tones.hue_mask(tones.to_hsv(image), 212, 35, 20, 0.06, 0.45)
    azure = tones.gradient(
        lum, (0, (0, 0.05, 0.16)), (0.4, (0.10, 0.45, 0.72)), (0.75, (0.48, 0.82, 0.96)), (1, (0.92, 1, 1))
    )
    sun = tones.mix(tones.gain(tones.saturate(sun, 1.05), (0.97, 1.02, 1.06)), azure, sky * 0.8)
    return tones.grade(image, tones.clip(tones.f32(sun)), amount)
