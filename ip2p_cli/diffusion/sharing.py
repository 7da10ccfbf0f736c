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

from ip2p_cli.diffusion.guidance import call_unet

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


class SharedUNet:
    """A UNet that shares the calls of its first timestep; used like the UNet itself."""

    def __init__(self, unet: Any, first_steps: FirstSteps) -> None:
        self._unet, self._first_steps = unet, first_steps
        self._first_timestep: float | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the UNet."""
        dtype: torch.dtype = self._unet.dtype
        return dtype

    @property
    def config(self) -> Any:
        """The config of the UNet."""
        return self._unet.config

    def __call__(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        *,
        encoder_hidden_states: torch.Tensor,
        added_cond_kwargs: dict[str, torch.Tensor] | None = None,
        return_dict: bool = False,
    ) -> tuple[torch.Tensor]:
        """Predict as UNet2DConditionModel does; always returns a tuple."""
        added = added_cond_kwargs or {}

        def call(rows: list[int] | slice) -> torch.Tensor:
            conditions = {name: value[rows] for name, value in added.items()}
            return call_unet(self._unet, sample[rows], timestep, encoder_hidden_states[rows], conditions)

        if self._first_timestep is None:
            self._first_timestep = float(timestep)
        if float(timestep) != self._first_timestep:
            return (call(slice(None)),)
        times = torch.full((len(sample), 1), float(timestep), dtype=torch.float64)
        return (self._first_steps.predict([times, sample, encoder_hidden_states, *added.values()], call),)


def _row_digests(inputs: Sequence[torch.Tensor]) -> list[bytes]:
    hashes = [hashlib.sha256() for _ in inputs[0]]
    for tensor in inputs:
        rows = tensor.detach().contiguous().cpu().view(torch.uint8).flatten(1).numpy()
        for row_hash, row in zip(hashes, rows, strict=True):
            row_hash.update(row.tobytes())
    return [row_hash.digest() for row_hash in hashes]
