"""Judging the edits of photos: what is expected of each, and the verdict with its advice."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from ip2p_cli.editing.advice import advise
from ip2p_cli.editing.choose import Chooser
from ip2p_cli.editing.engine import Editors
from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.tree import Step
from ip2p_cli.editing.unknown import understand
from ip2p_cli.editing.verdict import Evidence, judge, small, small_size
from ip2p_cli.looks import apply, looks
from ip2p_cli.looks.region_words import find_region
from ip2p_cli.looks.regions import REGIONS, restrict
from ip2p_cli.measures import Pixels, reduced
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.nano.look_matcher import closest
from ip2p_cli.types import ResolvedEditSettings, Verdict

DRAWS = 3  # of a look: its mean is what is expected, and a strong draw among them is no surprise
_PAINTED_SIDE, _LONGEST = 256, 640  # pixels of the shorter and of the longer side of what is painted
_KEPT = 8  # looks on photos: the variants of a photo ask for the same one
_SLIGHTLY, _MUCH = 0.5, 1.6  # amounts of a look, as its painters are trained with


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What an instruction asks for, as far as it is known.

    Attributes:
        look: A name in `looks`, for nano and an instruction that it knows.
        amount: Of the look.
        region: A name in REGIONS.
        problem: Why the model does not follow the instruction; "" if it may.
    """

    look: str | None = None
    amount: float = 1.0
    region: str | None = None
    problem: str = ""


class Judge:
    """Judges edits.

    Args:
        editors: Gives the models, for what nano understands by an instruction.
        chooser: Compares with the words, where it has CLIP.
    """

    def __init__(self, editors: Editors, chooser: Chooser) -> None:
        self._editors, self.chooser = editors, chooser
        self._intents: dict[tuple[ModelChoice, str], Intent] = {}
        self._lock = threading.Lock()  # results are saved, and judged, by several threads
        self._painted: OrderedDict[tuple[bytes, Intent], tuple[Pixels, ...]] = OrderedDict()

    def intent(self, step: Step) -> Intent:
        """Return what a step asks for. For nano this needs the model, so ask once while it is there."""
        key = step.choice, step.words
        if key not in self._intents:
            self._intents[key] = self._intent(step)
        return self._intents[key]

    def verdict(
        self,
        step: Step,
        before: Image.Image,
        after: Image.Image,
        mask: Image.Image | None = None,
        settings: ResolvedEditSettings | None = None,
    ) -> Verdict:
        """Judge a step's result.

        Args:
            step: The step.
            before: What it started from, of any size.
            after: What it gave.
            mask: Where it may change.
            settings: What it was made with, where that is not what the step says.
        """
        with self._lock:
            evidence, problem = self._evidence(step, before, after, mask)
        name, measures = judge(evidence)
        advice = advise(
            name,
            measures,
            settings or step.settings,
            step.choice.spec,
            problem=problem,
            has_mask=mask is not None,
        )
        return Verdict(name=name, advice=advice, measures=measures)

    def _evidence(
        self, step: Step, before: Image.Image, after: Image.Image, mask: Image.Image | None
    ) -> tuple[Evidence, str]:
        intent, size = self.intent(step), small_size(before.size)
        problem = intent.problem
        photo, region = small(before, size), None
        if mask is not None:  # the mask says where, whatever the words say
            intent = replace(intent, region=None)
        elif intent.region is not None:
            region = REGIONS[intent.region].mask(photo)
        evidence = Evidence(
            photo=photo,
            edit=small(after, size),
            mask=None if mask is None else reduced(mask, size)[..., 0],
            expected=self._expected(intent, before, size, region),
            region=region,
            towards=self.chooser.towards(before, after, step.words),
        )
        return evidence, problem

    def _intent(self, step: Step) -> Intent:
        region = find_region(step.words).name
        if step.choice.spec.name != "nano":
            return Intent(region=region)
        editor = self._editors(step.choice)
        assert isinstance(editor, Editor)
        understood, near = understand(editor, step.words), closest(editor, step.words)
        problem = f"{understood.problem}. {understood.closest}" if understood.problem is not None else ""
        if not near.known:
            return Intent(region=region, problem=problem)
        look = looks()[near.looks[0]]
        words = find_region(step.words).rest
        amount = _SLIGHTLY if words in look.slightly else _MUCH if words in look.much else 1.0
        return Intent(look=look.name, amount=amount, region=region, problem=problem)

    def _expected(
        self, intent: Intent, before: Image.Image, size: tuple[int, int], region: Pixels | None
    ) -> tuple[Pixels, ...]:
        """Draws of the look that was asked for; none where the region that it is meant for is not found."""
        if intent.look is None or (intent.region is not None and region is None):
            return ()
        photo = reduced(before, painting_size(before.size))
        key = photo.tobytes(), intent
        painted = self._painted.get(key)
        if painted is None:
            painted = self._painted[key] = draws_of(intent.look, intent.amount, photo, size, region)
            while len(self._painted) > _KEPT:
                self._painted.popitem(last=False)
        return painted


def painting_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the (width, height) at which looks are painted for comparison: their flakes and strokes need it."""
    scale = min(1.0, _PAINTED_SIDE / min(size), _LONGEST / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def draws_of(
    look: str, amount: float, photo: Pixels, size: tuple[int, int], region: Pixels | None = None
) -> tuple[Pixels, ...]:
    """Paint draws of a look on a photo: one if it is exact, else DRAWS.

    Args:
        look: A name in `looks`.
        amount: Of the look.
        photo: The photo at `painting_size`.
        size: The (width, height) of the result.
        region: Where the look is, at that size; None for everywhere.
    """
    seeds = range(1 if looks()[look].exact else DRAWS)
    drawn = [_at(apply(look, photo, amount, seed), size) for seed in seeds]
    return tuple(drawn if region is None else [restrict(_at(photo, size), one, region) for one in drawn])


def _at(picture: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
