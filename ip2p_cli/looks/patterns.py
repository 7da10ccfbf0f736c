"""Patterns that looks are made of: grain, hatching, light from a side."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from ip2p_cli.looks import tones
from ip2p_cli.looks.base import Pixels, Plane


def speckle(fields: npt.NDArray[np.float32], image: Pixels | Plane) -> Plane:
    """Grain finer than a cell: four fields give the four quarters of every cell, sixteen fields its sixteen pixels."""
    count, rows, columns = fields.shape
    n = math.isqrt(count)
    parts = fields.reshape(n, n, rows, columns).transpose(2, 0, 3, 1).reshape(n * rows, n * columns)
    height, width = image.shape[:2]
    return tones.f32(cv2.resize(np.ascontiguousarray(parts), (width, height), interpolation=cv2.INTER_CUBIC))


def hatch(image: Pixels | Plane, right: int, down: int, phase: float | Plane = 0.0) -> Plane:
    """Parallel lines that repeat in every cell of 4 pixels, so that they are the same everywhere; values in [0, 1]."""
    s = tones.scale_of(image)
    y = (np.arange(image.shape[0], dtype=np.float32) + 0.5)[:, None] / s
    x = (np.arange(image.shape[1], dtype=np.float32) + 0.5)[None, :] / s
    return tones.f32(0.5 + 0.5 * np.cos((x * right + y * down) * np.float32(np.pi / 2) + phase))


def spot(image: Pixels | Plane, x: float, y: float, size: float) -> Plane:
    """Round spot of light, 1 at (x, y); the position and the size are shares of the width and the height."""
    h, w = image.shape[:2]
    column = np.exp(-((((np.arange(h) + 0.5) / h - y) / size) ** 2))
    row = np.exp(-((((np.arange(w) + 0.5) / w - x) / size) ** 2))
    return tones.f32(np.outer(column, row))


def toward(image: Pixels | Plane, x: float) -> Plane:
    """Light from the side, as a row (1, W): 1 at the edge that the sun at x is nearer to, -1 at the other one.

    The values shrink to 0 as x comes near the middle, so that they change smoothly with x.
    """
    w = image.shape[1]
    across = (np.arange(w, dtype=np.float32) + 0.5) / w * 2 - 1
    return tones.f32(across * np.clip((x - 0.5) * 3, -1, 1))[None, :]
