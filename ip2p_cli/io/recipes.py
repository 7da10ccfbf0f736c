"""Chain recipes: YAML files of edits that follow each other, checked before anything heavy is imported.

    name: autumn evening
    variables: {season: autumn}
    defaults: {cfg_text: 5}
    edits:
      - make it {{ season }}
      - {instruction: make it night, name: evening, cfg_image: 1.8}
      - {instruction: make it stormy, region: the sky, feather: 2%}
      - [as a watercolour, make it vintage]     # alternatives: two results from here on

An alternative that is a list is several edits, one after the other. The values of variables are texts, as the file has
them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.instructions import checked_instruction
from ip2p_cli.io.mask_settings import MASK_SETTINGS, needs_area, read_mask_settings
from ip2p_cli.io.names import printable
from ip2p_cli.io.recipe_paths import MAX_ALTERNATIVES, MAX_EDITS, Branch, Recipe, RecipeEdit, Variable, paths_of
from ip2p_cli.io.recipe_schema import EditFields, HeadFields, VariableFields
from ip2p_cli.io.setting_parser import SETTINGS, read_settings, refuse_unknown
from ip2p_cli.io.templates import Scalar, fill_in
from ip2p_cli.io.yaml_files import Document, Location, dotted, read_yaml, validated
from ip2p_cli.suggest import did_you_mean
from ip2p_cli.types import EditSettings, MaskSettings

_MAX_FILES = 50  # an included file counts as often as it is included
_MAX_VARIABLES = 100  # of a file
_MAX_ITEMS = 1000  # edits in all files, alternatives included


def quick_recipe(instructions: Sequence[str]) -> Recipe:
    """Make a chain of plain instructions.

    Raises:
        UsageError: An instruction is empty, or there are too many.
    """
    if len(instructions) > MAX_EDITS:
        raise UsageError(f"--edit: a chain of more than {MAX_EDITS} edits: use fewer")
    texts = [checked_instruction(text, "--edit: ") for text in instructions]
    edits = tuple(RecipeEdit(instruction=text, settings=EditSettings()) for text in texts)
    recipe = Recipe(name=", ".join(edit.instruction for edit in edits)[:80], edits=edits, variables={})
    paths_of(recipe)
    return recipe


def read_recipe(path: Path, values: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe and the files that it includes, and fill in its variables.

    Args:
        path: The recipe.
        values: Values of variables, in place of those in the files.

    Raises:
        InputError: A file cannot be read.
        UsageError: Something in it is not possible; the message names file, line, field and the nearest right name.
    """
    files = list(_Includes().of(path, ()))
    heads = [_head(file) for file in files]
    variables = {name: _variable(value) for head in heads for name, value in head.variables.items()}
    filled_in: dict[str, Scalar] = {name: variable.default for name, variable in variables.items()}
    for name, text in (values or {}).items():
        if name not in variables:
            known = f" It has {', '.join(variables)}." if variables else " It has none."
            hint = did_you_mean(name, variables) or known
            raise UsageError(f"--set {name}: the recipe {files[-1].shown} has no variable {name!r}.{hint}")
        filled_in[name] = text
    defaults = [_defaults(file, filled_in) for file in files]
    edits: list[RecipeEdit | Branch] = []
    if sum(_count(file.raw.get("edits", [])) for file in files) > _MAX_ITEMS:
        raise UsageError(f"{files[-1].where(['edits'])}: more than {_MAX_ITEMS} edits in all: use fewer")
    for file, (settings, model) in zip(files, defaults, strict=True):
        for edit in _edits(file, filled_in):
            # The defaults of the file come before those of the recipe that includes it.
            edits.append(_completed(_completed(edit, settings, model), *defaults[-1]))
    if not edits:
        raise UsageError(f"{files[-1].where()}: no edits: give at least one, for example edits: [make it winter]")
    recipe = Recipe(
        name=heads[-1].name,
        description=heads[-1].description,
        variables=variables,
        edits=tuple(edits),
        handoff=next((head.handoff for head in reversed(heads) if head.handoff is not None), None),
        guard=next((head.guard for head in reversed(heads) if head.guard is not None), None),
    )
    paths_of(recipe)
    return recipe


def _count(edits: object) -> int:
    """Count the edits in a list, those in lists in it included."""
    return sum(map(_count, edits)) if isinstance(edits, list) else 1


def _variable(value: VariableFields | Scalar) -> Variable:
    if isinstance(value, VariableFields):
        return Variable(default=value.default, description=value.description)
    return Variable(default=value)


class _Includes:
    """Reads a recipe and what it includes; each file once, however often it is included."""

    def __init__(self) -> None:
        self._read: dict[str, Document] = {}
        self._count = 0

    def of(self, path: Path, above: tuple[str, ...]) -> Iterator[Document]:
        """Yield the files that a recipe includes, each after those that it includes itself, and the recipe last."""
        real = os.path.realpath(path)
        document = self._read.get(real) or read_yaml(path)
        self._read[real] = document
        if not isinstance(document.raw, dict):
            raise UsageError(f"{document.where()}: not a recipe: it must hold settings, at least name and edits")
        _refuse_unknown(document, document.raw, (*HeadFields.model_fields, "defaults", "edits"), ())
        head = _head(document)
        for number, name in enumerate([head.include] if isinstance(head.include, str) else head.include):
            where = document.where(("include",) if isinstance(head.include, str) else ("include", number))
            self._count += 1
            if self._count > _MAX_FILES:
                raise UsageError(f"{where}: include: more than {_MAX_FILES} files in all: include fewer")
            if "\0" in name:
                raise UsageError(f"{where}: include: {printable(name)} is no name of a file")
            other = path.parent / name
            if os.path.realpath(other) in (*above, real):
                raise UsageError(f"{where}: include: {printable(name)} includes this file itself: leave one out")
            try:
                yield from self.of(other, (*above, real))
            except InputError as error:
                raise InputError(f"{where}: include: {error}") from error
        yield document


def _head(file: Document) -> HeadFields:
    raw = {key: value for key, value in file.raw.items() if key in HeadFields.model_fields}
    if isinstance(raw.get("variables"), dict):
        if len(raw["variables"]) > _MAX_VARIABLES:
            raise UsageError(f"{file.where(['variables'])}: more than {_MAX_VARIABLES} variables: use fewer")
        raw["variables"] = {
            name: {**value, "default": _as_written(file, value["default"], ("variables", name, "default"))}
            if isinstance(value, dict) and "default" in value
            else _as_written(file, value, ("variables", name))
            for name, value in raw["variables"].items()
        }
    return validated(HeadFields, raw, file)


def _as_written(file: Document, value: Any, location: Location) -> Any:
    """Return a plain value as its text in the file (YAML reads `no`, `12:30`, `0123` as False, 750, 83).

    Only numbers that Python writes as the file does stay numbers.
    """
    text = file.text_at(location)
    if text is None or (isinstance(value, int | float) and str(value) == text):
        return value
    return text


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


def _edits(file: Document, values: Mapping[str, Scalar]) -> list[RecipeEdit | Branch]:
    raw = file.raw.get("edits", [])
    if not isinstance(raw, list):
        raise UsageError(f"{file.where(['edits'])}: edits should be a list, for example [make it winter]")
    return [_item(file, item, values, ("edits", number)) for number, item in enumerate(raw)]


def _item(file: Document, raw: object, values: Mapping[str, Scalar], location: Location) -> RecipeEdit | Branch:
    if isinstance(raw, list):
        return _branch(file, raw, values, location)
    where = file.where(location)
    if isinstance(raw, str):
        raw = {"instruction": raw}
    if not isinstance(raw, dict):
        raise UsageError(
            f"{where}: {dotted(location)} should be an instruction, a mapping with `instruction`, or a list of "
            f"alternatives, not {raw!r}"
        )
    _refuse_unknown(file, raw, (*EditFields.model_fields, *SETTINGS, *MASK_SETTINGS), location)
    filled = _filled(file, raw, values, location)
    own = validated(EditFields, {k: v for k, v in filled.items() if k in EditFields.model_fields}, file, location)
    instruction = checked_instruction(own.instruction, f"{where}: {dotted(location)}: ")
    settings = _settings(file, {k: v for k, v in filled.items() if k in SETTINGS}, location)
    mask = _mask(file, {k: v for k, v in filled.items() if k in MASK_SETTINGS}, location)
    return RecipeEdit(**{**own.model_dump(), "instruction": instruction}, settings=settings, mask=mask, where=where)


def _mask(file: Document, filled: Mapping[str, Any], location: Location) -> MaskSettings:
    """The mask of an edit; paths are relative to the recipe's folder or, if it is not there, to the current one."""
    if not filled:
        return MaskSettings()
    where = file.where(location)
    settings = read_mask_settings(filled, f"{where}: {dotted(location)}")
    mask, model = (_beside(file, path) for path in (settings.mask, settings.region_model))
    return needs_area(replace(settings, mask=mask, region_model=model), where)


def _beside(file: Document, path: object) -> str | None:
    """A path beside a recipe or, if there is none, the path as it is."""
    if not isinstance(path, str):
        return None
    beside = file.path.parent / path
    return str(beside) if os.path.lexists(beside) else path


def _branch(file: Document, raw: list[object], values: Mapping[str, Scalar], location: Location) -> Branch:
    where = file.where(location)
    if not 1 <= len(raw) <= MAX_ALTERNATIVES:
        raise UsageError(f"{where}: {dotted(location)}: a list of 1 to {MAX_ALTERNATIVES} alternatives is needed")
    alternatives = []
    for number, alternative in enumerate(raw):
        place = (*location, number)
        if alternative == []:
            raise UsageError(f"{where}: {dotted(place)}: an alternative without an edit")
        steps = (
            [((*place, step), item) for step, item in enumerate(alternative)]
            if isinstance(alternative, list)
            else [(place, alternative)]
        )
        alternatives.append(tuple(_item(file, item, values, at) for at, item in steps))
    return Branch(alternatives=tuple(alternatives), where=where)


def _completed(item: RecipeEdit | Branch, settings: EditSettings, model: str | None) -> RecipeEdit | Branch:
    """Take what an item leaves open from defaults."""
    if isinstance(item, RecipeEdit):
        return replace(item, settings=item.settings.or_else(settings), model=item.model or model)
    alternatives = tuple(tuple(_completed(edit, settings, model) for edit in path) for path in item.alternatives)
    return replace(item, alternatives=alternatives)


def _filled(file: Document, raw: Mapping[str, Any], values: Mapping[str, Scalar], location: Location) -> dict[str, Any]:
    return {
        key: fill_in(value, values, f"{file.where((*location, key))}: {dotted((*location, key))}")
        if isinstance(value, str)
        else value
        for key, value in raw.items()
        if value is not None
    }


def _settings(file: Document, filled: Mapping[str, Any], location: Location) -> EditSettings:
    settings = EditSettings()
    for name, value in filled.items():  # one by one, so that a message names the line
        settings = settings.or_else(read_settings({name: value}, file.where((*location, name))))
    return settings


def _refuse_unknown(file: Document, raw: Mapping[Any, Any], known: Sequence[str], location: Location) -> None:
    for name in raw:
        refuse_unknown([name], known, file.where((*location, str(name))))
