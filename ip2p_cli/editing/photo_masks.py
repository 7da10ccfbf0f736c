"""The masks of one photo's steps, read when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ip2p_cli.diffusion.masking import mixed
from ip2p_cli.editing.auto_masks import AutoMask
from ip2p_cli.editing.engine import Row
from ip2p_cli.editing.masks import may_change, softness
from ip2p_cli.editing.model_size import ModelSizeEdit
from ip2p_cli.editing.tree import EditTree, Step
from ip2p_cli.io.images import Picture
from ip2p_cli.io.sizes import Fit

_KEPT = 4  # at the photo's size


class PhotoMasks:
    """The masks of one photo's steps.

    Args:
        tree: The edits.
        photo: The photo.
        auto: Gives a step's automatic mask.
    """

    def __init__(self, tree: EditTree, photo: Picture, auto: Callable[[Step], AutoMask]) -> None:
        self._masks = {step.place: step.mask for step in tree.steps if step.mask is not None}
        self._steps = {step.place: step for step in tree.steps}
        self._photo, self._make_auto = photo, auto
        self._autos: dict[tuple[str, int], AutoMask] = {}
        self._at = lru_cache(maxsize=_KEPT)(self._read)

    def __bool__(self) -> bool:
        """Whether any step has a mask."""
        return bool(self._masks)

    def check(self) -> None:
        """Raise InputError, ModelError or UsageError where a mask cannot be used, before a model runs."""
        for place, mask in self._masks.items():
            if not mask.is_auto:
                self._at(place)

    def auto(self, step: Step) -> AutoMask | None:
        """Return where the model would edit, made once; None where that was not asked for."""
        if step.mask is None or not step.mask.is_auto:
            return None
        if step.place not in self._autos:
            self._autos[step.place] = self._make_auto(step)
        return self._autos[step.place]

    def of(self, step: Step) -> Image.Image:
        """Return a step's mask, mode L, at the photo's size; raises as `check`."""
        return self._at(step.place)

    def record(self, step: Step, folder: Path | None) -> dict[str, Any]:
        """Return what a record holds of a step's mask; folder: as in `StepMask.record`."""
        assert step.mask is not None
        auto = self.auto(step)
        return step.mask.record(folder) | ({} if auto is None else {"is_global": auto.mask is None})

    def at(self, step: Step) -> Image.Image | None:
        """Return the step's mask at the photo's size; None where everything may change."""
        return self.of(step) if step.place in self._masks else None

    def on_row(self, step: Step, row: Row) -> Row:
        """Return a row of a batch with the step's mask."""
        if step.mask is None:
            return row
        where = may_change(self._at(step.place), row.prepared.fit)
        return replace(row, may_change=where, mask_steps=step.mask.mask_steps)

    def on_edit(self, step: Step, edit: ModelSizeEdit, below: tuple[Fit, ModelSizeEdit] | None) -> ModelSizeEdit:
        """Return a step's result with its mask and what lies under it."""
        return replace(edit, mask=partial(self._at, step.place), below=below)

    def mixed(self, step: Step, latent: torch.Tensor, start: torch.Tensor, fit: Fit) -> torch.Tensor:
        """Return a step's latent where its mask is white, and what it started from where the mask is black."""
        return mixed(latent, start, softness(self._at(step.place), fit))

    def _read(self, place: tuple[str, int]) -> Image.Image:
        auto = self.auto(self._steps[place])
        return self._masks[place].read(self._photo, auto.mask if auto is not None else None)
