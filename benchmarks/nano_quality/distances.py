"""Distances between pictures, and between sets of pictures."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ip2p_cli.measures import to_lab

PATCH, PROJECTIONS, SAMPLES = 8, 128, 6000


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [0, 1]."""
    return -10 * math.log10(max(float(np.mean((a - b) ** 2)), 1e-10))


def spread(pictures: list[np.ndarray]) -> float:
    """Mean absolute difference of all pairs of pictures, of 255."""
    pairs = [(a, b) for i, a in enumerate(pictures) for b in pictures[:i]]
    return 255 * float(np.mean([np.abs(a - b).mean() for a, b in pairs]))


def colour_distance(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    """CIELAB distance of the mean colours of two sets of pictures."""
    means = [
        np.mean([to_lab(p.astype(np.float32)).mean(axis=(0, 1)) for p in group], axis=0) for group in (first, second)
    ]
    return float(np.linalg.norm(means[0] - means[1]))


def patches(pictures: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Random high-pass patches of 8 x 8 px, (SAMPLES, 64): luminance without the mean of the patch's surroundings."""
    found = []
    for picture in pictures:
        light = cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_RGB2GRAY)
        fine = light - cv2.GaussianBlur(light, (0, 0), 4)
        windows = np.lib.stride_tricks.sliding_window_view(fine, (PATCH, PATCH))
        rows = rng.integers(0, windows.shape[0], SAMPLES // len(pictures))
        columns = rng.integers(0, windows.shape[1], SAMPLES // len(pictures))
        found.append(windows[rows, columns].reshape(-1, PATCH * PATCH))
    return np.concatenate(found)


def sliced_wasserstein(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> float:
    """Sliced Wasserstein-1 distance of two sets of vectors of the same number."""
    directions = rng.standard_normal((first.shape[1], PROJECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    return float(np.abs(np.sort(first @ directions, axis=0) - np.sort(second @ directions, axis=0)).mean())
