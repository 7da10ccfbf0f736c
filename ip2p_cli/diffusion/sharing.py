"""Predictions of a first step that several edits share, made once.

At the first step the latent is the initial noise. So, for one seed, e(0,0), e(I,0) and e(I,T) of eq. 3 are the same for
every (s_T, s_I); they are told apart here by what the UNet is given, to the byte, so that nothing can be mixed up.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import torch

_Key = tuple[bytes, ...]


class FirstSteps:
    """What UNet calls of first steps gave, the last `keep` of them.

    A call is remembered as a whole, its rows in their order: which rows ran together decides the last bits, and so an
    edit's pixels do not depend on what was made before it.
    """

    def __init__(self, keep: int = 8) -> None:
        """keep: calls remembered; those that share one should follow closely on each other."""
        self._keep = keep
        self._known: OrderedDict[_Key, torch.Tensor] = OrderedDict()

    def wrap(self, unet: Any) -> SharedUNet:
        """`unet` for one denoising run: used once, like a scheduler."""
        return SharedUNet(unet, self)

    def predict(self, unet: Any, given: list[torch.Tensor], call: Any) -> torch.Tensor:
        """The predictions (rows, C, h, w) of a call; equal rows are evaluated once, a known call not at all.

        given: what differs from row to row, each (rows, ...). call: makes the prediction from the rows of an index.
        """
        rows = _digests(given)
        first = {row: rows.index(row) for row in dict.fromkeys(rows)}
        key = tuple(first)
        if key in self._known:
            self._known.move_to_end(key)
        else:
            self._known[key] = call(unet, list(first.values()))
            while len(self._known) > self._keep:
                self._known.popitem(last=False)
        place = {row: index for index, row in enumerate(first)}
        return self._known[key][[place[row] for row in rows]]


class SharedUNet:
    """Called as the UNet is, and has its `dtype`; shares the calls of the first timestep that it sees."""

    def __init__(self, unet: Any, shared: FirstSteps) -> None:
        """unet: the UNet itself; shared: where its first predictions are kept."""
        self._unet, self._shared = unet, shared
        self._first: float | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the UNet."""
        found: torch.dtype = self._unet.dtype
        return found

    def __call__(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        *,
        encoder_hidden_states: torch.Tensor,
        added_cond_kwargs: dict[str, torch.Tensor] | None = None,
        return_dict: bool = False,
    ) -> tuple[torch.Tensor]:
        """As UNet2DConditionModel; a tuple, whatever return_dict says."""
        added = added_cond_kwargs or {}

        def call(unet: Any, rows: list[int] | slice) -> torch.Tensor:
            more = {"added_cond_kwargs": {name: value[rows] for name, value in added.items()}} if added else {}
            states = encoder_hidden_states[rows]
            output: torch.Tensor = unet(
                sample[rows], timestep, encoder_hidden_states=states, return_dict=False, **more
            )[0]
            return output

        now = float(timestep)
        self._first = now if self._first is None else self._first
        if now != self._first:
            return (call(self._unet, slice(None)),)
        time = torch.full((len(sample), 1), now, dtype=torch.float64)
        given = [time, sample, encoder_hidden_states, *added.values()]
        return (self._shared.predict(self._unet, given, call),)


def _digests(given: list[torch.Tensor]) -> list[bytes]:
    """A hash of each row of all of `given`."""
    found = [hashlib.sha256() for _ in given[0]]
    for tensor in given:
        rows = tensor.detach().contiguous().cpu().view(torch.uint8).flatten(1).numpy()
        for digest, row in zip(found, rows, strict=True):
            digest.update(row.tobytes())
    return [digest.digest() for digest in found]
