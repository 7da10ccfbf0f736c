"""YAML files that people write: read with the safe loader, bounded, and every value's line known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.files import check_regular_file
from ip2p_cli.io.names import printable, reason

_MAX_BYTES = 256 * 1024
_MAX_DEPTH = 20


@dataclass(frozen=True, kw_only=True)
class Document:
    """A YAML file, read. shown: its path for messages. raw: plain Python values. root: the same with lines."""

    path: Path
    shown: str
    raw: Any
    root: yaml.Node | None

    def where(self, place: Sequence[int | str] = ()) -> str:
        """File and line of what is at `place`, as messages begin with them."""
        return f"{self.shown}:{line_of(self.root, place)}"


def read_yaml(path: Path) -> Document:
    """The YAML file `path`.

    Raises InputError where it cannot be read, UsageError, with the line, where it is no YAML, where it is nested too
    deep, refers to its own parts (a few lines could grow beyond any memory) or says something twice.
    """
    check_regular_file(path)
    shown = printable(path)
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
        root = yaml.compose(text, yaml.SafeLoader)
        for key in _said_twice(root):
            raise UsageError(f"{shown}:{key.start_mark.line + 1}: {key.value!r} is said twice: leave one out")
        return Document(path=path, shown=shown, raw=yaml.safe_load(text), root=root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        said = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UsageError(f"{shown}{line}: not valid YAML: {printable(said)}") from error
    except ValueError as error:  # a date that does not exist, a number too long
        raise UsageError(f"{shown}: not valid YAML: {printable(str(error))}") from error


def line_of(node: yaml.Node | None, place: Sequence[int | str]) -> int:
    """The line, from 1, of the node at `place`, or of what would hold it."""
    line = 1 if node is None else node.start_mark.line + 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


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
            raise UsageError(f"{shown}:{line}: *{event.anchor}: references are not taken: write it out, or use include")


def _said_twice(node: yaml.Node | None) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    yield key
                seen.add(key.value)
            yield from _said_twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _said_twice(value)
