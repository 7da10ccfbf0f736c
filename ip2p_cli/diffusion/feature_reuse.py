"""Reuse of a UNet's deep features between steps, as DeepCache does (arXiv:2312.00858).

Features of low resolution change slowly from step to step. At every n-th step the whole UNet runs; at the steps between
them only its blocks of full resolution do, with the other blocks' outputs of the last whole run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from ip2p_cli.diffusion.guidance import WrappedUNet


@dataclass
class _Kept:
    """What a call left: its conditions, and the outputs of the deep blocks."""

    states: torch.Tensor
    condition: torch.Tensor
    outputs: dict[int, Any] = field(default_factory=dict)

    def is_for(self, sample: torch.Tensor, states: torch.Tensor) -> bool:
        """Whether a call has the same rows, in the same order: guidance may have left some out."""
        condition = _condition(sample)
        same = self.states.shape == states.shape and self.condition.shape == condition.shape
        return same and torch.equal(self.states, states) and torch.equal(self.condition, condition)


class ReusingUNet(WrappedUNet):
    """A UNet that runs whole at every `interval`-th step only."""

    def __init__(self, unet: Any, interval: int) -> None:
        """Wrap a UNet2DConditionModel; an interval of 1 reuses nothing."""
        super().__init__(unet)
        self._interval = interval
        self._deep = [*unet.down_blocks[1:], unet.mid_block, *unet.up_blocks[:-1]]
        self._step, self._call = -1, 0
        self._timestep: float | None = None
        self._kept: dict[int, _Kept] = {}

    def _predict(
        self, sample: torch.Tensor, timestep: torch.Tensor, states: torch.Tensor, added: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        if float(timestep) != self._timestep:
            self._timestep = float(timestep)
            self._step, self._call = self._step + 1, 0
        else:
            self._call += 1  # the rows of a step may take several calls
        kept = self._kept.get(self._call)
        if self._step % self._interval == 0 or kept is None or not kept.is_for(sample, states):
            kept = self._kept[self._call] = _Kept(states, _condition(sample).clone())
            blocks = _recording(self._deep, kept)
        else:
            blocks = _replaced(self._deep, kept)
        with blocks:
            return super()._predict(sample, timestep, states, added)


def _condition(sample: torch.Tensor) -> torch.Tensor:
    """The image condition in a UNet's input."""
    return sample[:, sample.shape[1] // 2 :]


@contextlib.contextmanager
def _recording(blocks: list[Any], kept: _Kept) -> Iterator[None]:
    """Keep the outputs of blocks."""

    def keep(place: int) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            kept.outputs[place] = output

        return hook

    handles = [block.register_forward_hook(keep(place)) for place, block in enumerate(blocks)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _replaced(blocks: list[Any], kept: _Kept) -> Iterator[None]:
    """Let blocks give what they gave before, without running."""
    # A module's own `forward` may already be replaced, as offloading does.
    before = [block.__dict__.get("forward") for block in blocks]
    try:
        for place, block in enumerate(blocks):
            block.forward = lambda *_, _place=place, **__: kept.outputs[_place]
        yield
    finally:
        for block, forward in zip(blocks, before, strict=True):
            if forward is None:
                del block.forward
            else:
                block.forward = forward
