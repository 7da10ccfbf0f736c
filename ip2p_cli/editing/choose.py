"""Choosing: the best of several seeds of a step, and the order of variants. The measures are in `ranking`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ip2p_cli.editing.ranking import Measured, measure, order
from ip2p_cli.editing.tree import Step
from ip2p_cli.measures import reduced, reduced_size
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.clip import Clip, load_clip, similarities
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.nano.look_matcher import closest

_PIXELS_AT_ONCE = 8 * 512 * 512
_SMALL_MB = 200


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which of several seeds was kept.

    Attributes:
        index: Of the seed, from 0.
        scores: Each seed's, higher is better; empty if a record named the winner.
        measure: The measure's name.
    """

    index: int
    scores: tuple[float, ...] = ()
    measure: str = "named"

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Chosen:
        """Return what `vars` of one gave, back from JSON; raises KeyError, TypeError or ValueError for other data."""
        scores = tuple(float(score) for score in facts["scores"])
        return cls(index=int(facts["index"]), scores=scores, measure=str(facts["measure"]))

    def facts(self, step: Step) -> dict[str, Any]:
        """Return what a record says of it."""
        seeds = step.seeds
        return {"seed": seeds[self.index], "seeds": seeds, "scores": list(self.scores), "measure": self.measure}


class Chooser:
    """Measures edits of one photo.

    Args:
        clip: CLIP's folder, for its measure; otherwise a known look's measure, or the offline one.
        captions: What the photo and the edit show, for CLIP; otherwise the instruction stands for both.
    """

    def __init__(self, clip: Path | None = None, captions: tuple[str, str] | None = None) -> None:
        self._folder, self._captions = clip, captions

    @cached_property
    def _clip(self) -> Clip | None:
        return load_clip(self._folder) if self._folder is not None else None

    def best(
        self, editor: Editor | Adapter, before: Image.Image, edits: Sequence[Image.Image], instruction: str
    ) -> Chosen:
        """Return the best of `edits` of `before`, all of one size; of equals the first."""
        measured = self.measure(lambda: editor, before, edits, [instruction] * len(edits))
        scores = tuple(one.score for one in measured)
        name = str(measured[0].facts["measure"])
        return Chosen(index=order(scores)[0], scores=scores, measure=name)

    def measure(
        self,
        editor: Callable[[], Editor | Adapter],
        before: Image.Image,
        edits: Sequence[Image.Image],
        instructions: Sequence[str],
    ) -> list[Measured]:
        """Measure edits of one photo.

        Args:
            editor: Gives the model that made them, if it is needed.
            before: The photo.
            edits: Its edits.
            instructions: What each edit asked for.

        Returns:
            The measures, in the order of `edits`.
        """
        looks: list[str | None] = [None] * len(edits)
        if self._clip is None:
            known = _looks(editor(), instructions)
            looks = [known.get(instruction) for instruction in instructions]
        measured = measure(before, edits, looks)
        return measured if self._clip is None else self._by_clip(before, edits, instructions, measured)

    def towards(self, before: Image.Image, after: Image.Image, instruction: str) -> float | None:
        """Return CLIP's similarity of what changed and the words, -1 to 1; None without CLIP."""
        if self._clip is None:
            return None
        size = reduced_size(before.size)
        found = similarities(self._clip, _tensor(before, size), _tensor(after, size), instruction, self._captions)[0]
        return next(value for name, value in found.items() if name != "image")

    def _by_clip(
        self, before: Image.Image, edits: Sequence[Image.Image], instructions: Sequence[str], offline: list[Measured]
    ) -> list[Measured]:
        assert self._clip is not None
        photo = _tensor(before, edits[0].size)
        found = []
        for edit, instruction, measured in zip(edits, instructions, offline, strict=True):
            values = similarities(self._clip, photo, _tensor(edit, edit.size), instruction, self._captions)[0]
            named = {f"CLIP {name}": round(value, 4) for name, value in values.items()}
            facts = {**measured.facts, "measure": f"clip: {'+'.join(values)} ({self._clip.name})", **named}
            found.append(replace(measured, score=round(sum(values.values()), 4), facts=facts))
        return found


def ranked(measured: Sequence[Measured]) -> list[tuple[int, Measured]]:
    """Put measured edits in order.

    Args:
        measured: The measures of a photo's edits.

    Returns:
        (index, measures), the best first. `like` is now the place of a better edit that hardly differs, or None.
    """
    places = order([one.score for one in measured])
    place_of = {index: place for place, index in enumerate(places)}
    result = []
    for place, index in enumerate(places):
        # Of two edits that hardly differ the worse one is pointed out, whichever was made first.
        alike = [other for other, one in enumerate(measured) if one.like == index]
        like = measured[index].like
        alike += [like] if like is not None else []
        better = [place_of[other] for other in alike if place_of[other] < place]
        result.append((index, replace(measured[index], like=min(better, default=None))))
    return result


def rounds(step: Step, pixels: int) -> list[list[int]]:
    """Return the seeds of a step in the groups that go through the model together.

    They follow from the model and the kind of device alone, since the last bits of a picture follow from them.

    Args:
        step: The step.
        pixels: Of one padded picture.
    """
    is_big = (step.choice.spec.size_mb or 4000) >= _SMALL_MB
    at_once = 1 if is_big and step.choice.device_name == "cpu" else max(1, _PIXELS_AT_ONCE // pixels)
    return [step.seeds[start : start + at_once] for start in range(0, step.best_of, at_once)]


def _looks(editor: Editor | Adapter, instructions: Sequence[str]) -> dict[str, str]:
    """The look that nano takes each instruction for, of those it knows; nothing for other models."""
    if not isinstance(editor, Editor) or editor.spec.name != "nano":
        return {}
    near = {text: closest(editor, text) for text in dict.fromkeys(instructions)}
    return {text: found.looks[0] for text, found in near.items() if found.known}


def _tensor(image: Image.Image, size: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(reduced(image, size)).permute(2, 0, 1)[None]
