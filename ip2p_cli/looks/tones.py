"""Building blocks of the looks. All lengths are in pixels of a photo whose shorter side has 256 pixels."""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from ip2p_cli.looks.base import Pixels, Plane

Colour = tuple[float, float, float]
Stops = tuple[tuple[float, Colour], ...]  # (luminance, colour) knots of a gradient
Points = tuple[tuple[float, float], ...]  # (in, out) knots of a curve

TABLE = 2048  # fine enough that no 8-bit picture shows the steps


def f32(x: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Convert values to float32."""
    return np.asarray(x, dtype=np.float32)


def scale_of(image: Pixels | Plane) -> float:
    """Pixels of this image for each pixel of a 256-pixel photo."""
    return float(min(image.shape[:2])) / 256


def clip(x: Pixels) -> Pixels:
    """Clip values to [0, 1]."""
    return f32(np.clip(x, 0, 1))


def mix(a: Pixels, b: Pixels | Colour, t: float | Plane) -> Pixels:
    """Mix a (t = 0) and b (t = 1) linearly; t may be a mask."""
    difference = gain(a, (-1, -1, -1), b) if isinstance(b, tuple) else b - a
    return f32(a + difference * (grey(t) if isinstance(t, np.ndarray) else t))


def grade(image: Pixels, full: Pixels, amount: float) -> Pixels:
    """Mix image (amount 0) and full (1); larger amounts go beyond full more slowly, since they soon clip."""
    t = amount if amount <= 1 else 1 + 0.6 * (amount - 1)
    return clip(mix(image, full, t))


def blend(image: Pixels, full: Pixels, amount: float) -> Pixels:
    """Mix image (amount 0) and full (1) for drawn looks, which never go beyond full."""
    return clip(full if amount >= 1 else mix(image, clip(full), amount**0.7))


def luminance(image: Pixels) -> Plane:
    """Luma of sRGB values (BT.601)."""
    return f32(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def grey(plane: Plane) -> Pixels:
    """Convert a plane to an image without colour."""
    return f32(cv2.cvtColor(f32(plane), cv2.COLOR_GRAY2RGB))


def saturate(image: Pixels, k: float) -> Pixels:
    """Multiply the distance from grey by k."""
    weights = np.array([0.299, 0.587, 0.114])
    return f32(cv2.transform(image, f32(np.eye(3) * k + (1 - k) * weights)))


def gain(image: Pixels, factors: Colour, offset: Colour = (0, 0, 0)) -> Pixels:
    """Multiply each channel by a factor and add an offset; far faster than broadcasting in numpy."""
    return f32(cv2.transform(image, f32(np.column_stack([np.diag(factors), offset]))))


def multiply(image: Pixels, plane: Plane) -> Pixels:
    """Multiply every pixel by a plane, which may be a single column or row."""
    return f32(image * grey(np.broadcast_to(plane, image.shape[:2])))


def smoothstep(x: Plane, low: float, high: float) -> Plane:
    """Step smoothly from 0 at low to 1 at high."""
    t = np.clip((x - low) * (1 / (high - low)), 0, 1)
    return f32(t * t * (3 - 2 * t))


def _monotone(xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Fritsch-Carlson interpolation: smooth and without overshoot, so that a curve never makes rings in a gradient.
    at = np.linspace(0, 1, TABLE)
    d = np.diff(ys) / np.diff(xs)
    m = np.concatenate([d[:1], np.where(d[:-1] * d[1:] > 0, 2 * d[:-1] * d[1:] / (d[:-1] + d[1:] + 1e-12), 0), d[-1:]])
    i = np.clip(np.searchsorted(xs, at, side="right") - 1, 0, len(d) - 1)
    h = xs[i + 1] - xs[i]
    t = np.clip((at - xs[i]) / h, 0, 1)
    return np.asarray(
        ys[i] * (1 + 2 * t) * (1 - t) ** 2
        + h * m[i] * t * (1 - t) ** 2
        + ys[i + 1] * t * t * (3 - 2 * t)
        + h * m[i + 1] * t * t * (t - 1)
    )


@lru_cache(maxsize=256)
def _curve_table(points: Points) -> npt.NDArray[np.float32]:
    xs, ys = np.array(points, dtype=np.float64).T
    return f32(_monotone(xs, ys))


@lru_cache(maxsize=256)
def _gradient_table(stops: Stops) -> npt.NDArray[np.float32]:
    xs, ys = (np.array(values, dtype=np.float64) for values in zip(*stops, strict=True))
    return f32(np.stack([_monotone(xs, ys[:, c]) for c in range(3)], axis=1))


def _index(x: Pixels | Plane) -> npt.NDArray[np.intp]:
    return (x * (TABLE - 1) + 0.5).astype(np.intp)


def curve(x: Pixels, *points: tuple[float, float]) -> Pixels:
    """Apply a smooth tone curve through (in, out) points to each channel, or to a plane."""
    return f32(np.take(_curve_table(points), _index(x), mode="clip"))


def gradient(plane: Plane, *stops: tuple[float, Colour]) -> Pixels:
    """Colour a plane by a smooth gradient through (value, colour) stops."""
    return f32(np.take(_gradient_table(stops), _index(plane), axis=0, mode="clip"))


def screen(image: Pixels, light: Pixels | Colour) -> Pixels:
    """Add light as a second projector does: 1 - (1 - image)(1 - light)."""
    return f32(1 - (1 - image) * (1 - f32(light)))


def posterise(plane: Plane, levels: int, hardness: float = 6.0) -> Plane:
    """Reduce a plane to a few levels that are joined by steep but smooth steps."""
    x = plane * (levels - 1)
    base = np.floor(x)
    riser = np.tanh(hardness * (x - base - 0.5)) / (2 * np.tanh(hardness / 2)) + 0.5
    return f32((base + riser) / (levels - 1))


def row_position(image: Pixels | Plane) -> Plane:
    """Position of each row, 0 at the top and 1 at the bottom, as a column (H, 1)."""
    h = image.shape[0]
    return f32((np.arange(h) + 0.5) / h)[:, None]


def radius(image: Pixels | Plane) -> Plane:
    """Distance from the centre, (H, W): 1 at the middle of each edge, 1.41 in the corners."""
    h, w = image.shape[:2]
    y = ((np.arange(h, dtype=np.float32) + 0.5) / h * 2 - 1)[:, None]
    x = ((np.arange(w, dtype=np.float32) + 0.5) / w * 2 - 1)[None, :]
    return f32(np.sqrt(x * x + y * y))


def blur(x: Pixels, sigma: float) -> Pixels:
    """Blur by a Gaussian; a wide one works on a reduced copy, which looks the same and costs far less."""
    s = sigma * scale_of(x)
    if s < 0.15:
        return x
    h, w = x.shape[:2]
    f = 1
    while s / f > 4:
        f *= 2
    if f == 1:
        return f32(cv2.GaussianBlur(x, (0, 0), s, borderType=cv2.BORDER_REFLECT))
    small = cv2.resize(x, (max(1, round(w / f)), max(1, round(h / f))), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), s / f, borderType=cv2.BORDER_REFLECT)
    return f32(cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR))


def flatten(image: Pixels, size: float, eps: float) -> Pixels:
    """Smooth texture and keep edges: a guided filter whose guide is the image (He et al. 2013)."""
    k = 2 * round(size * scale_of(image) / 2) + 1
    mean = cv2.blur(image, (k, k))
    var = np.maximum(cv2.blur(image * image, (k, k)) - mean * mean, 0)
    a = var / (var + eps)
    return f32(cv2.blur(a, (k, k)) * image + cv2.blur(f32(mean * (1 - a)), (k, k)))


def brush_strokes(image: Pixels, size: float) -> Pixels:
    """Paint in patches: each pixel takes the colours of the flattest places around it (a soft Kuwahara filter)."""
    h, w = image.shape[:2]
    lum = luminance(image)
    colours = blur(image, size / 3)
    mean_square = blur(lum * lum, size / 3)
    lum = luminance(colours)
    flatness = f32(0.0004 / (0.0004 + np.maximum(mean_square - lum * lum, 0)))
    flatness *= flatness
    flatness = f32(flatness * flatness + 1e-9)
    # Weighted before they are shifted, the eight directions are eight plain additions.
    local = cv2.merge([*cv2.split(colours * grey(flatness)), flatness])
    r = size / 2 * scale_of(image)
    pad = int(np.ceil(r))
    wide = cv2.copyMakeBorder(local, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    total = np.zeros_like(local)
    for turn in range(8):
        y, x = pad + round(r * np.sin(turn * np.pi / 4)), pad + round(r * np.cos(turn * np.pi / 4))
        total += wide[y : y + h, x : x + w]
    *rgb, weight = cv2.split(total)
    return f32(cv2.merge(rgb) / grey(weight))


def outlines(plane: Plane, width: float, strength: float) -> Plane:
    """Mask of dark outlines: where a plane is darker than its surroundings."""
    fine, wide = blur(plane, width), blur(plane, width * 2.2)
    return f32(np.clip(np.tanh(np.maximum(wide - fine - 0.006, 0) * strength), 0, 1))


def edges(plane: Plane, width: float) -> Plane:
    """Size of a plane's gradient, per pixel of a 256-pixel photo."""
    p = blur(plane, width)
    gx = cv2.Sobel(p, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    gy = cv2.Sobel(p, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    return f32(np.sqrt(gx * gx + gy * gy) * scale_of(plane))  # cv2.magnitude rounds differently by memory alignment


def to_hsv(image: Pixels) -> Pixels:
    """Convert RGB to hue in degrees, and saturation and value in [0, 1]."""
    return f32(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))


def from_hsv(hsv: Pixels) -> Pixels:
    """Convert hue, saturation and value back to RGB."""
    return f32(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


@lru_cache(maxsize=32)
def _hue_table(centre: float, half: float, soft: float) -> npt.NDArray[np.float32]:
    d = np.abs((np.arange(721) / 2 - centre + 180) % 360 - 180)
    return smoothstep(f32(-d), -half - soft, -half)


def hue_mask(
    hsv: Pixels, centre: float, half: float, soft: float, low: float, high: float, dark: float = 0.05
) -> Plane:
    """Soft mask of hues within `half` degrees of `centre`, without greys (low, high) and blacks (dark)."""
    hue = np.take(_hue_table(centre, half, soft), np.asarray(hsv[..., 0] * 2, dtype=np.intp), mode="clip")
    sat = smoothstep(hsv[..., 1], low, high)
    val = smoothstep(hsv[..., 2], dark, dark + 0.15)
    return f32(hue * sat * val)


def vegetation(image: Pixels) -> Plane:
    """Soft mask of leaves and grass."""
    return blur(hue_mask(to_hsv(image), 98, 48, 18, 0.10, 0.30, 0.10), 0.8)


def develop(image: Pixels, exposure: float = 1.0, warmth: float = 0.0, contrast: float = 1.0) -> Pixels:
    """Change exposure, colour balance and contrast a little, as two laboratories do with one negative."""
    k, base = exposure * contrast, 0.5 * exposure * (1 - contrast)
    return gain(image, (k * (1 + warmth), k, k * (1 - warmth)), (base, base, base))


def mix_corners(corners: tuple[Colour, Colour, Colour, Colour], u: float, v: float) -> Colour:
    """Mix four colours that lie in the corners of a square: (0, 0), (1, 0), (0, 1) and (1, 1)."""
    a, b, c, d = f32(corners)
    r, g, b = ((a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v).tolist()
    return r, g, b


def staircase(plane: Plane, levels: float, hardness: float = 6.0) -> Plane:
    """Reduce a plane to a few levels as `posterise` does; the number of levels need not be whole."""
    x = plane * levels
    base = np.floor(x)
    riser = np.tanh(hardness * (x - base - 0.5)) / (2 * np.tanh(hardness / 2)) + 0.5
    return f32((base + riser) / levels)


def between_colours(t: float, *colours: Colour) -> Colour:
    """Pick a colour from a row of colours, of which t = 0 is the first and t = 1 the last."""
    at = float(np.clip(t, 0, 1)) * (len(colours) - 1)
    red, green, blue = (float(np.interp(at, range(len(colours)), channel)) for channel in zip(*colours, strict=True))
    return red, green, blue


def between_stops(t: float, *palettes: Stops) -> Stops:
    """Pick a gradient from a row of gradients that have their knots at the same values."""
    knots = zip(*palettes, strict=True)
    return tuple((knot[0][0], between_colours(t, *(colour for _, colour in knot))) for knot in knots)
