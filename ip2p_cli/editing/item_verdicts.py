"""The verdicts on the edits of one photo, from their pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from PIL import Image

from ip2p_cli.editing.judging import Judge
from ip2p_cli.editing.tree import Step, StepPath
from ip2p_cli.editing.tree_run import TreeRun
from ip2p_cli.io.sizes import fit_for
from ip2p_cli.types import Verdict


class ItemVerdicts:
    """Judges the edits of one photo, each once. An edit of a chain is compared with the picture before it.

    Args:
        run: The photo's edits.
        judge: Judges them.
        photo: Gives the photo, of any size.
        picture: Gives the picture of a step, of any size; only asked for steps that have one.
        places: Of the steps that have one; None for all.
    """

    def __init__(
        self,
        run: TreeRun,
        judge: Judge,
        *,
        photo: Callable[[], Image.Image],
        picture: Callable[[Step], Image.Image],
        places: Collection[tuple[str, int]] | None = None,
    ) -> None:
        self._run, self._judge, self._photo, self._picture = run, judge, photo, picture
        self._places = places
        self._found: dict[tuple[str, int], Verdict] = {}

    def prepare(self, steps: Sequence[Step]) -> None:
        """Find out what steps ask for, while their models are there."""
        for step in steps:
            self._judge.intent(step)

    def of(self, step: Step) -> Verdict | None:
        """Return the verdict on a step; None where it, or the one before it, has no picture of its own."""
        if step.place not in self._found:
            before = self._run.before(step)
            if not self._has_picture(step) or (before is not None and not self._has_picture(before)):
                return None
            image = self._seen(step, self._photo()) if before is None else self._picture(before)
            mask = self._run.masks.at(step)
            mask = self._seen(step, mask) if mask is not None else None
            settings = self._run.settings(step)
            self._found[step.place] = self._judge.verdict(step, image, self._picture(step), mask, settings)
        return self._found[step.place]

    def facts(self, path: StepPath) -> dict[str, Any]:
        """Return what is said of a result: the verdict on the first of its edits that is not ok, else on the last."""
        facts = facts_of_path([self.of(step) for step in path])
        tuned = self._run.tuned(path[-1])
        return facts if tuned is None else {**facts, "auto_tune": tuned.facts}

    def _has_picture(self, step: Step) -> bool:
        return self._places is None or step.place in self._places

    def _seen(self, step: Step, image: Image.Image) -> Image.Image:
        """The part of the photo, or of its mask, that the step's picture shows."""
        size, settings = self._run.picture.rgb.size, step.settings
        if settings.output_size != "model":
            return image
        seen = fit_for(size, settings, step.choice.spec.multiple).seen
        if seen is None:
            return image
        scales = [shown / full for shown, full in zip(image.size * 2, size * 2, strict=True)]
        left, top, right, bottom = (round(edge * scale) for edge, scale in zip(seen, scales, strict=True))
        part = Image.new(image.mode, (right - left, bottom - top))
        part.paste(image, (-left, -top))  # Image.crop warns of 89 megapixels
        return part


def facts_of_path(verdicts: Sequence[Verdict | None]) -> dict[str, Any]:
    """Return what is said of a result, from the verdicts on its edits; empty where there are none."""
    known = [(place, one) for place, one in enumerate(verdicts, start=1) if one is not None]
    if not known:
        return {}
    place, verdict = next(((place, one) for place, one in known if one.name != "ok"), known[-1])
    return {**verdict.facts, **({"verdict_of_edit": place} if len(verdicts) > 1 and verdict.name != "ok" else {})}
