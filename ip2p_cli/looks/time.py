"""Times of day."""

from ip2p_cli.looks import patterns, tones
from ip2p_cli.looks.base import Draw, Pixels


def night(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Dark, under blue moonlight or a warm lamp."""
    dark = draw.between(1, 0.7, 1.25)
    dim = tones.curve(tones.saturate(image, 0.45), (0, 0), (0.4, 0.15 * dark), (0.75, 0.40 * dark), (1, 0.78 * dark))
    warm = draw.between(0, 0, 1)
    moon = tones.gain(
        dim,
        tones.between_colours(warm, (0.48, 0.68, 1.22), (0.50, 0.76, 1.10), (0.66, 0.74, 1.0)),
        tones.between_colours(warm, (0.0, 0.015, 0.07), (0.01, 0.02, 0.05), (0.02, 0.02, 0.05)),
    )
    lamp = tones.between_colours(warm, (0.75, 0.95, 1.3), (1.0, 1.0, 1.0), (1.75, 1.08, 0.5))
    pool = patterns.spot(image, draw.between(2, 0.1, 0.9), draw.between(3, 0.2, 0.75), draw.between(4, 0.3, 0.6))
    lit = tones.gain(tones.clip(dim), lamp, tones.between_colours(warm, (0, 0.01, 0.04), (0.02,) * 3, (0.10, 0.05, 0)))
    out = tones.mix(tones.multiply(moon, 0.72 + 0.4 * pool), tones.clip(lit), pool * draw.between(5, 0.5, 1.0))
    return tones.grade(image, tones.clip(out), amount)


def _sunlit(image: Pixels, draw: Draw, side: float) -> Pixels:
    """Brighten the side that the sun of a draw stands on, and darken the other one; number 0 is where it stands."""
    return tones.multiply(image, 1 + side * patterns.toward(image, draw.between(0, 0.05, 0.95)))


def sunset(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A sky from crimson to gold around a low sun, purple shadows below."""
    lum = tones.luminance(image)
    hue = draw.between(2, 0.08, 0.8)
    stops = tones.between_stops(
        hue,
        (
            (0, (0.10, 0.02, 0.16)),
            (0.25, (0.36, 0.09, 0.33)),
            (0.5, (0.78, 0.22, 0.34)),
            (0.78, (1, 0.48, 0.36)),
            (1, (1, 0.80, 0.60)),
        ),
        (
            (0, (0.09, 0.03, 0.14)),
            (0.25, (0.36, 0.12, 0.26)),
            (0.5, (0.82, 0.30, 0.20)),
            (0.78, (1, 0.58, 0.24)),
            (1, (1, 0.88, 0.56)),
        ),
        (
            (0, (0.09, 0.04, 0.12)),
            (0.25, (0.36, 0.16, 0.22)),
            (0.5, (0.84, 0.40, 0.17)),
            (0.78, (1, 0.66, 0.24)),
            (1, (1, 0.92, 0.58)),
        ),
    )
    out = tones.mix(tones.gain(tones.saturate(image, 0.9), (1.0, 0.74, 0.68)), tones.gradient(lum, *stops), 0.62)
    y = tones.row_position(image)
    top = tones.between_colours(hue, (0.62, 0.12, 0.36), (0.90, 0.24, 0.13), (0.92, 0.36, 0.12))
    low = tones.between_colours(hue, (1.0, 0.40, 0.30), (1.0, 0.58, 0.20), (1.0, 0.70, 0.28))
    sun_y = draw.between(1, 0.2, 0.5)
    sky = tones.gradient(y, (0, top), (sun_y, low), (1, (0.5, 0.28, 0.42)))
    cover = (0.12 + 0.6 * tones.smoothstep(lum, 0.25, 0.85)) * (1 - tones.smoothstep(y, 0.1, 0.9))
    out = tones.mix(out, sky * tones.grey(0.5 + 0.5 * lum), cover)
    out = tones.clip(_sunlit(out, draw, 0.18) * draw.between(3, 0.9, 1.0))
    return tones.grade(image, _sun(out, draw, sun_y, low, draw.between(4, 0.5, 0.62)), amount)


def _sun(image: Pixels, draw: Draw, y: float, colour: tones.Colour, strength: float) -> Pixels:
    """Add a wide glow in a colour and a small pale one where the sun of a draw stands; number 0 is its side."""
    x = draw.between(0, 0.05, 0.95)
    out = tones.screen(image, tones.gain(tones.grey(patterns.spot(image, x, y, 0.36)), colour) * strength)
    return tones.clip(
        tones.screen(out, tones.gain(tones.grey(patterns.spot(image, x, y, 0.11)), (1, 0.9, 0.6)) * strength)
    )


def sunrise(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Soft morning light from lilac over pink to pale yellow, with lifted shadows and mist."""
    lum = tones.luminance(image)
    hue = draw.between(2, 0.2, 1)
    stops = tones.between_stops(
        hue,
        ((0, (0.32, 0.25, 0.42)), (0.4, (0.82, 0.54, 0.68)), (0.7, (1.0, 0.75, 0.80)), (1, (1, 0.94, 0.90))),
        ((0, (0.34, 0.24, 0.36)), (0.4, (0.84, 0.55, 0.58)), (0.7, (1.0, 0.77, 0.72)), (1, (1, 0.95, 0.82))),
        ((0, (0.36, 0.28, 0.33)), (0.4, (0.86, 0.60, 0.50)), (0.7, (1.0, 0.83, 0.66)), (1, (1, 0.97, 0.78))),
    )
    lift = draw.between(3, 0.15, 0.19)
    out = tones.mix(
        tones.curve(image, (0, lift), (0.5, 0.45 + 0.7 * lift), (1, 0.98)), tones.gradient(lum, *stops), 0.82
    )
    y = draw.between(1, 0.15, 0.55)
    mist = (1 - tones.smoothstep(abs(tones.row_position(image) - y - 0.1), 0.0, 0.4)) * draw.between(4, 0.0, 0.12)
    colour = tones.between_colours(hue, (0.95, 0.72, 0.80), (1.0, 0.76, 0.68), (1.0, 0.84, 0.62))
    out = _sunlit(tones.mix(out, colour, tones.f32(mist + 0 * lum)), draw, 0.12) * draw.between(5, 0.95, 1.0)
    return tones.grade(image, _sun(tones.clip(out), draw, y, colour, draw.between(6, 0.24, 0.34)), amount)


def golden_hour(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Low rich light from pale gold to amber, with a glow from the sun's side."""
    middle, hue = draw.between(3, 0.70, 0.75), draw.between(2, 0.2, 0.62)
    rich = tones.saturate(tones.curve(image, (0, 0), (0.3, middle * 0.33), (0.7, middle), (1, 1)), 1.06)
    rich = tones.gain(rich, tones.between_colours(hue, (1.10, 0.88, 0.46), (1.12, 0.82, 0.42), (1.14, 0.74, 0.38)))
    rich = tones.clip(_sunlit(rich, draw, 0.12))
    colour = tones.between_colours(hue, (1.0, 0.74, 0.34), (1.0, 0.64, 0.26), (1.0, 0.54, 0.22))
    glow = tones.gain(tones.blur(tones.curve(rich, (0, 0), (0.4, 0.08), (1, 0.65)), 9), colour)
    out = tones.clip(tones.screen(rich, tones.clip(glow * draw.between(4, 0.8, 1.1))))
    return tones.grade(image, _sun(out, draw, draw.between(1, 0.0, 0.3), colour, draw.between(5, 0.35, 0.5)), amount)


def midday(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Harsh high sun: hard contrast, bleached lights, a sky from cyan to deep blue."""
    burn = draw.between(1, -0.1, 0.08)
    sun = tones.curve(image, (0, 0), (0.2, 0.13 + burn * 0.4), (0.45, 0.52 + burn), (0.7, 0.9 + burn * 0.6), (1, 1))
    sky = tones.hue_mask(tones.to_hsv(image), 212, 35, 20, 0.06, 0.45)
    stops = tones.between_stops(
        draw.between(0, 0, 1),
        ((0, (0, 0.08, 0.16)), (0.4, (0.14, 0.56, 0.74)), (0.75, (0.55, 0.90, 0.96)), (1, (0.94, 1, 1))),
        ((0, (0, 0.03, 0.18)), (0.4, (0.05, 0.33, 0.72)), (0.75, (0.36, 0.70, 0.96)), (1, (0.86, 0.97, 1))),
    )
    tint = tones.between_colours(draw.between(2, 0, 1), (0.98, 1.02, 1.04), (0.92, 1.02, 1.12))
    sun = tones.gain(tones.saturate(sun, draw.between(3, 0.82, 1.02)), tint)
    out = tones.mix(sun, tones.gradient(tones.luminance(image), *stops), sky * 0.8)
    x, strength = draw.between(4, 0.1, 0.9), draw.between(5, 0.3, 0.6)
    glare = tones.gain(tones.grey(patterns.spot(image, x, -0.05, 0.5)), (0.92, 0.97, 1.0)) * strength
    return tones.grade(image, tones.clip(tones.screen(tones.clip(out), glare)), amount)
