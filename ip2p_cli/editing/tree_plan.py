"""Plans of trees of edits: a single edit, or a recipe with the user's settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.step_masks import step_mask
from ip2p_cli.editing.tree import DEFAULT_HANDOFF, EditTree, Step, StepPath
from ip2p_cli.errors import UsageError
from ip2p_cli.io.mask_settings import needs_area
from ip2p_cli.io.names import slug
from ip2p_cli.io.recipe_paths import PathEdit, Recipe, paths_of
from ip2p_cli.settings import resolve
from ip2p_cli.suggest import did_you_mean
from ip2p_cli.types import EditSettings, Guard, Handoff, MaskSettings, ResolvedEditSettings


def single_edit(
    instruction: str,
    settings: ResolvedEditSettings,
    choice: ModelChoice,
    mask: MaskSettings | None = None,
    *,
    max_tries: int = 0,
    clip: Path | None = None,
) -> EditTree:
    """Return the tree of one edit; max_tries and clip as in `Step` and `EditTree`."""
    step = Step(
        position=0,
        label="",
        name=instruction,
        instruction=instruction,
        settings=settings,
        choice=choice,
        mask=step_mask(mask),
        max_tries=max_tries,
    )
    return EditTree(paths=((step,),), clip=clip if max_tries else None)


def plan_tree(
    recipe: Recipe,
    flags: EditSettings,
    *,
    choice_of: Callable[[str | None], ModelChoice],
    seed: int,
    preset: str | None = None,
    handoff: Handoff | None = None,
    guard: Guard | None = None,
    begin: str | None = None,
    until: str | None = None,
    best_of: int | None = None,
    max_tries: int = 0,
    clip: Path | None = None,
    mask: MaskSettings | None = None,
) -> EditTree:
    """Resolve a recipe: flags count before a step's own settings, those before defaults.

    Args:
        recipe: What to resolve.
        flags: What the command line says.
        choice_of: Gives the model of a name; None is the command's own.
        seed: Of steps that name none.
        preset: Settings under one name, for what neither says.
        handoff: Counts before the recipe's.
        guard: Counts before the recipe's.
        begin: Number or name of the first step to make; `flags` and `best_of` count from there on.
        until: Number or name of the last step to make.
        best_of: How many seeds each step tries; None as the recipe says.
        max_tries: How many other scales and seeds are tried for a step that is not ok; not where several seeds are.
        clip: As in `EditTree`.
        mask: Counts before each step's own.

    Raises:
        UsageError: A setting is not possible, or no step has that name; the message names the recipe's line.
    """
    ways = paths_of(recipe)
    first = 0 if begin is None else _find("--from", begin, ways)
    last = None if until is None else _find("--until", until, ways)
    if last is not None and last < first:
        raise UsageError(f"--until {until} comes before --from {begin}: swap them.")
    resolver = _Resolver(flags, choice_of, seed, preset, best_of, max_tries, first, mask or MaskSettings())
    paths: dict[tuple[tuple[str, int], ...], StepPath] = {}
    for way in ways:
        steps = way[: None if last is None else last + 1]
        path = tuple(resolver.step(step, position) for position, step in enumerate(steps))
        if len(path) > first:
            paths[tuple(step.place for step in path)] = path
    if all(step.mask is None for path in paths.values() for step in path):
        needs_area(mask or MaskSettings())
    return EditTree(
        name=recipe.name,
        handoff=handoff or recipe.handoff or DEFAULT_HANDOFF,
        paths=tuple(paths.values()),
        guard=guard or recipe.guard or "none",
        first=first,
        clip=clip,
    )


@dataclass(frozen=True)
class _Resolver:
    flags: EditSettings
    choice_of: Callable[[str | None], ModelChoice]
    seed: int
    preset: str | None
    best_of: int | None
    max_tries: int
    first: int
    mask: MaskSettings

    def step(self, path_edit: PathEdit, position: int) -> Step:
        edit = path_edit.edit
        is_new = position >= self.first
        flags = self.flags if is_new else EditSettings()
        choice = self.choice_of(edit.model)
        try:
            settings = resolve(
                flags.or_else(edit.settings).or_else(EditSettings(seed=self.seed)), choice.spec, self.preset
            )
        except UsageError as error:
            raise UsageError(f"{edit.where}: {error}" if edit.where else str(error)) from None
        best_of = self.best_of if self.best_of is not None and is_new else edit.best_of
        return Step(
            position=position,
            label=path_edit.label,
            name=edit.name or slug(edit.instruction),
            instruction=edit.instruction,
            settings=settings,
            choice=choice,
            save=edit.save,
            where=edit.where,
            best_of=best_of,
            max_tries=self.max_tries if is_new and best_of == 1 else 0,
            mask=step_mask(self.mask.or_else(edit.mask) if is_new else edit.mask),
        )


def _find(flag: str, text: str, ways: Sequence[Sequence[PathEdit]]) -> int:
    """The position, from 0, of the step with this number or name."""
    names = {
        name: position
        for way in ways
        for position, path_edit in reversed(list(enumerate(way)))
        for name in (path_edit.edit.instruction, slug(path_edit.edit.instruction), path_edit.edit.name)
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
