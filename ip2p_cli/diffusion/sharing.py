"""Predictions of a first step that several edits share.

At the first step the latent is the initial noise. So, for one seed, e(0,0), e(I,0) and e(I,T) of eq. 3
(arXiv:2211.09800) are the same for all scales (s_T, s_I). A prediction is identified by a hash of the UNet's input.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ip2p_cli.diffusion.guidance import WrappedUNet, call_unet

_Key = tuple[bytes, ...]


class FirstSteps:
    """The predictions of the last `keep` UNet calls of first steps.

    A call is remembered with all its rows in their order. Which rows run together decides the last bits, so an edit's
    pixels do not depend on edits before it.
    """

    def __init__(self, keep: int = 8) -> None:
        self._keep = keep
        self._predictions: OrderedDict[_Key, torch.Tensor] = OrderedDict()

    def wrap(self, unet: Any) -> SharedUNet:
        """`unet` for one denoising run, sharing its first step."""
        return SharedUNet(unet, self)

    def predict(self, inputs: Sequence[torch.Tensor], call: Callable[[list[int]], torch.Tensor]) -> torch.Tensor:
        """Predictions (rows, C, h, w): equal rows are evaluated once, a remembered call not at all.

        Args:
            inputs: Everything that differs between rows, each (rows, ...).
            call: Runs the UNet on the rows with the given indices.
        """
        digests = _row_digests(inputs)
        key = tuple(dict.fromkeys(digests))
        if key in self._predictions:
            self._predictions.move_to_end(key)
        else:
            self._predictions[key] = call([digests.index(digest) for digest in key])
            while len(self._predictions) > self._keep:
                self._predictions.popitem(last=False)
        return self._predictions[key][[key.index(digest) for digest in digests]]


class SharedUNet(WrappedUNet):
    """A UNet that shares the calls of its first timestep."""

    def __init__(self, unet: Any, first_steps: FirstSteps) -> None:
        super().__init__(unet)
        self._first_steps = first_steps
        self._first_timestep: float | None = None

    def _predict(
        self, sample: torch.Tensor, timestep: torch.Tensor, states: torch.Tensor, added: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        def call(rows: list[int]) -> torch.Tensor:
            conditions = {name: value[rows] for name, value in added.items()}
            return call_unet(self._unet, sample[rows], timestep, states[rows], conditions)

        if self._first_timestep is None:
            self._first_timestep = float(timestep)
        if float(timestep) != self._first_timestep:
            return super()._predict(sample, timestep, states, added)
        times = torch.full((len(sample), 1), float(timestep), dtype=torch.float64)
        return self._first_steps.predict([times, sample, states, *added.values()], call)


def _row_digests(inputs: Sequence[torch.Tensor]) -> list[bytes]:
    hashes = [hashlib.sha256() for _ in inputs[0]]
    for tensor in inputs:
        rows = tensor.detach().contiguous().cpu().view(torch.uint8).flatten(1).numpy()
        for row_hash, row in zip(hashes, rows, strict=True):
            row_hash.update(row.tobytes())
    return [row_hash.digest() for row_hash in hashes]
