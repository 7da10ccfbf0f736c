"""Edits of one photo without files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PIL import Image

from ip2p_cli.editing.engine import Engine
from ip2p_cli.editing.item_verdicts import ItemVerdicts
from ip2p_cli.editing.judging import Judge
from ip2p_cli.editing.model_size import finish
from ip2p_cli.editing.step_cache import StepCache
from ip2p_cli.editing.tree import Step
from ip2p_cli.editing.tree_run import TreeRun
from ip2p_cli.editing.unknown import Resolved
from ip2p_cli.io.images import Picture
from ip2p_cli.io.inputs import InputPhoto
from ip2p_cli.types import EditResult


def run_in_memory(
    resolved: Resolved,
    picture: Picture,
    engine: Engine,
    judge: Judge,
    on_step: Callable[[int, int], None] | None = None,
) -> list[EditResult]:
    """Run the edits of a photo.

    Args:
        resolved: The edits.
        picture: The photo.
        engine: Runs the models.
        judge: Judges the results, and chooses among several.
        on_step: Called with (denoising steps done, all of them).

    Returns:
        A result for each edit, in the order of the tree's paths.
    """
    tree = resolved.tree
    run = TreeRun(tree.for_photo(InputPhoto(path=picture.path)), picture, engine, StepCache(None), judge.chooser)
    total = sum(step.settings.steps * step.best_of for step in tree.steps)
    done: dict[tuple[str, int], int] = {}

    def report(step: Step, steps: int) -> None:
        done[step.place] = steps
        if on_step is not None:
            on_step(sum(done.values()), total)

    run.on_step = report
    results = []
    images: dict[tuple[str, int], Image.Image] = {}
    verdicts = ItemVerdicts(run, judge, photo=lambda: picture.rgb, picture=lambda step: images[step.place])
    engine.begin_group()
    for step in tree.steps:
        began = time.monotonic()
        fit, edit = run.edit(step)
        images[step.place] = image = finish(run.request(step), fit, edit)
        verdict = verdicts.of(step)
        assert verdict is not None
        results.append(
            EditResult(
                request=replace(run.request(step), instruction=step.instruction),
                image=image,
                latent=run.result(step).latent,
                model=step.choice.spec.name,
                seconds=time.monotonic() - began,
                verdict=verdict,
                extra={"input_sha256": picture.digest, **resolved.facts(step), **_more_facts(run, step)},
            )
        )
    return results


def _more_facts(run: TreeRun, step: Step) -> dict[str, Any]:
    tuned = run.tuned(step)
    masked = {"mask": run.masks.record(step, None)} if step.mask is not None else {}
    return masked | ({"auto_tune": tuned.facts} if tuned is not None else {})
