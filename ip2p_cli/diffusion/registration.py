"""Registration: undo the shift and the zoom that some editing models add to a picture.

The transform is estimated on the strength of edges, which most edits leave where it is, whatever they do to colours:
phase correlation finds the shift for a few scales, and ECC (Evangelidis and Psarakis 2008) refines the best of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

Plane = npt.NDArray[np.float32]

_SCALES = np.linspace(0.96, 1.04, 9)
_LARGEST_SHIFT, _LARGEST_SCALE, _LARGEST_TURN = 0.08, 0.06, math.radians(2)
# Of the edges' correlation: below it an edit has drawn the picture anew, and where its things went cannot be told.
_LEAST_FIT = 0.35
# A transform that moves no pixel by more than this is left alone: resampling would cost more than it mends.
_NEGLIGIBLE = 0.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Registration:
    """How an edit lies over its photo.

    Attributes:
        matrix: (2, 3): from a point (x, y, 1) of the photo to the point of the edit that shows the same.
        fit: Correlation of the two pictures' edges after registration, at most 1.
    """

    matrix: npt.NDArray[np.float64]
    fit: float

    @property
    def scale(self) -> float:
        """The zoom of the edit: over 1 where its things are larger."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    def undo(self, edit: torch.Tensor) -> torch.Tensor:
        """Return the edit (3, h, w) as it lies over the photo; its border is repeated where nothing is known."""
        picture = np.ascontiguousarray(edit.permute(1, 2, 0).numpy(), np.float32)
        moved = cv2.warpAffine(
            picture,
            self.matrix,
            picture.shape[1::-1],
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return torch.from_numpy(moved).permute(2, 0, 1).clamp(0, 1).contiguous()


def aligned(photo: torch.Tensor, edit: torch.Tensor) -> torch.Tensor:
    """Return an edit as it lies over its photo, both (3, h, w) in [0, 1], or unmoved where `register` finds nothing."""
    found = register(photo, edit)
    return edit if found is None else found.undo(edit)


def register(photo: torch.Tensor, edit: torch.Tensor) -> Registration | None:
    """Estimate the similarity transform between a photo and its edit, both (3, h, w) in [0, 1].

    Returns:
        The transform; None where the edit lies over the photo already, or where the fit is poor.
    """
    first, second = _edges(photo), _edges(edit)
    matrix = _refined(first, second, _coarse(first, second))
    if matrix is None:
        return None
    height, width = first.shape
    corners = np.array([[x, y, 1.0] for x in (0, width - 1) for y in (0, height - 1)])
    moved = np.abs(corners @ matrix.T - corners[:, :2]).max()
    if moved < _NEGLIGIBLE or not _is_plausible(matrix, height, width):
        return None
    fit = _correlation(first, _warped(second, matrix))
    if fit < _LEAST_FIT or fit <= _correlation(first, second):
        return None
    return Registration(matrix=matrix, fit=fit)


def _edges(picture: torch.Tensor) -> Plane:
    """The strength of edges, (h, w), evened out so that faint ones count too."""
    light = cv2.cvtColor(np.ascontiguousarray(picture.permute(1, 2, 0).numpy(), np.float32), cv2.COLOR_RGB2GRAY)
    light = cv2.GaussianBlur(light, (0, 0), 1.8)
    strength = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1))
    around = cv2.GaussianBlur(strength, (0, 0), min(light.shape) / 16)
    return np.asarray(strength / (around + 0.3 * strength.mean() + 1e-4), np.float32)


def _coarse(first: Plane, second: Plane) -> npt.NDArray[np.float64]:
    """The shift and the scale, among a few, with the highest correlation."""
    height, width = first.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    best, best_fit = np.eye(2, 3), -1.0
    for scale in _SCALES:
        about_centre = _similarity(scale, 0.0, (width - 1) / 2 * (1 - scale), (height - 1) / 2 * (1 - scale))
        # Copies, since OpenCV applies the window to what it is given where that has a size it can transform as it is.
        (x, y), _ = cv2.phaseCorrelate(first.copy(), _warped(second, about_centre), window)
        matrix = about_centre.copy()
        matrix[:, 2] += scale * np.array([x, y])
        fit = _correlation(first, _warped(second, matrix))
        if fit > best_fit:
            best, best_fit = matrix, fit
    return best


def _refined(first: Plane, second: Plane, start: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """The similarity nearest to the affine transform that ECC finds; None where it finds none."""
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-6)
    try:
        _, affine = cv2.findTransformECC(
            first, second, start.astype(np.float32), cv2.MOTION_AFFINE, criteria, np.ones_like(first, np.uint8), 5
        )
    except cv2.error:  # it did not converge
        return None
    height, width = first.shape
    centre = np.array([(width - 1) / 2, (height - 1) / 2, 1])
    a, b = (affine[0, 0] + affine[1, 1]) / 2, (affine[1, 0] - affine[0, 1]) / 2
    x, y = affine.astype(np.float64) @ centre
    return np.array([[a, -b, x - a * centre[0] + b * centre[1]], [b, a, y - b * centre[0] - a * centre[1]]], np.float64)


def _similarity(scale: float, turn: float, x: float, y: float) -> npt.NDArray[np.float64]:
    a, b = scale * math.cos(turn), scale * math.sin(turn)
    return np.array([[a, -b, x], [b, a, y]])


def _is_plausible(matrix: npt.NDArray[np.float64], height: int, width: int) -> bool:
    scale, turn = math.hypot(matrix[0, 0], matrix[1, 0]), math.atan2(matrix[1, 0], matrix[0, 0])
    centre = np.array([(width - 1) / 2, (height - 1) / 2, 1])
    shift = np.abs(matrix @ centre - centre[:2]) / (width, height)
    return abs(scale - 1) < _LARGEST_SCALE and abs(turn) < _LARGEST_TURN and float(shift.max()) < _LARGEST_SHIFT


def _warped(plane: Plane, matrix: npt.NDArray[np.float64]) -> Plane:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(plane, matrix, plane.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _correlation(first: Plane, second: Plane) -> float:
    """Correlation of two planes inside a margin, which a shift does not reach."""
    height, width = first.shape
    y, x = height // 12, width // 12
    a, b = (plane[y : height - y, x : width - x] for plane in (first, second))
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0
