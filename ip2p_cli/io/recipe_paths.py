"""A chain recipe once it is read: its edits, and the ways through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ip2p_cli.errors import UsageError
from ip2p_cli.io.templates import Scalar
from ip2p_cli.types import EditSettings, Guard, Handoff

MAX_EDITS = 200
MAX_RESULTS = 64
MAX_ALTERNATIVES = 26  # each has a letter


@dataclass(frozen=True, kw_only=True)
class RecipeEdit:
    """One edit, as the recipe says it; what it leaves unsaid is None. where: file and line, for messages."""

    instruction: str
    settings: EditSettings
    name: str | None = None
    model: str | None = None
    repeat: int = 1
    best_of: int = 1
    save: bool = True
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """Alternatives, each of one edit or several; the chain goes on behind each of them."""

    alternatives: tuple[tuple[RecipeEdit | Branch, ...], ...]
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A variable: what it is where nobody sets it, and what it is for."""

    default: Scalar
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe with its includes taken in and its variables filled in."""

    name: str
    edits: tuple[RecipeEdit | Branch, ...]
    description: str = ""
    variables: Mapping[str, Variable]
    handoff: Handoff | None = None
    guard: Guard | None = None


@dataclass(frozen=True, kw_only=True)
class PathEdit:
    """An edit on its way to a result. label: the letters of the alternatives taken so far, "" without any."""

    edit: RecipeEdit
    label: str


def paths_of(recipe: Recipe) -> list[tuple[PathEdit, ...]]:
    """The ways through the recipe, each with its edits in order, repeated ones written out. UsageError for too many."""
    return _paths(recipe.edits, recipe.name)


def _paths(items: Sequence[RecipeEdit | Branch], name: str) -> list[tuple[PathEdit, ...]]:
    paths: list[tuple[PathEdit, ...]] = [()]
    labels = [""]
    for item in items:
        if isinstance(item, RecipeEdit):
            paths = [
                (*path, *[PathEdit(edit=item, label=label)] * item.repeat)
                for path, label in zip(paths, labels, strict=True)
            ]
        else:
            ways = [
                (chr(ord("a") + number), way)
                for number, alternative in enumerate(item.alternatives)
                for way in _paths(alternative, name)
            ]
            if len(ways) * len(paths) > MAX_RESULTS:
                raise UsageError(f"{item.where}: {name} has more than {MAX_RESULTS} results: use fewer alternatives")
            paths, labels = _forked(paths, labels, ways)
        if max(map(len, paths)) > MAX_EDITS:
            raise UsageError(f"{item.where or name}: a chain of more than {MAX_EDITS} edits: use fewer")
    return paths


def _forked(
    paths: Sequence[tuple[PathEdit, ...]], labels: Sequence[str], ways: Sequence[tuple[str, tuple[PathEdit, ...]]]
) -> tuple[list[tuple[PathEdit, ...]], list[str]]:
    found, found_labels = [], []
    for path, label in zip(paths, labels, strict=True):
        for letter, way in ways:
            found.append((*path, *(replace(one, label=label + letter + one.label) for one in way)))
            found_labels.append(label + letter + way[-1].label)
    return found, found_labels
