"""Colour: casts, toning and single hues."""

import numpy as np

from ip2p_cli.looks import tones
from ip2p_cli.looks.base import Draw, Pixels


def black_and_white(image: Pixels, amount: float) -> Pixels:
    """A contrasty black-and-white print."""
    mono = tones.curve(tones.luminance(image), (0, 0), (0.22, 0.09), (0.5, 0.53), (0.75, 0.90), (1, 1))
    return tones.grade(image, tones.grey(mono), min(amount, 1.0))


def sepia(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """The brown of an old print."""
    lum = tones.luminance(image)
    toned = tones.gradient(
        lum, (0, (0.10, 0.05, 0.02)), (0.35, (0.43, 0.28, 0.14)), (0.7, (0.80, 0.63, 0.40)), (1, (1, 0.93, 0.77))
    )
    return tones.blend(image, toned, amount)


def warmer(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A warmer white balance."""
    return tones.grade(image, tones.clip(tones.gain(image, (1.14, 1.0, 0.74), (0.05, 0.015, 0))), amount)


def cooler(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """A cooler white balance."""
    return tones.grade(image, tones.clip(tones.gain(image, (0.72, 0.96, 1.14), (0, 0.01, 0.05))), amount)


def vivid(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Strong, clean colour."""
    punch = tones.curve(image, (0, 0), (0.3, 0.27), (0.7, 0.75), (1, 1))
    return tones.clip(tones.saturate(tones.mix(image, punch, min(amount, 1.5)), 1 + 0.85 * amount))


def muted(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Quiet, dusty colour."""
    dusty = tones.curve(image, (0, 0.03), (0.5, 0.46), (1, 0.90))
    return tones.clip(tones.saturate(tones.mix(image, dusty, amount), max(0.0, 1 - 0.60 * amount)))


def invert(image: Pixels, amount: float) -> Pixels:
    """A negative. The amount is ignored, since half a negative is plain grey."""
    return tones.f32(1 - image)


def duotone(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Two inks: navy darks, peach lights."""
    lum = tones.luminance(image)
    toned = tones.gradient(
        lum, (0, (0.04, 0.06, 0.24)), (0.4, (0.36, 0.26, 0.46)), (0.72, (0.95, 0.62, 0.52)), (1, (1, 0.93, 0.80))
    )
    return tones.blend(image, toned, amount)


def tint_green(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Seen through green glass."""
    return _tint(image, ((0.0, 0.06, 0.02), (0.14, 0.56, 0.26), (0.84, 1.0, 0.80)), amount)


def tint_purple(image: Pixels, amount: float, draw: Draw) -> Pixels:
    """Seen through purple glass."""
    return _tint(image, ((0.06, 0.0, 0.10), (0.50, 0.22, 0.70), (0.96, 0.84, 1.0)), amount)


def _tint(image: Pixels, inks: tuple[tones.Colour, tones.Colour, tones.Colour], amount: float) -> Pixels:
    toned = tones.gradient(tones.luminance(image), (0, inks[0]), (0.5, inks[1]), (1, inks[2]))
    return tones.clip(tones.mix(image, toned, min(1.0, 0.8 * amount)))


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
