"""The paper's filters on triplets, each with the reason that is counted: unchanged, seen before, blocked, moderated."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ip2p_cli.datagen.triplets.draft import Draft
from ip2p_cli.errors import InputError
from ip2p_cli.io.names import printable, reason
from ip2p_cli.types import Caption

Moderation = Callable[[Sequence[str]], Sequence[bool]]
Judged = tuple[Caption, Draft | str]

_MAX_WORDS = 1 << 20  # bytes of a list
_MAX_INSTRUCTION, _MAX_CAPTION = 300, 1000  # characters: longer ones are no instruction and no caption


def unchanged(caption: str, edited: str) -> bool:
    """Whether two captions are the same apart from case and `.!?`, as the paper's authors compare them."""
    return _bare(caption) == _bare(edited)


def passing(drafts: Sequence[Judged], *, blocked: re.Pattern[str] | None, moderate: Moderation | None) -> list[Judged]:
    """`drafts` with the ones that must not stay replaced by the reason.

    Seen before: the same instruction or the same edited caption for the same caption (and photo). Captions are each
    once in all shards, so that is all of the data.
    """
    seen: set[tuple[str, str]] = set()
    judged: list[Judged] = []
    for caption, draft in drafts:
        if isinstance(draft, Draft):
            why = _fault(caption, draft, blocked)
            marks = {(caption.key, _bare(draft.instruction)), (caption.key, "=" + _bare(draft.edited_caption))}
            if why is None and marks & seen:
                why = "seen before"
            if why is None:
                seen |= marks
            judged.append((caption, why or draft))
        else:
            judged.append((caption, draft))
    return judged if moderate is None else _moderated(judged, moderate)


def read_blocklist(path: Path) -> re.Pattern[str]:
    """A pattern for the words and phrases of a file, one a line; # begins a comment. Raises InputError."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_WORDS).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{printable(path)}: {reason(error)}: check the path of --blocklist") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{printable(path)}: not UTF-8 text: save it as UTF-8") from error
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    words = sorted({r"\s+".join(map(re.escape, line.split())) for line in lines if line})
    if not words:
        raise InputError(f"{printable(path)}: no words: write one a line")
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)


def _fault(caption: Caption, draft: Draft, blocked: re.Pattern[str] | None) -> str | None:
    if not _bare(draft.instruction) or not _bare(draft.edited_caption):
        return "empty"
    if len(draft.instruction) > _MAX_INSTRUCTION or len(draft.edited_caption) > _MAX_CAPTION:
        return "too long"
    if unchanged(caption.caption, draft.edited_caption):
        return "caption unchanged"
    texts = (caption.caption, draft.instruction, draft.edited_caption)
    return "blocklist" if blocked is not None and any(blocked.search(text) for text in texts) else None


def _moderated(judged: list[Judged], moderate: Moderation) -> list[Judged]:
    places = [place for place, (_, draft) in enumerate(judged) if isinstance(draft, Draft)]
    texts = []
    for place in places:
        caption, draft = judged[place]
        assert isinstance(draft, Draft)
        texts.append(f"{caption.caption}\n{draft.instruction}\n{draft.edited_caption}")
    for place, flagged in zip(places, moderate(texts) if texts else (), strict=True):
        if flagged:
            judged[place] = (judged[place][0], "moderation")
    return judged


def _bare(text: str) -> str:
    return " ".join(text.split()).strip(" .!?").casefold()
