"""YAML files that people write: recipes and the config file.

They are read with the safe loader and bounded in size, and every message names the file, the line and the field.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.files import check_regular_file
from ip2p_cli.io.names import printable, reason
from ip2p_cli.suggest import did_you_mean

Location = tuple[int | str, ...]  # the keys and indices that lead to a value
Model = TypeVar("Model", bound=BaseModel)

_MAX_BYTES = 256 * 1024
_MAX_DEPTH = 20
_MAX_DIGITS = 100
# Where pydantic's message uses the names of Python's types.
_EXPECTED = {
    "model_type": "should be a mapping of settings",
    "dict_type": "should be a mapping",
    "tuple_type": "should be a list",
    "too_long": "should be a shorter list",
    "too_short": "should be a longer list",
}


class StrictModel(BaseModel):
    """A part of a file in which every key has to be known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _StrictLoader(yaml.SafeLoader):
    """Refuses keys that are given twice, deep nesting, and references, as a few lines of them could fill any memory."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node within the bounds."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise ComposerError(None, None, "references (*name) are not supported: write the value out", mark)
        if self._depth > _MAX_DEPTH:
            raise ComposerError(None, None, f"nested deeper than {_MAX_DEPTH} levels", mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping whose keys differ."""
        node = super().compose_mapping_node(anchor)
        keys = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in keys:
                raise ComposerError(None, None, f"{key.value!r} is given twice: leave one out", key.start_mark)
            keys.add(key.value)
        return node


def _short_int(loader: _StrictLoader, node: yaml.ScalarNode) -> int:
    if len(node.value) > _MAX_DIGITS:  # Python cannot write numbers of some thousand digits
        raise ConstructorError(None, None, f"a number of more than {_MAX_DIGITS} digits", node.start_mark)
    return int(loader.construct_yaml_int(node))


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _short_int)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A YAML file that was read. shown: its path for messages. root: its content as nodes, which know their lines."""

    path: Path
    shown: str
    raw: Any
    root: yaml.Node | None

    def where(self, location: Sequence[int | str] = ()) -> str:
        """Name the file and line of a value, or of what would hold it: how messages begin."""
        return f"{self.shown}:{self._way_to(location)[-1][0]}"

    def text_at(self, location: Sequence[int | str]) -> str | None:
        """Return a plain value as the file has it, without quotes; None for null and for anything else."""
        way = self._way_to(location)
        node = way[-1][1]
        is_text = len(way) > len(location) and isinstance(node, yaml.ScalarNode) and not node.tag.endswith(":null")
        return str(node.value) if is_text else None

    def _way_to(self, location: Sequence[int | str]) -> list[tuple[int, Any]]:
        """List the line and the node of the document and of each part of a location, as far as they exist."""
        node: Any = self.root
        way = [(node.start_mark.line + 1 if node else 1, node)]
        for part in location:
            if isinstance(node, yaml.MappingNode):
                pairs = [(key.start_mark.line + 1, value) for key, value in node.value if key.value == part]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                pairs = [(item.start_mark.line + 1, item) for item in node.value[part : part + 1]]
            else:
                pairs = []
            if not pairs:
                break
            way.append(pairs[0])
            node = pairs[0][1]
        return way


def read_yaml(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        InputError: The file cannot be read.
        UsageError: It is not valid YAML, or has repeated keys, references or deep nesting; the message names the line.
    """
    shown = printable(path)
    if "\0" in str(path):
        raise InputError(f"{shown}: no file has such a name: check the path")
    if os.path.isdir(path):  # noqa: PTH112 - False for a name that is too long
        raise InputError(f"{shown} is a folder: name a YAML file in it")
    check_regular_file(path)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{shown}: {reason(error)}: check the path and its permissions") from error
    if len(data) > _MAX_BYTES:
        raise InputError(f"{shown}: larger than {_MAX_BYTES // 1024} KB: that is no recipe")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown}: not UTF-8 text: save it as UTF-8") from error
    try:
        loader = _StrictLoader(text)
        root = loader.get_single_node()
        raw = None if root is None else loader.construct_document(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        cause = " ".join(str(getattr(error, "problem", None) or error).split())
        what = "" if isinstance(error, ComposerError) else "not valid YAML: "
        raise UsageError(f"{shown}{line}: {what}{printable(cause)}") from error
    except ValueError as error:  # a date that does not exist, a number too long
        raise UsageError(f"{shown}: not valid YAML: {printable(str(error))}") from error
    return Document(path=path, shown=shown, raw=raw, root=root)


def validated(model: type[Model], raw: object, document: Document, location: Location = ()) -> Model:
    """Check `raw`, the part of a document at a location, against a pydantic model.

    Raises:
        UsageError: It does not fit; the message names file, line and field, and the nearest name for an unknown one.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        # A mistyped name is both unknown and missing: the first says more.
        problem = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    inner = _existing_part(raw, problem["loc"], keep_last=problem["type"] == "missing")
    field, known = dotted((*location, *inner)) or "the file", _fields(model, inner)
    where = document.where((*location, *inner))  # of what is missing: what would hold it
    if problem["type"] == "missing":
        description = known[str(inner[-1])].description
        raise UsageError(f"{where}: {field} is missing{f': {description}' if description else ''}")
    if problem["type"] == "invalid_key":  # a number, a date, or what YAML takes for true or null
        raise UsageError(f"{where}: there is no setting {problem['input']!r}: names of settings are texts")
    if problem["type"] == "extra_forbidden":
        raise UsageError(f"{where}: there is no setting {field}.{did_you_mean(str(problem['loc'][-1]), known)}")
    text = _EXPECTED.get(problem["type"]) or re.sub(r"^\w+ (?=should)", "", problem["msg"])
    given = problem["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float | None) else ""
    raise UsageError(f"{where}: {field} {text}{shown}")


def dotted(location: Location) -> str:
    """Write a location for people, who count from 1: edits.2.repeat is in the second edit."""
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in location)


def _existing_part(raw: Any, location: Location, *, keep_last: bool) -> Location:
    """Leave out of a location what is not in `raw`: pydantic also puts the members of unions into it."""
    value = raw
    parts: list[int | str] = []
    for number, part in enumerate(location):
        is_index = isinstance(value, Sequence) and isinstance(part, int) and part < len(value)
        if is_index or (isinstance(value, Mapping) and part in value):
            value = value[part]
            parts.append(part)
        elif keep_last and number == len(location) - 1:
            parts.append(part)
    return tuple(parts)


def _fields(model: type[BaseModel], location: Location) -> dict[str, FieldInfo]:
    """The fields that may stand at a location in a model, where models may hold others."""
    models = [model]
    for part in location[:-1]:
        inner = [field.annotation for each in models for name, field in each.model_fields.items() if name == part]
        models = [each for annotation in inner for each in _models_in(annotation)] or models
    return {name: field for each in models for name, field in each.model_fields.items()}


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
