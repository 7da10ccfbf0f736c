"""What writers give for a caption, before the filters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ip2p_cli.types import Caption


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An instruction, and the caption of the edited picture; the fields are as in `types.Triplet`."""

    instruction: str
    edited_caption: str
    kind: str
    look: str | None = None


class Writer(Protocol):
    """Writes drafts."""

    @property
    def name(self) -> str:
        """The value of `writer` in rows."""

    def drafts(self, captions: Sequence[Caption]) -> Iterator[tuple[Caption, Draft | str]]:
        """Write drafts for the captions of a shard, in order.

        Yields:
            A caption with a draft, or with the reason why there is none. They depend on `captions` alone.
        """
