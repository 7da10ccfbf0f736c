"""Making one step: with one seed, with the best of several, or tuned until its verdict is ok."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from PIL import Image

from ip2p_cli.editing.choose import Chooser, Chosen, rounds
from ip2p_cli.editing.engine import Engine, Row
from ip2p_cli.editing.judging import Judge
from ip2p_cli.editing.masks import at_model_size
from ip2p_cli.editing.model_size import as_image
from ip2p_cli.editing.step_cache import StepResult
from ip2p_cli.editing.tree import EditTree, Step
from ip2p_cli.editing.tuning import Tuned, tune
from ip2p_cli.errors import UsageError
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.types import ResolvedEditSettings, Verdict

Made = TypeVar("Made")
OnStep = Callable[[Step, int], None]


class StepMaker:
    """Runs the model of a step.

    Args:
        tree: The edits.
        engine: Runs the models.
        chooser: Chooses among the seeds of a step.
        on_step: Called with a step and its denoising steps that are done.
    """

    def __init__(self, tree: EditTree, engine: Engine, chooser: Chooser, on_step: OnStep) -> None:
        self._tree, self._engine, self._chooser, self._on_step = tree, engine, chooser, on_step
        self._judge = Judge(engine.editor, chooser)

    def make(self, step: Step, row: Row, model: str, mask: Image.Image | None) -> StepResult:
        """Make a step.

        Args:
            step: The step.
            row: What it starts from; encoded already, for a model of our own loop.
            model: Whose latents the result has.
            mask: Where the photo may change.
        """
        if isinstance(self._engine.editor(step.choice), Adapter):
            return self._make_adapted(step, row, model, mask)
        return self._make_sampled(step, row, model, mask)

    def _make_sampled(self, step: Step, row: Row, model: str, mask: Image.Image | None) -> StepResult:
        """Run a step in our own loop; several seeds go through the model together."""
        fit, start = row.prepared.fit, row.start
        assert start is not None
        if step.max_tries:

            def sample(settings: ResolvedEditSettings) -> torch.Tensor:
                on_step = self._of_one(step, 0)
                rows = [_with_settings(row, settings)]
                return self._engine.sample(step.choice, rows, guard=self._tree.guard, on_step=on_step)[0]

            def decoded(latent: torch.Tensor) -> Image.Image:
                return as_image(self._engine.decode(step.choice, fit, latent))

            latent, tuned = tune(step, sample, self._judging(step, row, decoded, decoded(start.tensor), mask))
            return StepResult(fit=fit, model=model, latent=latent, tuned=tuned, memory=self._engine.memory)
        latents: list[torch.Tensor] = []
        for seeds in rounds(step, row.prepared.size):
            rows = [_with_settings(row, replace(step.settings, seed=seed)) for seed in seeds]
            on_step = self._of_one(step, len(latents), len(seeds))
            latents += self._engine.sample(step.choice, rows, guard=self._tree.guard, on_step=on_step)
        result = StepResult(fit=fit, model=model, latent=latents[0], memory=self._engine.memory)
        if step.best_of == 1:
            return result
        tensors = [] if step.winner is not None else [start.tensor, *latents]
        pictures = [as_image(self._engine.decode(step.choice, fit, latent)) for latent in tensors]
        chosen = self._choose(step, pictures)
        return replace(result, latent=latents[chosen.index], chosen=chosen)

    def _make_adapted(self, step: Step, row: Row, model: str, mask: Image.Image | None) -> StepResult:
        """Run a step on a model with a way of its own: one seed after the other, pictures instead of latents."""
        if self._tree.guard != "none":
            raise UsageError(f"guard {self._tree.guard}: {step.choice.spec.name} has none: leave it out")

        def edit(settings: ResolvedEditSettings, place: int = 0) -> torch.Tensor:
            return self._engine.edit_adapted(step.choice, _with_settings(row, settings), self._of_one(step, place))

        fit = row.prepared.fit
        tuned: Tuned | None = None
        if step.max_tries:
            before = as_image(self._engine.source(step.choice, row))
            pixels, tuned = tune(step, edit, self._judging(step, row, as_image, before, mask))
            pictures = [as_image(pixels)]
        else:
            pictures = []
            for place, seed in enumerate(step.seeds):
                pixels = edit(replace(step.settings, seed=seed), place)
                pictures.append(as_image(pixels))
        result = StepResult(fit=fit, model=model, picture=pictures[0], tuned=tuned, memory=self._engine.memory)
        if step.best_of == 1:
            # In a chain the picture stands for it, so that a chain that continues from its cache gives the same.
            return result if self._tree.name is not None else replace(result, pixels=pixels)
        before = as_image(self._engine.source(step.choice, row))
        chosen = self._choose(step, [before, *pictures] if step.winner is None else [])
        return replace(result, picture=pictures[chosen.index], chosen=chosen)

    def _judging(
        self,
        step: Step,
        row: Row,
        picture: Callable[[Made], Image.Image],
        before: Image.Image,
        mask: Image.Image | None,
    ) -> Callable[[Made, ResolvedEditSettings], tuple[Verdict, float]]:
        """Return what judges a try and scores it, at the model's size."""
        small_mask = at_model_size(mask, row.prepared.fit) if mask is not None else None

        def judged(made: Made, settings: ResolvedEditSettings) -> tuple[Verdict, float]:
            after = picture(made)
            verdict = self._judge.verdict(step, before, after, small_mask, settings)
            [measured] = self._chooser.measure(lambda: self._engine.editor(step.choice), before, [after], [step.words])
            return verdict, measured.score

        return judged

    def _choose(self, step: Step, pictures: list[Image.Image]) -> Chosen:
        """The best of pictures[1:], edits of pictures[0]; or the winner that a record names."""
        if step.winner is not None:
            return Chosen(index=step.winner)
        return self._chooser.best(self._engine.editor(step.choice), pictures[0], pictures[1:], step.words)

    def _of_one(self, step: Step, done: int, count: int = 1) -> Callable[[int, int], None]:
        """Return what takes the progress of `count` seeds, after `done` others."""

        def on_step(now: int, _: int) -> None:
            self._on_step(step, done * step.settings.steps + count * now)

        return on_step


def _with_settings(row: Row, settings: ResolvedEditSettings) -> Row:
    request = replace(row.prepared.request, settings=settings)
    return replace(row, prepared=replace(row.prepared, request=request))
