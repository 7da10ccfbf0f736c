"""What a chain will do, before any weights load: its edits with everything resolved, and their keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import UsageError
from ..io.names import slug
from ..io.recipes import PathEdit, Recipe, paths_of
from ..settings import resolve
from ..suggest import did_you_mean
from ..types import EditSettings, Handoff, ResolvedEditSettings
from .loading import ModelChoice

# Both measure the same with nano (benchmarks/chain_drift.py); this one saves an encoding and a decoding an edit.
DEFAULT_HANDOFF: Handoff = "latent"


@dataclass(frozen=True, kw_only=True)
class Step:
    """An edit of a chain. position: from 0. label: the letters of the alternatives taken up to here."""

    position: int
    label: str
    name: str
    instruction: str
    settings: ResolvedEditSettings
    choice: ModelChoice
    save: bool
    where: str

    @property
    def place(self) -> tuple[str, int]:
        """What tells it from the chain's other edits."""
        return self.label, self.position

    @property
    def file(self) -> str:
        """Its picture's name."""
        return f"{self.position + 1:02d}{self.label}-{slug(self.name)}.png"


@dataclass(frozen=True, kw_only=True)
class ChainPlan:
    """The ways through a chain; each last edit is a result. first: where --from begins, from 0."""

    name: str
    handoff: Handoff
    paths: tuple[tuple[Step, ...], ...]
    first: int = 0

    @property
    def steps(self) -> list[Step]:
        """Each edit once, in the order of the paths."""
        return list({step.place: step for path in self.paths for step in path}.values())

    def result_file(self, path: Sequence[Step]) -> str:
        """The name of a path's result."""
        return f"final-{path[-1].label}.png" if len(self.paths) > 1 else "final.png"


def plan_chain(
    recipe: Recipe,
    said: EditSettings,
    *,
    choice_of: Callable[[str | None], ModelChoice],
    seed: int,
    preset: str | None = None,
    handoff: Handoff | None = None,
    begin: str | None = None,
    until: str | None = None,
) -> ChainPlan:
    """Resolve a recipe: what is `said` on the command line counts before an edit's own words, those before defaults.

    choice_of: the model by name; None is the command's own. seed: of what names none. begin, until: number or name of
    an edit; `said` counts from `begin` on. Raises UsageError, which names the recipe's line.
    """
    ways = paths_of(recipe)
    first = 0 if begin is None else _find("--from", begin, ways)
    last = None if until is None else _find("--until", until, ways)
    if last is not None and last < first:
        raise UsageError(f"--until {until} comes before --from {begin}: turn them round.")
    paths: dict[tuple[tuple[str, int], ...], tuple[Step, ...]] = {}
    for way in ways:
        path = tuple(
            _step(one, position, said if position >= first else EditSettings(), choice_of, seed, preset)
            for position, one in enumerate(way[: None if last is None else last + 1])
        )
        if len(path) > first:
            paths[tuple(step.place for step in path)] = path
    return ChainPlan(
        name=recipe.name,
        handoff=handoff or recipe.handoff or DEFAULT_HANDOFF,
        paths=tuple(paths.values()),
        first=first,
    )


def key_of(before: str, step: Step, handoff: Handoff) -> str:
    """A name for the result of an edit: a hash of all that decides it.

    before: the key of the edit before, or the photo's digest.
    """
    settings = asdict(step.settings)
    del settings["output_size"]  # the picture that is made of it, not the edit
    what: dict[str, Any] = {
        "before": before,
        **step.choice.identity(),
        "device": step.choice.device_name,
        "instruction": step.instruction,
        "position": step.position,
        "handoff": handoff if step.position else None,
        **settings,
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _step(
    one: PathEdit,
    position: int,
    said: EditSettings,
    choice_of: Callable[[str | None], ModelChoice],
    seed: int,
    preset: str | None,
) -> Step:
    edit = one.edit
    choice = choice_of(edit.model)
    try:
        settings = resolve(said.or_else(edit.settings).or_else(EditSettings(seed=seed)), choice.spec, preset)
    except UsageError as error:
        raise UsageError(f"{edit.where}: {error}" if edit.where else str(error)) from None
    return Step(
        position=position,
        label=one.label,
        name=edit.name or slug(edit.instruction),
        instruction=edit.instruction,
        settings=settings,
        choice=choice,
        save=edit.save,
        where=edit.where,
    )


def _find(flag: str, text: str, ways: Sequence[Sequence[PathEdit]]) -> int:
    """The position, from 0, of the edit with this number or name."""
    names = {
        name: position
        for way in ways
        for position, one in reversed(list(enumerate(way)))
        for name in (one.edit.instruction, slug(one.edit.instruction), one.edit.name)
        if name
    }
    longest = max(map(len, ways))
    if text.isdecimal() and len(text) < 6 and text not in names:
        if not 1 <= int(text) <= longest:
            raise UsageError(f"{flag} {text}: the chain has edits 1 to {longest}.")
        return int(text) - 1
    if text not in names:
        raise UsageError(f"{flag} {text}: no edit has this name.{did_you_mean(text, names) or ' Use its number.'}")
    return names[text]
