"""Building blocks of the looks: curves, gradients, masks, blurs. All lengths are in pixels of a 256-pixel photo."""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from ip2p_cli.looks.base import Image, Plane

Colour = tuple[float, float, float]
Stops = tuple[tuple[float, Colour], ...]  # (luminance, colour) knots of a gradient
Points = tuple[tuple[float, float], ...]  # (in, out) knots of a curve

TABLE = 2048  # fine enough that no 8-bit picture shows the steps


def f32(x: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The same values as float32."""
    return np.asarray(x, dtype=np.float32)


def colour(c: Colour) -> npt.NDArray[np.float32]:
    """A colour that broadcasts over an image."""
    return f32(c)


def scale_of(image: Image | Plane) -> float:
    """How many pixels one pixel of a 256-pixel photo is here."""
    return float(min(image.shape[:2])) / 256


def unit(x: Image) -> Image:
    """Clip to the displayable range."""
    return f32(np.clip(x, 0, 1))


def mix(a: Image, b: Image | Colour, t: float | Plane) -> Image:
    """From a (t = 0) to b (t = 1); t may be a mask."""
    way = gain(a, (-1, -1, -1), b) if isinstance(b, tuple) else b - a
    if isinstance(t, np.ndarray):
        t = grey(t)
    return f32(a + way * t)


def graded(image: Image, full: Image, amount: float) -> Image:
    """Go the way from image to full; beyond it more slowly, since overshoot clips early."""
    t = amount if amount <= 1 else 1 + 0.6 * (amount - 1)
    return unit(mix(image, full, t))


def drawn(image: Image, full: Image, amount: float) -> Image:
    """Blend for hand-made looks: they are not extrapolated, as paper and ink do not get more so."""
    return full if amount >= 1 else mix(image, full, amount**0.7)


def luminance(image: Image) -> Plane:
    """Perceived brightness of the display values."""
    out: Plane = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return out


def grey(plane: Plane) -> Image:
    """A plane as a colourless image."""
    out: Image = cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB)
    return out


def saturate(image: Image, k: float) -> Image:
    """Scale the distance from grey by k."""
    weights = np.array([0.299, 0.587, 0.114])
    out: Image = cv2.transform(image, f32(np.eye(3) * k + (1 - k) * weights))
    return out


def gain(image: Image, factors: Colour, offset: Colour = (0, 0, 0)) -> Image:
    """Scale and shift each channel by itself (far faster than numpy's broadcasting over three channels)."""
    out: Image = cv2.transform(image, f32(np.column_stack([np.diag(factors), offset])))
    return out


def times(image: Image, plane: Plane) -> Image:
    """Scale every pixel by a plane, which may be a single column or row."""
    return f32(image * grey(f32(np.broadcast_to(plane, image.shape[:2]))))


def smoothstep(x: Plane, low: float, high: float) -> Plane:
    """A soft threshold: 0 below low, 1 above high."""
    t = np.clip((x - low) * (1 / (high - low)), 0, 1)
    return f32(t * t * (3 - 2 * t))


def _monotone(xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Fritsch-Carlson: smooth through the knots without overshoot, so a curve never makes rings in a gradient
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
    xs = np.array([s[0] for s in stops], dtype=np.float64)
    ys = np.array([s[1] for s in stops], dtype=np.float64)
    return f32(np.stack([_monotone(xs, ys[:, c]) for c in range(3)], axis=1))


def _index(x: Image | Plane) -> npt.NDArray[np.intp]:
    return (x * (TABLE - 1) + 0.5).astype(np.intp)


def curve(x: Image, *points: tuple[float, float]) -> Image:
    """A smooth tone curve through the points, the same for every channel (or for a plane)."""
    return f32(np.take(_curve_table(points), _index(x), mode="clip"))


def gradient(plane: Plane, *stops: tuple[float, Colour]) -> Image:
    """Colour a plane by a smooth gradient."""
    return f32(np.take(_gradient_table(stops), _index(plane), axis=0, mode="clip"))


def screen(image: Image, light: Image | Colour) -> Image:
    """Add light as a second projector would: never beyond white."""
    return f32(1 - (1 - image) * (1 - f32(light)))


def steps(plane: Plane, levels: int, hardness: float = 6.0) -> Plane:
    """Soft posterisation: levels flat treads joined by steep but smooth risers."""
    x = plane * (levels - 1)
    base = np.floor(x)
    riser = np.tanh(hardness * (x - base - 0.5)) / (2 * np.tanh(hardness / 2)) + 0.5
    return f32((base + riser) / (levels - 1))


def rows(image: Image | Plane) -> Plane:
    """Relative height of each row, 0 at the top and 1 at the bottom, as a column."""
    h = image.shape[0]
    return f32((np.arange(h) + 0.5) / h)[:, None]


def radius(image: Image | Plane) -> Plane:
    """Distance from the centre: 0 there, 1 at the middle of the edges, 1.41 in the corners."""
    h, w = image.shape[:2]
    y = ((np.arange(h, dtype=np.float32) + 0.5) / h * 2 - 1)[:, None]
    x = ((np.arange(w, dtype=np.float32) + 0.5) / w * 2 - 1)[None, :]
    return f32(np.sqrt(x * x + y * y))


def blur(x: Image, sigma: float) -> Image:
    """Gaussian blur; wide ones work on a reduced copy, which looks the same and costs far less."""
    s = sigma * scale_of(x)
    if s < 0.15:
        return x
    h, w = x.shape[:2]
    f = 1
    while s / f > 4:
        f *= 2
    if f == 1:
        out: Image = cv2.GaussianBlur(x, (0, 0), s, borderType=cv2.BORDER_REFLECT)
        return out
    small = cv2.resize(x, (max(1, round(w / f)), max(1, round(h / f))), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), s / f, borderType=cv2.BORDER_REFLECT)
    wide: Image = cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
    return wide


def flatten(image: Image, size: float, eps: float) -> Image:
    """Smooth away texture but keep edges (a guided filter guided by the image itself)."""
    k = 2 * round(size * scale_of(image) / 2) + 1
    mean = cv2.blur(image, (k, k))
    var = np.maximum(cv2.blur(image * image, (k, k)) - mean * mean, 0)
    a = var / (var + eps)
    return f32(cv2.blur(a, (k, k)) * image + cv2.blur(f32(mean * (1 - a)), (k, k)))


def dabs(image: Image, size: float) -> Image:
    """Brush-like patches: each pixel takes the colour of the calmest spots around it (a soft round Kuwahara filter)."""
    h, w = image.shape[:2]
    lum = luminance(image)
    colours = blur(image, size / 3)
    spread = blur(lum * lum, size / 3)
    lum = luminance(colours)
    calm = f32(0.0004 / (0.0004 + np.maximum(spread - lum * lum, 0)))
    calm *= calm
    calm = f32(calm * calm + 1e-9)
    # weighting before shifting makes the eight directions eight plain additions
    local = cv2.merge([*cv2.split(colours * grey(calm)), calm])
    r = size / 2 * scale_of(image)
    pad = int(np.ceil(r))
    wide = cv2.copyMakeBorder(local, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    total = np.zeros_like(local)
    for turn in range(8):
        y, x = pad + round(r * np.sin(turn * np.pi / 4)), pad + round(r * np.cos(turn * np.pi / 4))
        total += wide[y : y + h, x : x + w]
    *rgb, weight = cv2.split(total)
    return f32(cv2.merge(rgb) / grey(weight))


def ink(plane: Plane, width: float, strength: float) -> Plane:
    """Dark outlines as a mask: where the picture is darker than its surroundings or steps down."""
    fine = blur(plane, width)
    wide = blur(plane, width * 2.2)
    return f32(np.clip(np.tanh(np.maximum(wide - fine - 0.006, 0) * strength), 0, 1))


def edges(plane: Plane, width: float) -> Plane:
    """Steepness of the picture, per pixel of a 256-pixel photo."""
    p = blur(plane, width)
    gx = cv2.Sobel(p, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    gy = cv2.Sobel(p, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    return f32(np.sqrt(gx * gx + gy * gy) * scale_of(plane))  # cv2.magnitude rounds differently by memory alignment


def to_hsv(image: Image) -> Image:
    """Hue in degrees, saturation and value in [0, 1]."""
    out: Image = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    return out


def from_hsv(hsv: Image) -> Image:
    """Back from hue, saturation, value."""
    out: Image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return out


@lru_cache(maxsize=32)
def _hue_table(centre: float, half: float, soft: float) -> npt.NDArray[np.float32]:
    d = np.abs((np.arange(721) / 2 - centre + 180) % 360 - 180)
    return smoothstep(f32(-d), -half - soft, -half)


def hue_mask(hsv: Image, centre: float, half: float, soft: float, low: float, high: float, dark: float = 0.05) -> Plane:
    """Where the hue is within half degrees of centre, softly; greys and blacks are left out."""
    hue = np.take(_hue_table(centre, half, soft), np.asarray(hsv[..., 0] * 2, dtype=np.intp), mode="clip")
    sat = smoothstep(hsv[..., 1], low, high)
    val = smoothstep(hsv[..., 2], dark, dark + 0.15)
    return f32(hue * sat * val)


def vegetation(image: Image) -> Plane:
    """Where leaves and grass are, softly."""
    return blur(hue_mask(to_hsv(image), 98, 48, 18, 0.10, 0.30, 0.10), 0.8)
