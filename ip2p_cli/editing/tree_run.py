"""The edits of one photo: each step works on what the one before left, as a latent or as a picture.

What a step leaves is kept under its key (see `step_cache`), so that only what changed is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.editing.auto_masks import AutoMask, auto_mask
from ip2p_cli.editing.choose import Chooser
from ip2p_cli.editing.engine import Engine, Row
from ip2p_cli.editing.model_size import ModelSizeEdit, Prepared, as_image, as_tensor, finish, prepare
from ip2p_cli.editing.photo_masks import PhotoMasks
from ip2p_cli.editing.records import made, made_earlier, step_record
from ip2p_cli.editing.step_cache import StepCache, StepResult
from ip2p_cli.editing.step_maker import StepMaker
from ip2p_cli.editing.tree import EditTree, Step, key_of
from ip2p_cli.editing.tuning import Tuned
from ip2p_cli.errors import OutputError, UsageError
from ip2p_cli.io.images import Picture
from ip2p_cli.io.provenance import MAX_PARENTS
from ip2p_cli.io.sizes import Fit, to_model
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.types import EditRequest, OutputSize, ResolvedEditSettings

Earlier = Mapping[tuple[str, int], Mapping[str, Any]]


class TreeRun:
    """The edits of one photo. Steps are made when they are asked for, each once.

    Args:
        tree: The edits.
        picture: The photo.
        engine: Runs the models.
        cache: Keeps what steps leave.
        chooser: Chooses among the seeds of a step.
        earlier: What the index of an earlier run says of its steps, by place, for those before `--from`.

    Raises:
        UsageError: `--from` has nothing to continue from.
    """

    def __init__(
        self,
        tree: EditTree,
        picture: Picture,
        engine: Engine,
        cache: StepCache,
        chooser: Chooser,
        earlier: Earlier | None = None,
    ) -> None:
        self.tree, self.picture, self.batch = tree, picture, "1/1"
        self._engine, self._cache = engine, cache
        self._maker = StepMaker(tree, engine, chooser, lambda step, done: self.on_step(step, done))
        self._before: dict[tuple[str, int], Step | None] = {}
        self._results: dict[tuple[str, int], StepResult] = {}
        self._prepared: dict[tuple[str, int], Prepared] = {}
        self._earlier: dict[tuple[str, int], Mapping[str, Any]] = {}
        self._keys: dict[tuple[str, int], str] = {}
        self._starts: dict[tuple[str, int], ImageLatent] = {}
        self._layers: dict[tuple[tuple[str, int], OutputSize], tuple[Fit, ModelSizeEdit]] = {}
        self.masks = PhotoMasks(tree, picture, self._auto_mask)
        self.on_step: Callable[[Step, int], None] = lambda step, done: None
        self.notes: list[str] = []
        for path in tree.paths:
            for step in path:
                self._add(step, path[step.position - 1] if step.position else None, earlier or {})

    def _add(self, step: Step, before: Step | None, earlier: Earlier) -> None:
        if step.place in self._before:
            return
        self._before[step.place] = before
        if step.position < self.tree.first:
            if step.place not in earlier:
                raise UsageError("--from: this folder holds no earlier run of the chain: leave --from out")
            self._earlier[step.place] = earlier[step.place]
            self._keys[step.place] = str(earlier[step.place].get("key"))

    def key(self, step: Step) -> str:
        """Return a hash of everything that decides a step's result, see `tree.key_of`."""
        if step.place not in self._keys:
            before = self._before[step.place]
            self._keys[step.place] = key_of(self.key(before) if before else self.picture.digest, step, self.tree)
        return self._keys[step.place]

    def before(self, step: Step) -> Step | None:
        """Return the step that a step works on; None for the first, which works on the photo."""
        return self._before[step.place]

    def tuned(self, step: Step) -> Tuned | None:
        """Return what was tried for a step that was made, or read from the cache, by now."""
        result = self._results.get(step.place)
        return result.tuned if result is not None else None

    def settings(self, step: Step) -> ResolvedEditSettings:
        """Return the settings of a step, those that were kept if it was tuned by now."""
        tuned = self.tuned(step)
        return step.settings if tuned is None else replace(step.settings, **tuned.settings)

    def request(self, step: Step) -> EditRequest:
        """Return a step as a request on the photo."""
        return EditRequest(
            source=self.picture.rgb,
            instruction=step.words,
            settings=self.settings(step),
            digest=self.picture.digest,
            position=step.position,
        )

    def row(self, step: Step) -> Row:
        """Return a first step as a row of a batch, with the photo at the model's size."""
        return self.masks.on_row(step, Row(prepared=self._prepare(step), key=self.picture.digest))

    def accept(self, step: Step, latent: torch.Tensor) -> None:
        """Take the result of a first step that ran in a batch: an unscaled latent (1, C, h, w)."""
        prepared = self._prepare(step)
        self._results[step.place] = StepResult(
            fit=prepared.fit, model=step.latent_space, latent=latent, memory=self._engine.memory
        )

    def edit(self, step: Step, size: OutputSize | None = None) -> tuple[Fit, ModelSizeEdit]:
        """Return a step's result at the model's size; runs the model if needed.

        Args:
            step: The step.
            size: For a picture of which size; None for that of the step's settings.
        """
        size = size or step.settings.output_size
        if (step.place, size) in self._layers:
            return self._layers[step.place, size]
        result, before = self.result(step), self._before[step.place]
        source = edited = self._pixels(step, result)
        if size != "model":  # otherwise the photo is not needed
            source = self._engine.source(step.choice, Row(prepared=self._prepare(step), key=self.picture.digest))
        if self._engine.memory is not None:  # perhaps memory was too short only now
            self._results[step.place] = replace(result, memory=self._engine.memory)
        edit = ModelSizeEdit(source=source, edited=edited)
        if step.mask is not None:
            edit = self.masks.on_edit(step, edit, self.edit(before, size) if before is not None else None)
        if self.masks:
            self._layers[step.place, size] = result.fit, edit
        return result.fit, edit

    def record(self, step: Step, size: tuple[int, int], folder: Path | None = None) -> dict[str, Any]:
        """Return how a step's picture was made, with the steps before it as parents.

        Args:
            step: The step.
            size: Of the picture.
            folder: The picture's, for paths to masks.
        """
        line: list[Step] = []
        current: Step | None = step
        while current is not None:
            line.insert(0, current)
            current = self._before[current.place]
        own = [self._own_record(step, folder) for step in line]
        record = {**own[-1], "size": list(size)}
        parents = [*self.picture.parents, *own[:-1]][-MAX_PARENTS:]
        return {**record, "parents": parents} if parents else record

    def made(self, step: Step, folder: Path | None = None) -> dict[str, Any]:
        """Return how a step was made, see `records.made`."""
        if step.place in self._earlier:
            return made_earlier(self._earlier[step.place])
        mask = self.masks.record(step, folder) if step.mask is not None else None
        return made(step, self._results.get(step.place) or self.result(step), mask)

    def _auto_mask(self, step: Step) -> AutoMask:
        """Find where the model would edit what a step starts from; says so where that is everywhere."""
        row = self._start(step)
        found = auto_mask(self._engine.relevance(step.choice, row), self.picture.rgb, row.prepared.fit)
        if found.mask is None:
            self.notes.append(f"“{step.words}” is a global edit, so --auto-mask leaves it unmasked")
        return found

    def _own_record(self, step: Step, folder: Path | None) -> dict[str, Any]:
        result = self._results.get(step.place)
        memory = result.memory if result is not None else None
        return step_record(step, self.made(step, folder), self.tree, self.picture, self.batch, memory)

    def _prepare(self, step: Step) -> Prepared:
        if step.place not in self._prepared:
            self._prepared[step.place] = prepare(self.request(step), step.choice.spec)
        return self._prepared[step.place]

    def result(self, step: Step) -> StepResult:
        """Return what a step left: made now, before, or by an earlier run."""
        if step.place in self._results:
            return self._results[step.place]
        result = self._cache.read(self.key(step)) if self._cache.folder is not None else None
        if result is None and step.position < self.tree.first:
            raise UsageError(f"--from: what edit {step.position + 1} made is no longer in the cache: leave --from out")
        if result is None:
            result = self._make(step)
            try:
                if self._cache.folder is not None:
                    self._cache.write(self.key(step), result)
            except (OSError, OutputError) as error:
                self.notes.append(f"cannot keep what edit {step.position + 1} made ({error})")
        self._results[step.place] = result
        return result

    def _make(self, step: Step) -> StepResult:
        row = self.masks.on_row(step, self._start(step))
        if not isinstance(self._engine.editor(step.choice), Adapter):
            row = replace(row, start=self._engine.encode(step.choice, row))
            if step.mask is not None and row.start is not None:
                self._starts[step.place] = row.start
        return self._maker.make(step, row, step.latent_space, self.masks.at(step))

    def _start(self, step: Step) -> Row:
        """What a step starts from: the photo, or what the step before left."""
        before = self._before[step.place]
        previous = self.result(before) if before else None
        prepared, model = self._prepare(step), step.latent_space
        if previous is not None and previous.fit.seen != prepared.fit.seen:
            raise UsageError(
                f"edit {step.number} sees another part of the photo than the one before: use --resize-mode pad"
            )
        start = None
        if before is not None and previous is not None:
            start = self._handed_over(step, previous, prepared.fit, model)
            if start is None:  # as a picture, encoded anew
                picture = self._small_picture(before, previous)
                prepared = replace(prepared, pixels=as_tensor(to_model(picture, replace(prepared.fit, seen=None))))
        return Row(prepared=prepared, start=start, key=self.picture.digest if before is None else None)

    def _small_picture(self, step: Step, result: StepResult) -> Image.Image:
        """What a step left, as a picture at the model's size."""
        if step.mask is None:
            return result.picture or as_image(self._pixels(step, result))
        request = self.request(step)
        request = replace(request, settings=replace(request.settings, output_size="model"))
        return finish(request, *self.edit(step, "model"))

    def _handed_over(self, step: Step, previous: StepResult, fit: Fit, model: str) -> ImageLatent | None:
        """The latent that a step starts from, if it needs no encoding; outside a mask what was there before it."""
        if self.tree.handoff == "pixels" or previous.latent is None or (previous.model, previous.fit) != (model, fit):
            return None
        editor, before, latent = self._engine.editor(step.choice), self._before[step.place], previous.latent
        assert not isinstance(editor, Adapter)
        if before is not None and before.mask is not None:
            if before.place not in self._starts:
                self._starts[before.place] = self._engine.encode(before.choice, self._start(before))
            latent = self.masks.mixed(before, latent, self._starts[before.place].tensor, fit)
        return ImageLatent(latent.to(editor.device))

    def _pixels(self, step: Step, result: StepResult) -> torch.Tensor:
        """A result as (3, h, w) in [0, 1], on the CPU."""
        if result.latent is None:
            assert result.picture is not None
            return result.pixels if result.pixels is not None else as_tensor(result.picture)
        return self._engine.decode(step.choice, result.fit, result.latent)
