"""Our own hand-written triplets (seeds.yaml): exemplars for language models, and examples to fine-tune one on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml


@dataclass(frozen=True)
class Exemplar:
    """A triplet that shows how it is done. kind: as in grammar.yaml."""

    caption: str
    instruction: str
    edited_caption: str
    kind: str


@cache
def exemplars() -> Sequence[Exemplar]:
    """All of them, in the file's order: by kind."""
    found = yaml.safe_load(_text())
    return tuple(Exemplar(row[0], row[1], row[2], kind) for kind, rows in found.items() for row in rows)


def digest() -> str:
    """Of the exemplars: others lead to other answers."""
    return hashlib.sha256(_text().encode()).hexdigest()[:16]


def _text() -> str:
    return resources.files(__package__).joinpath("seeds.yaml").read_text("utf-8")
