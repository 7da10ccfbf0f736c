"""Batches for training as tensors, read ahead by another process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..datagen.looks.stream import Cut, LooksStream
from ..io.train_recipes import TrainRecipe
from .schedule import stage_at


class TensorBatch(NamedTuple):
    """before, after: (N, 3, H, W) in [-1, 1]."""

    before: Tensor
    after: Tensor
    instructions: tuple[str, ...]


class LooksBatches(Dataset[TensorBatch]):
    """Item i is micro-batch i of the whole run, the same whoever reads it and in whatever order."""

    def __init__(self, recipe: TrainRecipe, photos: Sequence[Path], *, rank: int) -> None:
        self.recipe, self.rank = recipe, rank
        self.stream = LooksStream(photos, seed=recipe.seed)

    def __len__(self) -> int:
        """Micro-batches in the whole run."""
        return self.recipe.total_steps * self.recipe.accumulate

    def __getitem__(self, index: int) -> TensorBatch:
        """Micro-batch `index`."""
        step = index // self.recipe.accumulate
        stage = stage_at(self.recipe, step)
        height, width = stage.shapes[step % len(stage.shapes)]
        cut = Cut(height=height, width=width, side=stage.side, per_photo=stage.cuts)
        pairs = self.stream.batch(index, stage.batch, cut, self.rank)
        before, after = (
            torch.from_numpy(x).permute(0, 3, 1, 2).contiguous() * 2 - 1 for x in (pairs.before, pairs.after)
        )
        return TensorBatch(before, after, pairs.instructions)

    def reader(self, first_step: int) -> DataLoader[TensorBatch]:
        """The micro-batches from `first_step` on, in order."""
        order = range(first_step * self.recipe.accumulate, len(self))
        # On a machine without a GPU the reader would stall the training's threads: it takes what they leave over.
        return DataLoader(
            self, batch_size=None, sampler=order, num_workers=1, prefetch_factor=8, worker_init_fn=_step_back
        )


def _step_back(_: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)
    cv2.setNumThreads(1)
