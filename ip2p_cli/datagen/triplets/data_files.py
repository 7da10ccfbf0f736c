"""The tables of this package: grammar.yaml and seeds.yaml."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Any

import yaml


@cache
def load(name: str) -> Any:
    """The content of a YAML file."""
    return yaml.safe_load(_text(name))


def digest(name: str) -> str:
    """A hash of a file: other tables lead to other triplets."""
    return hashlib.sha256(_text(name).encode()).hexdigest()[:16]


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
