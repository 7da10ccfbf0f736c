"""Training data: batches as tensors, read ahead by other processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ip2p_cli.datagen.dataset.opening import open_for_training
from ip2p_cli.datagen.dataset.stream import Originals, PairStream, Photo, split_indices
from ip2p_cli.datagen.look_pairs import CropSpec, LooksStream, Stream, list_photos, read_photo, split_photos
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.folders import expand_home
from ip2p_cli.io.train_recipes import TrainRecipe
from ip2p_cli.models.nano.unet import places
from ip2p_cli.training.schedule import stage_at


class TensorBatch(NamedTuple):
    """A micro-batch.

    Attributes:
        before: (N, 3, H, W) in [-1, 1].
        after: The same.
        instructions: N instructions.
        noise: The noise (N, C, h, w) that the looks were drawn from, without its offset; None for other pairs.
        numbers: The numbers (N, C) that they were drawn from.
        windows: Where the crops lie in their photos, (N, 4): `look_pairs.TrainingPair.window`.
    """

    before: Tensor
    after: Tensor
    instructions: Sequence[str]
    noise: Tensor | None = None
    numbers: Tensor | None = None
    windows: Tensor | None = None


def places_of(batch: TensorBatch, latents: Tensor) -> Tensor:
    """Return where the cells of the latents (N, C, h, w) of crops lie in their photos, see `nano.unet.places`."""
    assert batch.windows is not None
    top, left, height, width = batch.windows.T.reshape(4, -1, 1, 1)
    y, x = (places(*latents.shape[-2:]) + 1) / 2  # within the crop
    return torch.stack([(top + height * y) * 2 - 1, (left + width * x) * 2 - 1], dim=1).to(latents)


@dataclass(frozen=True, kw_only=True)
class TrainData:
    """What a run learns from: pairs and their photos, each photo a function of its shorter side in pixels."""

    stream: Stream
    photos: Sequence[Photo]
    held_out: Sequence[Photo]
    description: str


def open_data(recipe: TrainRecipe) -> TrainData:
    """Open the data that the recipe names: looks:FOLDER, or a dataset in any layout that `open_dataset` knows.

    Raises:
        UsageError: The recipe names no data, or asks for what the data cannot do.
        InputError: The data cannot be read.
    """
    kind, _, folder = (recipe.data or "").partition(":")
    if kind == "looks" and folder:
        return _looks(recipe, folder)
    path = expand_home(recipe.data or "")
    if not recipe.data or not path.exists():
        given = f", not {recipe.data!r}" if recipe.data else ""
        raise UsageError(
            f"no training data: give --data looks:FOLDER, with a folder of photos, or a dataset's folder{given}."
        )
    if recipe.emphasis:
        raise UsageError(
            f"emphasis is for looks, and {path} is a dataset of pairs: take it out of the recipe, or give --data "
            "looks:FOLDER."
        )
    pairs = open_for_training(path)
    training, held_out = split_indices(pairs, recipe.hold_out_every)
    if not len(training):
        raise UsageError(f"{path}: hold_out_every {recipe.hold_out_every} leaves no pair to train on; give 0.")
    return TrainData(
        stream=PairStream(pairs, training, seed=recipe.seed),
        photos=Originals(pairs, training),
        held_out=Originals(pairs, held_out),
        description=f"{len(training)} pairs of a dataset",
    )


def _looks(recipe: TrainRecipe, folder: str) -> TrainData:
    photos, held_out = split_photos(list_photos(expand_home(folder)), recipe.hold_out_every)
    if not photos:
        raise UsageError(f"{folder}: hold_out_every {recipe.hold_out_every} leaves no photo to train on; give 0.")
    return TrainData(
        stream=LooksStream(photos, seed=recipe.seed, emphasis=recipe.emphasis, subjects=recipe.subjects),
        photos=[partial(read_photo, path) for path in photos],
        held_out=[partial(read_photo, path) for path in held_out],
        description=f"{len(photos)} photos with painted looks",
    )


class Batches(Dataset[TensorBatch | InputError]):
    """The micro-batches of a run. Item i is the same whoever reads it and in whatever order."""

    def __init__(self, recipe: TrainRecipe, stream: Stream, *, rank: int) -> None:
        """Make the batches of the process with number `rank`."""
        self.recipe, self.stream, self.rank = recipe, stream, rank

    def __len__(self) -> int:
        """Return the number of micro-batches in the whole run."""
        return self.recipe.total_steps * self.recipe.accumulate

    def __getitem__(self, index: int) -> TensorBatch | InputError:
        """Read micro-batch `index`; an error is returned, as one that a reader raises has its traceback in its text."""
        step = index // self.recipe.accumulate
        stage = stage_at(self.recipe, step)
        height, width = stage.shapes[step % len(stage.shapes)]
        crop = CropSpec(height=height, width=width, side=stage.side, per_photo=stage.cuts, regions=stage.regions)
        try:
            pairs = self.stream.batch(index, stage.batch, crop, self.rank)
        except InputError as error:
            return error
        before, after = (
            torch.from_numpy(x).permute(0, 3, 1, 2).contiguous() * 2 - 1 for x in (pairs.before, pairs.after)
        )
        if not self.recipe.loss.drawn_noise:
            return TensorBatch(before, after, pairs.instructions)
        noise, numbers = (None if x is None else torch.from_numpy(x) for x in (pairs.fields, pairs.numbers))
        return TensorBatch(before, after, pairs.instructions, noise, numbers, torch.tensor(pairs.windows))

    def read(self, first_step: int, readers: int) -> Generator[TensorBatch, None, None]:
        """Yield the micro-batches from `first_step` on, read ahead by `readers` processes (0: by this process).

        Raises:
            InputError: The data cannot be read.
        """
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(first_step * self.recipe.accumulate, len(self)),
            num_workers=readers,
            prefetch_factor=8 if readers else None,
            worker_init_fn=_set_up_reader,
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
    """Stop OpenCV's threads while processes are forked: the child would wait for ever for threads it does not have."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _set_up_reader(_: int) -> None:
    cv2.setNumThreads(1)
    with contextlib.suppress(OSError, AttributeError):
        # Without a GPU a reader would slow the training's threads down: give it a lower priority.
        os.nice(3)
        # Ctrl-C goes to the whole process group, but the training process needs its reader to finish the step.
        os.setpgrp()
