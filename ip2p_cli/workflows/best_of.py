"""Choosing among the seeds that an edit of a chain tries, by the measures of `ranking`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ip2p_cli.measures import reduced
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.clip import Clip, load_clip, similarities
from ip2p_cli.models.loader import Editor
from ip2p_cli.models.nano.look_matcher import closest
from ip2p_cli.workflows.chain_plan import Step
from ip2p_cli.workflows.ranking import measure, order

_PIXELS_AT_ONCE = 8 * 512 * 512
_SMALL_MB = 200


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which of several seeds was kept: its index, each one's score (higher is better; none where the winner was
    named), and the measure's name."""

    index: int
    scores: tuple[float, ...] = ()
    measure: str = "named"

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Chosen:
        """What `vars` of one gives, back from JSON; KeyError, TypeError and ValueError for anything else."""
        scores = tuple(float(score) for score in said["scores"])
        return cls(index=int(said["index"]), scores=scores, measure=str(said["measure"]))

    def facts(self, step: Step) -> dict[str, Any]:
        """What a record says of it."""
        seeds = step.seeds
        return {"seed": seeds[self.index], "seeds": seeds, "scores": list(self.scores), "measure": self.measure}


class Judge:
    """Measures the candidates of an edit. clip: CLIP's folder, for its measure; else the look's or the offline one."""

    def __init__(self, clip: Path | None = None) -> None:
        self._folder = clip

    @cached_property
    def _clip(self) -> Clip | None:
        return load_clip(self._folder) if self._folder is not None else None

    def best(
        self, editor: Editor | Adapter, before: Image.Image, edits: Sequence[Image.Image], instruction: str
    ) -> Chosen:
        """The best of `edits` of the picture `before`, all of one size; of equals the first."""
        if self._clip is not None:
            pictures = torch.cat([_tensor(edit) for edit in edits])
            values = similarities(self._clip, _tensor(before), pictures, instruction)
            scores = [round(sum(one.values()), 4) for one in values]
            name = f"clip: {'+'.join(values[0])} ({self._clip.name})"
        else:
            near = closest(editor, instruction) if isinstance(editor, Editor) and editor.spec.name == "nano" else None
            look = near.looks[0] if near is not None and near.known else None
            found = measure(before, edits, [look] * len(edits))
            scores, name = [one.score for one in found], str(found[0].facts["measure"])
        return Chosen(index=order(scores)[0], scores=tuple(scores), measure=name)


def rounds(step: Step, pixels: int) -> list[list[int]]:
    """The seeds of an edit, those together that go through the model together; pixels: of one padded picture.

    It follows from the model and the device's kind alone, as the last bits of a picture follow from it.
    """
    big = (step.choice.spec.size_mb or 4000) >= _SMALL_MB
    at_once = 1 if big and step.choice.device_name == "cpu" else max(1, _PIXELS_AT_ONCE // pixels)
    return [step.seeds[start : start + at_once] for start in range(0, step.best_of, at_once)]


def _tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(reduced(image)).permute(2, 0, 1)[None]
