"""The predictions of eq. 3 of arXiv:2211.09800 and their weights. Imports no torch."""

from __future__ import annotations

import enum
import math

from ip2p_cli.errors import UsageError


class Branch(enum.Enum):
    """The conditions of a prediction."""

    NEITHER = "e(0,0)"
    IMAGE = "e(I,0)"
    IMAGE_TEXT = "e(I,T)"


def coefficients(cfg_text: float, cfg_image: float) -> dict[Branch, float]:
    """The weights of the predictions in eq. 3 of arXiv:2211.09800; those that are zero are left out.

    Args:
        cfg_text: s_T, any finite number.
        cfg_image: s_I, any finite number.

    Returns:
        Weights that sum to 1.

    Raises:
        UsageError: A scale is not finite.
    """
    if not (math.isfinite(cfg_text) and math.isfinite(cfg_image)):
        raise UsageError(f"guidance scales must be finite numbers, not text {cfg_text}, image {cfg_image}")
    # Eq. 3: e = e(0,0) + s_I (e(I,0) - e(0,0)) + s_T (e(I,T) - e(I,0)), sorted by prediction.
    weights = {
        Branch.NEITHER: 1.0 - cfg_image,
        Branch.IMAGE: cfg_image - cfg_text,
        Branch.IMAGE_TEXT: cfg_text,
    }
    return {branch: weight for branch, weight in weights.items() if weight != 0.0}
