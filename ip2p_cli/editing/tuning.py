"""`--auto-tune`: other scales and seeds for an edit that did not work, one after the other, until one does.

The edit is made as asked. If its verdict is not ok, tries follow in few steps: scales as the advice goes, then seeds.
The best try is made in all steps. Everything follows from the edit itself, so the same edit is tuned the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ip2p_cli.editing.advice import next_scale
from ip2p_cli.editing.tree import Step
from ip2p_cli.settings import MAX_SEED
from ip2p_cli.types import ModelSpec, ResolvedEditSettings, Verdict

DEFAULT_TRIES = 6
_FEWEST, _SHARE = 10, 4  # a try takes a quarter of the steps, but ten of them: fewer say little of the full edit
_VARIED = ("steps", "cfg_text", "cfg_image", "seed")
Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What was tried for a step.

    Attributes:
        kept: The index of the try that was kept.
        tries: Of each try, the settings that may differ, "verdict" and "score".
    """

    kept: int
    tries: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Tuned:
        """Return what `vars` of one gave, back from JSON; raises KeyError, TypeError or ValueError for other data."""
        tuned = cls(kept=int(facts["kept"]), tries=tuple(dict(one) for one in facts["tries"]))
        tuned.settings  # noqa: B018 - raises
        return tuned

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that were kept, of those that may differ."""
        return {name: self.tries[self.kept][name] for name in _VARIED}

    @property
    def facts(self) -> dict[str, Any]:
        """What a record says of it."""
        return {"kept": self.kept, "tries": list(self.tries)}


@dataclass(frozen=True, kw_only=True)
class _Try:
    settings: ResolvedEditSettings
    verdict: Verdict
    score: float

    @property
    def rank(self) -> tuple[bool, float]:
        return self.verdict.name == "ok", self.score

    @property
    def facts(self) -> dict[str, Any]:
        varied = {name: getattr(self.settings, name) for name in _VARIED}
        return {**varied, "verdict": self.verdict.name, "score": self.score}


def tune(
    step: Step,
    make: Callable[[ResolvedEditSettings], Made],
    judge: Callable[[Made, ResolvedEditSettings], tuple[Verdict, float]],
) -> tuple[Made, Tuned]:
    """Make a step, again where its verdict is not ok.

    Args:
        step: The step; `max_tries` bounds the tries that follow the first.
        make: Makes the edit with some settings.
        judge: Gives the verdict on what was made with some settings, and a score; higher is better.

    Returns:
        What was kept, and what was tried.
    """
    full = step.settings.steps
    few = min(full, max(_FEWEST, -(-full // _SHARE)))
    made: list[Made | None] = []
    tries: list[_Try] = []

    def attempt(settings: ResolvedEditSettings) -> _Try:
        result = make(settings)
        verdict, score = judge(result, settings)
        tries.append(_Try(settings=settings, verdict=verdict, score=score))
        made.append(result)
        for index in range(len(made)):  # only the best one that may be kept stays in memory
            if index != _best(tries, full):
                made[index] = None
        return tries[-1]

    last = attempt(step.settings)
    while last.verdict.name != "ok" and len(tries) <= step.max_tries:
        last = attempt(_next(tries, step.choice.spec, few))
    if len(tries) > 1 and few < full:
        attempt(replace(tries[_best(tries, few)].settings, steps=full))
    kept = _best(tries, full)
    result = made[kept]
    assert result is not None
    return result, Tuned(kept=kept, tries=tuple(one.facts for one in tries))


def _next(tries: list[_Try], spec: ModelSpec, few: int) -> ResolvedEditSettings:
    """The settings of the next try: another scale as the last verdict asks, unless it was tried; else another seed."""
    tried = {_key(one.settings) for one in tries}
    last = tries[-1]
    scale = next_scale(last.verdict.name, last.settings, spec)
    if scale is not None and last.settings.seed == tries[0].settings.seed:
        name, value = scale
        changed: dict[str, Any] = {"steps": few, name: value}
        wanted = replace(last.settings, **changed)
        if _key(wanted) not in tried:
            return wanted
    wanted = replace(max(tries, key=lambda one: one.rank).settings, steps=few)
    while _key(wanted) in tried:
        wanted = replace(wanted, seed=(wanted.seed + 1) % (MAX_SEED + 1))
    return wanted


def _best(tries: list[_Try], steps: int) -> int:
    """The index of the best try in so many steps; of equals the first."""
    return max(
        (index for index, one in enumerate(tries) if one.settings.steps == steps),
        key=lambda index: (tries[index].rank, -index),
    )


def _key(settings: ResolvedEditSettings) -> tuple[float, float, int]:
    return settings.cfg_text, settings.cfg_image, settings.seed
