"""YAML files that people write: recipes and the config file.

They are read with the safe loader and bounded in size, and every message names the file, the line and the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.files import check_regular_file
from ip2p_cli.io.names import printable, reason
from ip2p_cli.suggest import did_you_mean

Location = tuple[int | str, ...]  # the keys and indices that lead to a value
Model = TypeVar("Model", bound=BaseModel)

_MAX_BYTES = 256 * 1024
_MAX_DEPTH = 20
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


@dataclass(frozen=True, kw_only=True)
class Document:
    """A YAML file that was read.

    Attributes:
        path: The file.
        shown: Its path for messages.
        raw: Its content as plain Python values.
        root: The same as nodes, which know their lines and their text.
    """

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

    Refused are keys that are given twice, deep nesting, and references to other parts of the file, through which a few
    lines could grow beyond any memory.

    Raises:
        InputError: The file cannot be read.
        UsageError: It is not valid YAML, or refused; the message names the line.
    """
    shown = printable(path)
    if path.is_dir():
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
        _check_events(text, shown)
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        for key in _repeated_keys(root):
            raise UsageError(f"{shown}:{key.start_mark.line + 1}: {key.value!r} is given twice: leave one out")
        raw = None if root is None else loader.construct_document(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        cause = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UsageError(f"{shown}{line}: not valid YAML: {printable(cause)}") from error
    except ValueError as error:  # a date that does not exist, a number too long
        raise UsageError(f"{shown}: not valid YAML: {printable(str(error))}") from error
    return Document(path=path, shown=shown, raw=raw, root=root)


def _check_events(text: str, shown: str) -> None:
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        line = event.start_mark.line + 1 if event.start_mark else 1
        if depth > _MAX_DEPTH:
            raise UsageError(f"{shown}:{line}: nested deeper than {_MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            raise UsageError(f"{shown}:{line}: *{event.anchor}: references are not supported: write the value out")


def _repeated_keys(node: yaml.Node | None) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    yield key
                keys.add(key.value)
            yield from _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated_keys(value)


def validated(model: type[Model], raw: object, document: Document, location: Location = ()) -> Model:
    """Check a part of a document against a pydantic model.

    Args:
        model: The model.
        raw: The part.
        document: The file that it comes from.
        location: Where in the file it is.

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
    if problem["type"] == "extra_forbidden":
        raise UsageError(f"{where}: there is no setting {field}.{did_you_mean(str(inner[-1]), known)}")
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
