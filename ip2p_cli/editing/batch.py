"""Single edits that go through the model together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ip2p_cli.editing.engine import Engine, Row
from ip2p_cli.editing.tree import EditTree
from ip2p_cli.editing.tree_run import TreeRun
from ip2p_cli.types import EditRequest


def run_batch(
    engine: Engine,
    trees: Sequence[EditTree],
    runs: Sequence[TreeRun | None],
    on_step: Callable[[int], None],
    *,
    is_one_photo: bool = False,
) -> None:
    """Run single edits of one model, padded size, sampler and step count.

    Args:
        engine: Runs the models.
        trees: The edits, one a place of the batch.
        runs: The photo's run for each place; None for an item that is done, or that could not be read. It keeps its
            place, so that a job that is continued runs batches of the same shape: the shape decides the last bits.
        on_step: Called with the denoising steps done.
        is_one_photo: Whether all items are edits of one photo; then what they share stays shared.
    """
    like = next(run for run in runs if run is not None)
    rows = [
        _filler(tree, like, is_one_photo) if run is None else run.row(tree.steps[0])
        for tree, run in zip(trees, runs, strict=True)
    ]
    latents = engine.sample(trees[0].steps[0].choice, rows, on_step=lambda done, _: on_step(done))
    for place, (tree, run) in enumerate(zip(trees, runs, strict=True)):
        if run is not None:
            run.batch = f"{place + 1}/{len(runs)}"
            run.accept(tree.steps[0], latents[place])


def _filler(tree: EditTree, like: TreeRun, is_one_photo: bool) -> Row:
    """Keep the place of an item that is not worked on, with pixels of the right size."""
    step, prepared = tree.steps[0], like.row(like.tree.steps[0]).prepared
    request = replace(prepared.request, instruction=step.words, settings=step.settings)
    if is_one_photo:
        return Row(prepared=replace(prepared, request=request), key=like.picture.digest)
    grey = torch.full_like(prepared.pixels, 0.5)
    request = EditRequest(source=prepared.request.source, instruction="", settings=step.settings)
    return Row(prepared=replace(prepared, request=request, pixels=grey))
