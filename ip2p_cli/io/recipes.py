"""Chain recipes: YAML files that say which edits follow each other, checked before anything heavy is imported.

    name: autumn evening
    variables: {season: autumn}
    defaults: {cfg_text: 5}
    edits:
      - make it {{ season }}
      - {instruction: make it night, name: evening, cfg_image: 1.8}
      - [as a watercolour, make it vintage]     # alternatives: from here on there are two results

An alternative that is itself a list is several edits, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.recipe_paths import MAX_ALTERNATIVES, Branch, Recipe, RecipeEdit, Variable, paths_of
from ip2p_cli.io.setting_parser import SETTINGS, read_settings, refuse_unknown
from ip2p_cli.io.templates import Scalar, fill_in
from ip2p_cli.io.yaml_files import Document, read_yaml
from ip2p_cli.suggest import did_you_mean
from ip2p_cli.types import EditSettings, Guard, Handoff

Place = tuple[int | str, ...]
Name = Annotated[str, Field(min_length=1, max_length=80)]

_Model = TypeVar("_Model", bound=BaseModel)

_MAX_FILES = 50


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Variable(_Strict):
    default: Scalar
    description: str = ""


class _Head(_Strict):
    """A file but for its edits and defaults."""

    name: Name
    description: Annotated[str, Field(max_length=1000)] = ""
    variables: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,39}$")], _Variable | Scalar] = {}
    include: str | tuple[str, ...] = ()
    handoff: Handoff | None = None
    guard: Guard | None = None


class _Edit(_Strict):
    """An edit but for its settings. best_of: how many seeds it tries. save: whether its picture is written."""

    instruction: Annotated[str, Field(min_length=1, max_length=1000)]
    name: Name | None = None
    model: Annotated[str, Field(min_length=1)] | None = None
    repeat: Annotated[int, Field(ge=1, le=100)] = 1
    best_of: Annotated[int, Field(ge=1, le=64)] = 1
    save: bool = True


def quick_recipe(instructions: Sequence[str]) -> Recipe:
    """A chain without a file: plain instructions."""
    for text in instructions:
        if not text.strip():
            raise UsageError('--edit: the instruction is empty: say what to change, e.g. --edit "make it winter".')
    edits = tuple(RecipeEdit(instruction=text.strip(), settings=EditSettings()) for text in instructions)
    recipe = Recipe(name=", ".join(edit.instruction for edit in edits)[:80], edits=edits, variables={})
    paths_of(recipe)
    return recipe


def read_recipe(path: Path, said: Mapping[str, str] | None = None) -> Recipe:
    """The recipe in `path`, with the variables that `said` sets.

    Raises InputError where a file cannot be read; UsageError, which names file, line, field and the nearest right name,
    where something in it is not possible.
    """
    files = list(_with_includes(path, ()))
    heads = [_head(file) for file in files]
    variables: dict[str, Variable] = {}
    for head in heads:
        for name, value in head.variables.items():
            variables[name] = (
                Variable(default=value.default, description=value.description)
                if isinstance(value, _Variable)
                else Variable(default=value)
            )
    values: dict[str, Scalar] = {name: variable.default for name, variable in variables.items()}
    for name, text in (said or {}).items():
        if name not in variables:
            known = f" It has {', '.join(variables)}." if variables else " It has none."
            hint = did_you_mean(name, variables) or known
            raise UsageError(f"--set {name}: the recipe {files[-1].shown} has no variable {name!r}.{hint}")
        values[name] = text
    defaults = [_defaults(file, values) for file in files]
    edits = [
        _completed(edit, EditSettings() if file is files[-1] else defaults[-1][0], defaults[-1][1])
        for file, own in zip(files, defaults, strict=True)
        for edit in _edits(file, values, own)
    ]
    if not edits:
        raise UsageError(f"{files[-1].where()}: no edits: give at least one, for example edits: [make it winter]")
    handoffs = [head.handoff for head in reversed(heads) if head.handoff is not None]
    guards = [head.guard for head in reversed(heads) if head.guard is not None]
    last = heads[-1]
    recipe = Recipe(
        name=last.name,
        description=last.description,
        variables=variables,
        edits=tuple(edits),
        handoff=handoffs[0] if handoffs else None,
        guard=guards[0] if guards else None,
    )
    paths_of(recipe)
    return recipe


def recipe_schema() -> dict[str, Any]:
    """A JSON schema for editors (draft 2020-12). Where a number may stand, so may a text with variables."""
    settings = TypeAdapter(EditSettings).json_schema()["properties"]
    head, edit = _Head.model_json_schema(), _Edit.model_json_schema()
    edit["properties"] |= settings
    template = {"type": "string", "pattern": r"\{\{"}
    for one in (edit["properties"], settings):
        for name, kind in one.items():
            one[name] = {"anyOf": [{k: v for k, v in kind.items() if k != "default"}, template]}
    item = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Edit"}, {"$ref": "#/$defs/Items"}]}
    defaults = {**settings, "model": {"type": "string"}}
    head["$defs"] = {
        **head.get("$defs", {}),
        "Edit": edit,
        "Items": {"type": "array", "minItems": 1, "items": item},
    }
    head["properties"] |= {
        "defaults": {"type": "object", "properties": defaults, "additionalProperties": False},
        "edits": {"$ref": "#/$defs/Items"},
    }
    head |= {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "ip2p chain recipe"}
    head["description"] = "Edits that follow each other: ip2p chain in.jpg recipe.yaml"
    return head


def _with_includes(path: Path, above: tuple[Path, ...]) -> Iterator[Document]:
    """The files that `path` includes, each after what it includes itself, and `path` last."""
    document = read_yaml(path)
    if not isinstance(document.raw, dict):
        raise UsageError(f"{document.where()}: no recipe: it must hold settings, at least name and edits")
    _refuse_unknown(document, document.raw, (*_Head.model_fields, "defaults", "edits"), ())
    head = _head(document)
    here = (*above, path.resolve())
    for number, name in enumerate([head.include] if isinstance(head.include, str) else head.include):
        place: Place = ("include",) if isinstance(head.include, str) else ("include", number)
        other = path.parent / name
        if other.resolve() in here:
            raise UsageError(f"{document.where(place)}: include: {name} includes this file itself: leave one out")
        if len(here) > _MAX_FILES:
            raise UsageError(f"{document.where(place)}: include: more than {_MAX_FILES} files deep")
        try:
            yield from _with_includes(other, here)
        except InputError as error:
            raise InputError(f"{document.where(place)}: include: {error}") from error
    yield document


def _head(file: Document) -> _Head:
    raw = {key: value for key, value in file.raw.items() if key in _Head.model_fields}
    return _validated(_Head, raw, file, ())


def _defaults(file: Document, values: Mapping[str, Scalar]) -> tuple[EditSettings, str | None]:
    raw = file.raw.get("defaults") or {}
    if not isinstance(raw, dict):
        raise UsageError(f"{file.where(['defaults'])}: defaults should be settings, for example {{cfg_text: 5}}")
    _refuse_unknown(file, raw, (*SETTINGS, "model"), ("defaults",))
    filled = _filled(file, raw, values, ("defaults",))
    model = filled.pop("model", None)
    if model is not None and not isinstance(model, str):
        raise UsageError(f"{file.where(['defaults', 'model'])}: defaults.model should be a model's name")
    return _settings(file, filled, ("defaults",)), model


def _edits(
    file: Document, values: Mapping[str, Scalar], defaults: tuple[EditSettings, str | None]
) -> Iterator[RecipeEdit | Branch]:
    raw = file.raw.get("edits", [])
    if not isinstance(raw, list):
        raise UsageError(f"{file.where(['edits'])}: edits should be a list, for example [make it winter]")
    for number, item in enumerate(raw):
        yield _completed(_item(file, item, values, ("edits", number)), *defaults)


def _item(file: Document, raw: object, values: Mapping[str, Scalar], place: Place) -> RecipeEdit | Branch:
    where = file.where(place)
    if isinstance(raw, list):
        if not 1 <= len(raw) <= MAX_ALTERNATIVES:
            raise UsageError(f"{where}: {_dotted(place)}: a list of 1 to {MAX_ALTERNATIVES} alternatives is needed")
        alternatives = []
        for number, alternative in enumerate(raw):
            several = isinstance(alternative, list)
            if several and not alternative:
                raise UsageError(f"{where}: {_dotted((*place, number))}: an alternative without an edit")
            alternatives.append(
                tuple(
                    _item(file, one, values, (*place, number, *([step] if several else [])))
                    for step, one in enumerate(alternative if several else [alternative])
                )
            )
        return Branch(alternatives=tuple(alternatives), where=where)
    if isinstance(raw, str):
        raw = {"instruction": raw}
        place_of_text = place
    elif isinstance(raw, dict):
        _refuse_unknown(file, raw, (*_Edit.model_fields, *SETTINGS), place)
        place_of_text = place
    else:
        raise UsageError(
            f"{where}: {_dotted(place)} should be an instruction, a mapping with `instruction`, or a list of "
            f"alternatives, not {raw!r}"
        )
    filled = _filled(file, raw, values, place_of_text)
    own = _validated(_Edit, {k: v for k, v in filled.items() if k in _Edit.model_fields}, file, place)
    if not own.instruction.strip():
        raise UsageError(f"{where}: {_dotted(place)}.instruction is empty: say what to change")
    settings = _settings(file, {k: v for k, v in filled.items() if k in SETTINGS}, place)
    return RecipeEdit(**{**own.model_dump(), "instruction": own.instruction.strip()}, settings=settings, where=where)


def _completed(item: RecipeEdit | Branch, settings: EditSettings, model: str | None) -> RecipeEdit | Branch:
    """The item with what it leaves unsaid taken from defaults."""
    if isinstance(item, RecipeEdit):
        return replace(item, settings=item.settings.or_else(settings), model=item.model or model)
    return replace(
        item,
        alternatives=tuple(tuple(_completed(one, settings, model) for one in path) for path in item.alternatives),
    )


def _filled(file: Document, raw: Mapping[str, Any], values: Mapping[str, Scalar], place: Place) -> dict[str, Any]:
    return {
        key: fill_in(value, values, f"{file.where((*place, key))}: {_dotted((*place, key))}")
        if isinstance(value, str)
        else value
        for key, value in raw.items()
        if value is not None
    }


def _settings(file: Document, filled: Mapping[str, Any], place: Place) -> EditSettings:
    settings = EditSettings()
    for name, value in filled.items():  # one by one, so that each has its own line
        settings = settings.or_else(read_settings({name: value}, file.where((*place, name))))
    return settings


def _refuse_unknown(file: Document, raw: Mapping[Any, Any], known: Sequence[str], place: Place) -> None:
    for name in raw:
        refuse_unknown([name], known, file.where((*place, str(name))))


def _validated(kind: type[_Model], raw: Mapping[str, Any], file: Document, place: Place) -> _Model:
    try:
        return kind.model_validate(dict(raw))
    except ValidationError as error:
        problem = error.errors()[0]
        loc = tuple(part for part in problem["loc"] if part in raw or isinstance(part, int) or len(problem["loc"]) < 2)
        field = (*place, *(loc or problem["loc"][:1]))
        if problem["type"] == "missing":
            raise UsageError(f"{file.where(place)}: {_dotted(field)} is missing") from None
        said = str(problem["msg"]).removeprefix("Input ").removeprefix("Value ")
        given = problem.get("input")
        shown = f" (it is {given!r})" if isinstance(given, Scalar | None) else ""
        raise UsageError(f"{file.where(field)}: {_dotted(field)} {said}{shown}") from None


def _dotted(place: Place) -> str:
    """A place as people count: edits.2.repeat is about the second edit."""
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in place)
