"""Our hand-written triplets: exemplars for language models, and examples to fine-tune one on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ip2p_cli.datagen.triplets.data_files import load


@dataclass(frozen=True)
class Exemplar:
    """A hand-written triplet. `kind` is one of grammar.yaml."""

    caption: str
    instruction: str
    edited_caption: str
    kind: str


@cache
def exemplars() -> Sequence[Exemplar]:
    """All exemplars of seeds.yaml in the file's order, which is by kind."""
    return tuple(Exemplar(row[0], row[1], row[2], kind) for kind, rows in load("seeds.yaml").items() for row in rows)
