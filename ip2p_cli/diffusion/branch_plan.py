"""Which predictions an item needs at each step, and their weights: fewer than eq. 3 where `Savings` say so."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch

from ip2p_cli.diffusion.branches import Branch, coefficients
from ip2p_cli.diffusion.savings import Savings

_NOTHING = 1e-12  # a sum of weights that cancel


class BranchPlan:
    """The plan of one item in one denoising run.

    Outside the interval of guidance there is one prediction: that with the most conditions. Where two predictions with
    neighbouring conditions agree, the one with fewer conditions is left out from then on; the other gets its weight.
    """

    def __init__(self, cfg_text: float, cfg_image: float, savings: Savings, steps: int) -> None:
        """Begin a run of `steps` with all predictions of the scales."""
        self._weights = coefficients(cfg_text, cfg_image)
        self._savings, self._steps, self._step = savings, steps, 0
        self.branches = tuple(self._weights)

    @property
    def weights(self) -> Mapping[Branch, float]:
        """The weights at this step; predictions that are not needed are left out."""
        if self._savings.is_guided(self._step, self._steps):
            return self._weights
        return {self.branches[-1]: 1.0}

    def finish_step(self, predictions: Mapping[Branch, torch.Tensor]) -> None:
        """Go to the next step, after these predictions of the step now."""
        self._step += 1
        if self._savings.agreement <= 0:
            return
        found = [branch for branch in self.branches if branch in predictions]
        for fewer, more in pairwise(found):
            if 1 - _cosine(predictions[fewer], predictions[more]) <= self._savings.agreement:
                moved = self._weights.pop(fewer, 0.0)
                self._weights[more] += moved
        self._weights = {branch: weight for branch, weight in self._weights.items() if abs(weight) > _NOTHING}


def _cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    a, b = first.double().flatten(), second.double().flatten()
    return float(torch.dot(a, b) / (a.norm() * b.norm()).clamp_min(1e-30))
