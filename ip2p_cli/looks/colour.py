"""Colour: casts, toning and single hues."""

import numpy as np

from ip2p_cli.looks import tones
from ip2p_cli.looks.base import Draw, Pixels


def black_and_white(image: Pixels, amount: float) -> Pixels:
    """A contrasty black-and-white print."""
    mono = tones.curve(tones.luminance(image), (0, 0), (0.22, 0.09), (0.5, 0.53), (0.75, 0.90), (1, 1))
    return tones.grade(image, tones.grey(mono), min(amount, 1.0))


def sepia(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """The brown of an old print, between yellow brown and red brown, on paper that is more or less faded."""
    redder, fade = draw.between(0, -0.022, 0.042), draw.between(1, 0.0, 0.08)
    lum = tones.curve(tones.luminance(image), (0, 0), (0.5, draw.between(2, 0.41, 0.57)), (1, 1))
    cream = draw.between(3, 0.72, 0.84)
    toned = tones.gradient(
        lum,
        (0, (0.09 + fade, 0.05 + 0.8 * fade, 0.02 + 0.6 * fade)),
        (0.35, (0.43 + redder, 0.28 - 0.6 * redder, 0.14 - 0.5 * redder)),
        (0.7, (0.80 + redder, 0.63 - 0.6 * redder, 0.40 - 0.5 * redder)),
        (1, (1 - 0.3 * fade, 0.94 - 0.3 * fade, cream)),
    )
    return tones.blend(image, toned, amount)


def warmer(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A warmer white balance, from yellow to orange."""
    k, orange, light = draw.between(0, 0.72, 1.30), draw.between(1, -0.03, 0.03), draw.between(2, 0.95, 1.06)
    factors = (1 + 0.14 * k + 0.5 * orange, 1.0 - orange, 1 - 0.26 * k)
    warm = tones.gain(image, (light * factors[0], light * factors[1], light * factors[2]), (0.05 * k, 0.015 * k, 0))
    return tones.grade(image, tones.clip(warm), amount)


def cooler(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A cooler white balance, from cyan to blue."""
    k, violet, light = draw.between(0, 0.78, 1.38), draw.between(1, -0.03, 0.03), draw.between(2, 0.94, 1.06)
    factors = (1 - 0.28 * k + violet, 0.98 - violet, 1 + 0.14 * k)
    cold = tones.gain(image, (light * factors[0], light * factors[1], light * factors[2]), (0, 0.01 * k, 0.05 * k))
    return tones.grade(image, tones.clip(cold), amount)


def vivid(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Strong, clean colour."""
    punch = draw.between(0, 0.02, 0.06)
    strong = tones.curve(image, (0, 0), (0.3, 0.3 - punch), (0.7, 0.7 + punch), (1, 1))
    strong = tones.develop(strong, draw.between(1, 0.91, 1.09), draw.between(2, -0.04, 0.04))
    strong = tones.mix(image, strong, min(amount, 1.5))
    return tones.clip(tones.saturate(strong, 1 + draw.between(3, 0.70, 1.15) * amount))


def muted(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Quiet, dusty colour."""
    dusty = tones.curve(image, (0, draw.between(0, 0.0, 0.05)), (0.5, 0.44), (1, draw.between(1, 0.82, 0.92)))
    dusty = tones.develop(dusty, draw.between(2, 0.91, 1.08), draw.between(3, -0.035, 0.035))
    dusty = tones.mix(image, dusty, amount)
    return tones.clip(tones.saturate(dusty, max(0.0, 1 - draw.between(4, 0.55, 0.72) * amount)))


def invert(image: Pixels, amount: float) -> Pixels:
    """A negative. The amount is ignored, since half a negative is plain grey."""
    return tones.f32(1 - image)


# Darks, middles and lights of a duotone: violet navy, teal navy, plum and deep blue under peach, gold, rose and coral.
_DUOTONE: tuple[tuple[tones.Colour, tones.Colour, tones.Colour, tones.Colour], ...] = (
    ((0.06, 0.05, 0.26), (0.01, 0.10, 0.24), (0.14, 0.03, 0.22), (0.02, 0.06, 0.34)),
    ((0.38, 0.27, 0.47), (0.30, 0.33, 0.44), (0.46, 0.22, 0.44), (0.28, 0.28, 0.56)),
    ((0.95, 0.62, 0.52), (0.94, 0.70, 0.44), (0.97, 0.56, 0.58), (0.97, 0.58, 0.50)),
    ((1.00, 0.93, 0.80), (1.00, 0.95, 0.74), (1.00, 0.88, 0.84), (1.00, 0.90, 0.80)),
)


def duotone(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Two inks: dark blue to plum in the darks, gold to rose in the lights."""
    u, v, shift = draw.between(0, 0, 1), draw.between(1, 0, 1), draw.between(2, -0.07, 0.07)
    inks = [tones.mix_corners(corners, u, v) for corners in _DUOTONE]
    stops = zip((0, 0.4 + shift, 0.72 + shift, 1), inks, strict=True)
    return tones.blend(image, tones.gradient(tones.luminance(image), *stops), amount)


def tint_green(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Seen through green glass, between moss and emerald."""
    hue, light = draw.between(0, -1, 1), draw.between(1, -0.06, 0.06)
    middle = (0.16 - 0.09 * hue + light, 0.56 + light, 0.24 + 0.11 * hue + light)
    top = (0.84 - 0.08 * hue, 1.0, 0.80 + 0.07 * hue)
    return _tint(image, ((0.0, 0.06, 0.02), middle, top), amount, draw)


def tint_purple(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Seen through purple glass, between violet and plum."""
    hue, light = draw.between(0, -1, 1), draw.between(1, -0.06, 0.06)
    middle = (0.50 + 0.10 * hue + light, 0.22 + light, 0.69 - 0.09 * hue + light)
    top = (0.95 + 0.05 * hue, 0.84, 1.0 - 0.05 * hue)
    return _tint(image, ((0.06, 0.0, 0.10), middle, top), amount, draw)


def _tint(image: Pixels, inks: tuple[tones.Colour, tones.Colour, tones.Colour], amount: float, draw: Draw) -> Pixels:
    toned = tones.gradient(tones.luminance(image), (0, inks[0]), (0.5, inks[1]), (1, inks[2]))
    return tones.clip(tones.mix(image, toned, min(1.0, draw.between(2, 0.70, 0.92) * amount)))


def red_to_blue(image: Pixels, amount: float) -> Pixels:
    """Red things become blue."""
    return _swap(image, 357, 17, 12, 222, amount, low=0.3)


def green_to_red(image: Pixels, amount: float) -> Pixels:
    """Green things become red."""
    return _swap(image, 100, 46, 16, 2, amount, low=0.08)


def blue_to_green(image: Pixels, amount: float) -> Pixels:
    """Blue things become green."""
    return _swap(image, 218, 36, 16, 125, amount, low=0.08, ramp=0.3)


def _swap(
    image: Pixels, hue: float, half: float, soft: float, to: float, amount: float, low: float, ramp: float = 0.2
) -> Pixels:
    """Give everything whose hue is within `half` degrees of `hue` the hue `to`."""
    # The mask is made from a blurred copy, since colour noise would speckle it.
    mask = tones.hue_mask(tones.to_hsv(tones.blur(image, 1.2)), hue, half, soft, low, low + ramp)
    turned = tones.to_hsv(image)
    turned[..., 0], turned[..., 1] = to, np.minimum(turned[..., 1], 1)
    mask = tones.f32(mask * min(1.0, amount))
    return tones.clip(tones.mix(image, tones.from_hsv(turned), mask))
