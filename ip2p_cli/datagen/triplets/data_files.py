"""The hand-written tables of this package: grammar.yaml, and the triplets of seeds.yaml."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml


@dataclass(frozen=True)
class Exemplar:
    """A hand-written triplet. `kind` is one of grammar.yaml."""

    caption: str
    instruction: str
    edited_caption: str
    kind: str


@cache
def grammar() -> Mapping[str, Any]:
    """The tables of grammar.yaml."""
    tables: Mapping[str, Any] = yaml.safe_load(_text("grammar.yaml"))
    return tables


@cache
def exemplars() -> Sequence[Exemplar]:
    """The triplets of seeds.yaml in the file's order, which is by kind."""
    tables = yaml.safe_load(_text("seeds.yaml"))
    return tuple(Exemplar(row[0], row[1], row[2], kind) for kind, rows in tables.items() for row in rows)


def digest(name: str) -> str:
    """A hash of a file: other tables lead to other triplets."""
    return hashlib.sha256(_text(name).encode()).hexdigest()[:16]


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
