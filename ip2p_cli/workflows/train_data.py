"""Batches for training as tensors, read ahead by other processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..datagen.looks.stream import Cut, LooksStream
from ..errors import InputError
from ..io.train_recipes import TrainRecipe
from .schedule import stage_at


class TensorBatch(NamedTuple):
    """before, after: (N, 3, H, W) in [-1, 1]."""

    before: Tensor
    after: Tensor
    instructions: Sequence[str]


class LooksBatches(Dataset[TensorBatch | InputError]):
    """Item i is micro-batch i of the whole run, the same whoever reads it and in whatever order."""

    def __init__(self, recipe: TrainRecipe, photos: Sequence[Path], *, rank: int) -> None:
        """`rank`: number of the process that trains on it."""
        self.recipe, self.rank = recipe, rank
        self.stream = LooksStream(photos, seed=recipe.seed, emphasis=recipe.emphasis)

    def __len__(self) -> int:
        """Micro-batches in the whole run."""
        return self.recipe.total_steps * self.recipe.accumulate

    def __getitem__(self, index: int) -> TensorBatch | InputError:
        """Micro-batch `index`, or why there is none: an error that a reader raised would come with its traceback."""
        step = index // self.recipe.accumulate
        stage = stage_at(self.recipe, step)
        height, width = stage.shapes[step % len(stage.shapes)]
        cut = Cut(height=height, width=width, side=stage.side, per_photo=stage.cuts)
        try:
            pairs = self.stream.batch(index, stage.batch, cut, self.rank)
        except InputError as error:
            return error
        before, after = (
            torch.from_numpy(x).permute(0, 3, 1, 2).contiguous() * 2 - 1 for x in (pairs.before, pairs.after)
        )
        return TensorBatch(before, after, pairs.instructions)

    def read(self, first_step: int, readers: int) -> Generator[TensorBatch, None, None]:
        """The micro-batches from `first_step` on, in order, read ahead by `readers` processes (0: by this one)."""
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(first_step * self.recipe.accumulate, len(self)),
            num_workers=readers,
            prefetch_factor=8 if readers else None,
            worker_init_fn=_step_back,
        )
        with _without_opencv_threads():
            batches = iter(loader)
        try:
            for batch in batches:
                if isinstance(batch, InputError):
                    raise batch
                yield batch
        finally:
            del batches  # ends the readers, even while a traceback holds this frame


@contextlib.contextmanager
def _without_opencv_threads() -> Iterator[None]:
    """A process that is forked while OpenCV has threads waits for them for ever: they are not in it."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _step_back(_: int) -> None:
    cv2.setNumThreads(1)
    with contextlib.suppress(OSError, AttributeError):
        # On a machine without a GPU a reader would stall the training's threads: it takes what they leave over.
        os.nice(3)
        # Ctrl-C goes to the whole process group, but the training process needs its reader to finish the step.
        os.setpgrp()
