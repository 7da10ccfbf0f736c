"""A chain recipe that was read: its edits, and the paths through its branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ip2p_cli.errors import UsageError
from ip2p_cli.io.templates import Scalar
from ip2p_cli.types import EditSettings, Guard, Handoff, MaskSettings

MAX_EDITS = 200
MAX_RESULTS = 64
MAX_TRIES = 20_000  # edits of all paths, each as often as it tries a seed
MAX_ALTERNATIVES = 26  # each has a letter


@dataclass(frozen=True, kw_only=True)
class RecipeEdit:
    """An edit of a recipe; what the recipe leaves open is None. where: file and line, for messages."""

    instruction: str
    settings: EditSettings
    name: str | None = None
    model: str | None = None
    repeat: int = 1
    best_of: int = 1
    save: bool = True
    mask: MaskSettings = field(default_factory=MaskSettings)
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """Alternatives, each of one edit or several; the chain goes on after each of them."""

    alternatives: tuple[tuple[RecipeEdit | Branch, ...], ...]
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A variable: its value where nobody sets it, and what it is for."""

    default: Scalar
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe with its includes inserted and its variables filled in."""

    name: str
    edits: tuple[RecipeEdit | Branch, ...]
    description: str = ""
    variables: Mapping[str, Variable]
    handoff: Handoff | None = None
    guard: Guard | None = None


@dataclass(frozen=True, kw_only=True)
class PathEdit:
    """An edit on a path. label: the letters of the alternatives on the path so far, "" without any."""

    edit: RecipeEdit
    label: str


def paths_of(recipe: Recipe) -> list[tuple[PathEdit, ...]]:
    """List the paths through a recipe, each with its edits in order, repeated ones as often as they are done.

    Raises:
        UsageError: There are too many paths, or a path has too many edits.
    """
    paths = _paths(recipe.edits, recipe.name)
    # Paths share the edits before they part, where the labels are the same.
    tries = {(step.label, place): step.edit.best_of for path in paths for place, step in enumerate(path)}
    if sum(tries.values()) > MAX_TRIES:
        raise UsageError(f"{recipe.name}: more than {MAX_TRIES} edits in all: use fewer alternatives or seeds")
    return paths


def _paths(items: Sequence[RecipeEdit | Branch], name: str) -> list[tuple[PathEdit, ...]]:
    labelled: list[tuple[str, tuple[PathEdit, ...]]] = [("", ())]  # the letters of the alternatives, and the edits
    for item in items:
        if isinstance(item, RecipeEdit):
            labelled = [(label, (*path, *[PathEdit(edit=item, label=label)] * item.repeat)) for label, path in labelled]
        else:
            alternatives = [
                (chr(ord("a") + number), inner)
                for number, alternative in enumerate(item.alternatives)
                for inner in _paths(alternative, name)
            ]
            if len(alternatives) * len(labelled) > MAX_RESULTS:
                raise UsageError(f"{item.where}: {name} has more than {MAX_RESULTS} results: use fewer alternatives")
            labelled = [
                (
                    label + letter + inner[-1].label,
                    (*path, *(replace(step, label=label + letter + step.label) for step in inner)),
                )
                for label, path in labelled
                for letter, inner in alternatives
            ]
        if max(len(path) for _, path in labelled) > MAX_EDITS:
            raise UsageError(f"{item.where or name}: a chain of more than {MAX_EDITS} edits: use fewer")
    return [path for _, path in labelled]
