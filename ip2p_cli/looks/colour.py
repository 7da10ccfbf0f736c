"""Colour: casts, toning and single hues."""

import numpy as np

from ip2p_cli.looks.base import Image, Paint
from ip2p_cli.looks.tones import (
    Colour,
    blur,
    curve,
    drawn,
    f32,
    from_hsv,
    gain,
    graded,
    gradient,
    grey,
    hue_mask,
    luminance,
    mix,
    saturate,
    to_hsv,
    unit,
)


def black_and_white(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """A contrasty black-and-white print."""
    mono = curve(luminance(image), (0, 0), (0.22, 0.09), (0.5, 0.53), (0.75, 0.90), (1, 1))
    return graded(image, grey(mono), min(amount, 1.0))


def sepia(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """The brown of an old print."""
    toned = gradient(
        luminance(image),
        (0, (0.10, 0.05, 0.02)),
        (0.35, (0.43, 0.28, 0.14)),
        (0.7, (0.80, 0.63, 0.40)),
        (1, (1, 0.93, 0.77)),
    )
    return drawn(image, toned, amount)


def warmer(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """A warmer white balance."""
    return graded(image, unit(gain(image, (1.14, 1.0, 0.74), (0.05, 0.015, 0))), amount)


def cooler(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """A cooler white balance."""
    return graded(image, unit(gain(image, (0.72, 0.96, 1.14), (0, 0.01, 0.05))), amount)


def vivid(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Strong clean colour."""
    punch = curve(image, (0, 0), (0.3, 0.27), (0.7, 0.75), (1, 1))
    return unit(saturate(mix(image, punch, min(amount, 1.5)), 1 + 0.85 * amount))


def muted(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Quiet, dusty colour."""
    dusty = curve(image, (0, 0.03), (0.5, 0.46), (1, 0.90))
    return unit(saturate(mix(image, dusty, amount), max(0.0, 1 - 0.60 * amount)))


def invert(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """A negative; half a negative would be plain grey, so the amount is ignored."""
    return f32(1 - image)


def duotone(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Two inks: navy darks, peach lights."""
    toned = gradient(
        luminance(image),
        (0, (0.04, 0.06, 0.24)),
        (0.4, (0.36, 0.26, 0.46)),
        (0.72, (0.95, 0.62, 0.52)),
        (1, (1, 0.93, 0.80)),
    )
    return drawn(image, toned, amount)


def tint_green(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Seen through green glass."""
    return _tint(image, ((0.0, 0.06, 0.02), (0.14, 0.56, 0.26), (0.84, 1.0, 0.80)), amount)


def tint_purple(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Seen through purple glass."""
    return _tint(image, ((0.06, 0.0, 0.10), (0.50, 0.22, 0.70), (0.96, 0.84, 1.0)), amount)


def _tint(image: Image, inks: tuple[Colour, Colour, Colour], amount: float) -> Image:
    toned = gradient(luminance(image), (0, inks[0]), (0.5, inks[1]), (1, inks[2]))
    return unit(mix(image, toned, min(1.0, 0.8 * amount)))


def red_to_blue(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Red things become blue."""
    return _swap(image, 357, 17, 12, 222, amount, low=0.3)


def green_to_red(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Green things become red."""
    return _swap(image, 100, 46, 16, 2, amount, low=0.08)


def blue_to_green(image: Image, amount: float, rng: np.random.Generator) -> Image:
    """Blue things become green."""
    return _swap(image, 218, 36, 16, 125, amount, low=0.08, ramp=0.3)


def _swap(
    image: Image,
    hue: float,
    half: float,
    soft: float,
    to: float,
    amount: float,
    low: float,
    ramp: float = 0.2,
    pale: float = 1.0,
    dark: float = 0.05,
) -> Image:
    hsv = to_hsv(image)
    # the mask comes from a softened copy: colour noise would speckle it
    mask = hue_mask(to_hsv(blur(image, 1.2)), hue, half, soft, low, low + ramp, dark) * min(1.0, amount)
    turned = hsv.copy()
    turned[..., 0] = to  # one hue: the mask is soft, so the original's variation shows at its borders only
    turned[..., 1] = np.minimum(turned[..., 1] * pale, 1)
    return unit(mix(image, from_hsv(turned), f32(mask)))


PAINTS: dict[str, Paint] = {
    f.__name__: f
    for f in (
        black_and_white,
        sepia,
        warmer,
        cooler,
        vivid,
        muted,
        invert,
        duotone,
        tint_green,
        tint_purple,
        red_to_blue,
        green_to_red,
        blue_to_green,
    )
}
