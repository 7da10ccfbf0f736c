"""The paper's filters on triplets, each with the reason that is counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ip2p_cli.datagen.triplets.draft import Draft
from ip2p_cli.errors import InputError
from ip2p_cli.io.names import printable
from ip2p_cli.io.tables import reading
from ip2p_cli.types import Caption

Moderation = Callable[[Sequence[str]], Sequence[bool]]
CaptionedDraft = tuple[Caption, Draft | str]

_MAX_LIST = 1 << 20  # bytes
_MAX_INSTRUCTION, _MAX_CAPTION = 300, 1000  # characters: longer ones are no instruction and no caption


def unchanged(caption: str, edited: str) -> bool:
    """Whether two captions are the same apart from case and `.!?`, as the paper's authors compare them."""
    return _bare(caption) == _bare(edited)


def passing(
    drafts: Sequence[CaptionedDraft], *, blocked: re.Pattern[str] | None, moderate: Moderation | None
) -> list[CaptionedDraft]:
    """Replace the drafts that must not stay by the reason.

    Args:
        drafts: Captions, each with a draft or with the reason why there is none.
        blocked: Words that no text may have.
        moderate: Tells of each text whether it must be dropped.

    Returns:
        The drafts in the same order. An instruction or edited caption that repeats for a caption (and photo) is
        dropped; as each caption is in one shard only, that holds for the whole dataset.
    """
    seen: set[tuple[str, str]] = set()
    checked: list[CaptionedDraft] = []
    for caption, draft in drafts:
        if isinstance(draft, str):
            checked.append((caption, draft))
            continue
        why = _fault(caption, draft, blocked)
        marks = {(caption.key, _bare(draft.instruction)), (caption.key, "=" + _bare(draft.edited_caption))}
        if why is None and marks & seen:
            why = "seen before"
        if why is None:
            seen |= marks
        checked.append((caption, why or draft))
    return checked if moderate is None else _moderated(checked, moderate)


def read_blocklist(path: Path) -> re.Pattern[str]:
    """Read a file with a word or phrase in each line; # begins a comment.

    Returns:
        A pattern that finds any of them as whole words.

    Raises:
        InputError: The file cannot be read, or has no words.
    """
    with reading(path, "check the path of --blocklist"), path.open("rb") as file:
        text = file.read(_MAX_LIST).decode("utf-8-sig")
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    words = sorted({r"\s+".join(map(re.escape, line.split())) for line in lines if line})
    if not words:
        raise InputError(f"{printable(path)}: no words: write one in each line")
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)


def _fault(caption: Caption, draft: Draft, blocked: re.Pattern[str] | None) -> str | None:
    if not _bare(draft.instruction) or not _bare(draft.edited_caption):
        return "empty"
    if len(draft.instruction) > _MAX_INSTRUCTION or len(draft.edited_caption) > _MAX_CAPTION:
        return "too long"
    if unchanged(caption.caption, draft.edited_caption):
        return "caption unchanged"
    texts = (caption.caption, draft.instruction, draft.edited_caption)
    return "blocklist" if blocked is not None and any(map(blocked.search, texts)) else None


def _moderated(drafts: list[CaptionedDraft], moderate: Moderation) -> list[CaptionedDraft]:
    texts = [
        f"{caption.caption}\n{draft.instruction}\n{draft.edited_caption}"
        for caption, draft in drafts
        if isinstance(draft, Draft)
    ]
    flags = iter(moderate(texts) if texts else ())
    return [(c, "moderation") if isinstance(draft, Draft) and next(flags) else (c, draft) for c, draft in drafts]


def _bare(text: str) -> str:
    return " ".join(text.split()).strip(" .!?").casefold()
