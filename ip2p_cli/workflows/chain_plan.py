"""What a chain will do, before any weights load: its edits with everything resolved, and their keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ip2p_cli.errors import UsageError
from ip2p_cli.io.names import slug
from ip2p_cli.io.recipe_paths import PathEdit, Recipe, paths_of
from ip2p_cli.models.fingerprint import files_fingerprint
from ip2p_cli.settings import MAX_SEED, resolve
from ip2p_cli.suggest import did_you_mean
from ip2p_cli.types import EditSettings, Guard, Handoff, ResolvedEditSettings
from ip2p_cli.workflows.loading import ModelChoice

# Both measure nearly the same with nano (benchmarks/chain_drift.py); this one saves an encoding and a decoding an edit.
DEFAULT_HANDOFF: Handoff = "latent"


@dataclass(frozen=True, kw_only=True)
class Step:
    """An edit of a chain. position: from 0. label: the letters of the alternatives taken up to here.

    best_of: how many seeds are tried, from the settings' own on. winner: which of them is kept, from 0, where that is
    known; else it is measured.
    """

    position: int
    label: str
    name: str
    instruction: str
    settings: ResolvedEditSettings
    choice: ModelChoice
    save: bool = True
    where: str = ""
    best_of: int = 1
    winner: int | None = None

    @property
    def place(self) -> tuple[str, int]:
        """What tells it from the chain's other edits."""
        return self.label, self.position

    @property
    def seeds(self) -> list[int]:
        """The seeds that are tried."""
        return [(self.settings.seed + number) % (MAX_SEED + 1) for number in range(self.best_of)]


@dataclass(frozen=True, kw_only=True)
class ChainPlan:
    """The ways through a chain; each last edit is a result.

    guard: what is taken off of what an edit changes unasked. first: where --from begins, from 0. clip: the folder of
    the CLIP that chooses among several seeds. kind: the pictures' format, as an extension without its dot.
    """

    name: str
    handoff: Handoff
    paths: tuple[tuple[Step, ...], ...]
    guard: Guard = "none"
    first: int = 0
    clip: Path | None = None
    kind: str = "png"

    @property
    def steps(self) -> list[Step]:
        """Each edit once, in the order of the paths."""
        return list({step.place: step for path in self.paths for step in path}.values())

    def file_of(self, step: Step) -> str:
        """The name of an edit's picture."""
        return f"{step.position + 1:02d}{step.label}-{slug(step.name)}.{self.kind}"

    def result_file(self, path: Sequence[Step]) -> str:
        """The name of a path's result."""
        return f"final-{path[-1].label}.{self.kind}" if len(self.paths) > 1 else f"final.{self.kind}"

    def pictures(self) -> dict[str, Step]:
        """The edits that are written, by the name of the picture; the results last."""
        edits = {self.file_of(step): step for step in self.steps if step.save}
        return edits | {self.result_file(path): path[-1] for path in self.paths}

    def identity(self, *, fetch: bool = True) -> dict[str, Any]:
        """What decides the pictures of any photo, as the manifest keeps it: a digest an edit, of it and all before it.

        What --from leaves as it is has none. fetch: whether a model that is not on this machine is fetched now.
        """
        digests: dict[tuple[str, int], str] = {}
        for path in self.paths:
            before = ""
            for step in path:
                if step.position >= self.first:
                    before = digests[step.place] = key_of(before, step, self, fetch=fetch)
        shown = {f"{step.position + 1}{step.label} {step.name}": step for step in self.steps}
        edits = {
            name: f"{digests[step.place][:16]} {step.settings.output_size}"
            for name, step in shown.items()
            if step.place in digests
        }
        return {"handoff": self.handoff, "guard": self.guard, "edits": edits}


def plan_chain(
    recipe: Recipe,
    said: EditSettings,
    *,
    choice_of: Callable[[str | None], ModelChoice],
    seed: int,
    preset: str | None = None,
    handoff: Handoff | None = None,
    guard: Guard | None = None,
    begin: str | None = None,
    until: str | None = None,
    best_of: int | None = None,
    clip: Path | None = None,
    kind: str = "png",
) -> ChainPlan:
    """Resolve a recipe: what is `said` on the command line counts before an edit's own words, those before defaults.

    choice_of: the model by name; None is the command's own. seed: of what names none. begin, until: number or name of
    an edit; `said` and best_of count from `begin` on. clip, kind: as in ChainPlan. Raises UsageError,
    which names the recipe's line.
    """
    ways = paths_of(recipe)
    first = 0 if begin is None else _find("--from", begin, ways)
    last = None if until is None else _find("--until", until, ways)
    if last is not None and last < first:
        raise UsageError(f"--until {until} comes before --from {begin}: turn them round.")
    paths: dict[tuple[tuple[str, int], ...], tuple[Step, ...]] = {}
    for way in ways:
        path = tuple(
            _step(
                one if best_of is None or position < first else _trying(one, best_of),
                position,
                said if position >= first else EditSettings(),
                choice_of,
                seed,
                preset,
            )
            for position, one in enumerate(way[: None if last is None else last + 1])
        )
        if len(path) > first:
            paths[tuple(step.place for step in path)] = path
    return ChainPlan(
        name=recipe.name,
        handoff=handoff or recipe.handoff or DEFAULT_HANDOFF,
        paths=tuple(paths.values()),
        guard=guard or recipe.guard or "none",
        first=first,
        clip=clip,
        kind=kind,
    )


def key_of(before: str, step: Step, plan: ChainPlan, *, fetch: bool = True) -> str:
    """A name for the result of an edit: a hash of all that decides it.

    before: the key of the edit before, or the photo's digest. fetch: as in ModelChoice.identity.
    """
    settings = asdict(step.settings)
    del settings["output_size"]  # the picture that is made of it, not the edit
    what: dict[str, Any] = {
        "before": before,
        **step.choice.identity(fetch=fetch),
        "device": step.choice.device_name,
        "instruction": step.instruction,
        "position": step.position,
        "handoff": plan.handoff if step.position else None,
        **settings,
    }
    if plan.guard != "none":
        what["guard"] = plan.guard
    if step.best_of > 1:
        clip = files_fingerprint([plan.clip / "model.safetensors"]) if plan.clip else None
        what |= {"best_of": step.best_of, "clip": clip}
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
        best_of=edit.best_of,
    )


def _trying(one: PathEdit, best_of: int) -> PathEdit:
    return replace(one, edit=replace(one.edit, best_of=best_of))


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
