"""What a writer gives for a caption, before the filters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ip2p_cli.types import Caption


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An instruction and what the picture shows afterwards; the other fields as in `types.Triplet`."""

    instruction: str
    edited_caption: str
    kind: str
    look: str | None = None


class Writer(Protocol):
    """Writes drafts. name: what rows say in `writer`."""

    @property
    def name(self) -> str:
        """What rows say in `writer`."""

    def drafts(self, captions: Sequence[Caption]) -> Iterator[tuple[Caption, Draft | str]]:
        """Drafts for a shard's captions, in their order, or why there is none: they follow from `captions` alone."""
