"""The first stage: one pass over the source, a shard at a time; it goes on where it stopped, however it stopped.

A shard's marker is written before what was seen is committed: a pass that dies between the two writes that shard again,
to the same bytes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ip2p_cli.datagen.captions.cleaning import clean, language_check, normal, out_of_bounds
from ip2p_cli.datagen.captions.deduplication import Deduplicator, Place
from ip2p_cli.datagen.captions.sources import Raw, Source
from ip2p_cli.datagen.stages import key_of
from ip2p_cli.errors import InputError, OutputError
from ip2p_cli.io.files import as_output_error, write_whole
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Marker, Shards, ShardWriter
from ip2p_cli.types import Caption

FOLDER = "captions"
_SEEN = ".seen.sqlite"
_WHOLE = "whole.json"


@dataclass(frozen=True, kw_only=True)
class CaptionSettings:
    """What is kept of a source.

    words: least and most of a caption. language: a code, or "any". near: similarity from which captions are the same,
    None for exactly the same ones only. limit: captions at most. rows: of a shard.
    """

    words: tuple[int, int] = (2, 60)
    language: str = "en"
    near: float | None = 0.8
    limit: int | None = None
    rows: int = 1000


def caption_shards(
    source: Source, data: Path, settings: CaptionSettings, *, redo: bool = False
) -> Iterator[tuple[Marker, bool]]:
    """Write the shards of `data`/captions: (marker, whether it was there already), in order.

    Raises InputError where the source cannot be read, UsageError where the folder was made from another source or with
    other settings, unless `redo`; what was made of it is then made anew too.
    """
    shards = Shards(folder=data / FOLDER)
    right, told_by = language_check(settings.language)
    about = {
        "source": source.path.name,
        "fingerprint": source.fingerprint(),
        "column": source.column,
        "words": settings.words,
        "language": settings.language,
        "language_by": told_by,
        "near": settings.near,
        "limit": settings.limit,
        "rows": settings.rows,
    }
    shards.begin(about, redo=redo)
    if redo:
        _forget(shards.folder)
    done, whole = shards.done(), _whole(shards.folder)
    if whole is not None and list(done) == list(range(whole)):
        yield from ((marker, True) for marker in done.values())
        return
    try:
        with _opened(shards.folder, settings.near, set(done)) as seen:
            yield from ((done[n], True) for n in range(seen.place().shard))
            yield from ((marker, False) for marker in _Pass(shards, source, settings, right, seen).run())
    except sqlite3.Error as error:
        told = "wait for the other run into this folder" if "locked" in str(error) else "--redo begins anew"
        raise OutputError(f"{printable(shards.folder / _SEEN)}: {error}: {told}") from error
    _forget(shards.folder, whole=False)


def _opened(folder: Path, near: float | None, done: set[int]) -> Deduplicator:
    """What was seen so far; nothing, where shards of it are gone: all are written again then, to the same bytes."""
    with as_output_error(folder / _SEEN):
        seen = Deduplicator(folder / _SEEN, near)
        if set(range(seen.place().shard)) <= done and _whole(folder) is None:
            return seen
        seen.close()
        _forget(folder)
        return Deduplicator(folder / _SEEN, near)


class _Pass:
    """One pass over the source, from where `seen` stopped."""

    def __init__(
        self,
        shards: Shards,
        source: Source,
        settings: CaptionSettings,
        right: Callable[[str], bool],
        seen: Deduplicator,
    ) -> None:
        self._shards, self._settings, self._right, self._seen = shards, settings, right, seen
        place = seen.place()
        self._number, self._position, self._kept = place.shard, place.position, place.kept
        self._next = place.pending  # the first row of the next shard: found when the last one was full
        self._rows = islice(source.rows(), self._position, None)

    def run(self) -> Iterator[Marker]:
        """The markers of the shards that were written."""
        more = True
        while more:
            with self._shards.writing(self._number) as writer:
                more = self._fill(writer)
            marker = self._shards.marker(self._number)
            self._number += 1
            self._seen.commit(Place(self._number, self._position, self._kept, self._next))
            if not more:
                text = json.dumps({"shards": self._number, "rows": self._kept}) + "\n"
                write_whole(self._shards.folder / _WHOLE, text.encode(), overwrite=True)
            yield marker

    def _fill(self, writer: ShardWriter) -> bool:
        """Write a shard; whether there is another one. What is dropped after its last row is counted in it."""
        if self._next is not None:
            writer.add(self._next)
            self._next = None
        for raw in self._rows if self._kept != self._settings.limit else ():
            self._position += 1
            row = self._judged(raw, writer)
            if row is None:
                continue
            self._kept += 1
            if writer.rows == self._settings.rows:
                self._next = row
                return True
            writer.add(row)
            if self._kept == self._settings.limit:
                break
        return False

    def _judged(self, raw: Raw, writer: ShardWriter) -> Mapping[str, Any] | None:
        """The row for what was found; None where it is dropped, which is counted."""
        text = clean(raw.text)
        why = out_of_bounds(text, *self._settings.words)
        if why is None and raw.written and not self._right(text):
            why = "other language"
        try:
            content = raw.content() if why is None else None
        except InputError:
            why, content = "unreadable photo", None
        if why is None:
            why = self._repeated(text, content)
        if why is not None:
            writer.drop(why)
            return None
        key = key_of("caption", text) if content is None else key_of("photo", content)
        return asdict(Caption(key=key, caption=text, image=None if raw.image is None else str(raw.image)))

    def _repeated(self, text: str, content: str | None) -> str | None:
        """Photos are the same only where their bytes are."""
        if content is not None:
            return "duplicate photo" if self._seen.duplicate(f"photo:{content}") else None
        plain = normal(text)
        if self._seen.duplicate(f"text:{plain}"):
            return "duplicate"
        return "near duplicate" if self._seen.near_duplicate(plain) else None


def _whole(folder: Path) -> int | None:
    """How many shards a pass that reached the end of its source wrote; None where none did."""
    try:
        return int(json.loads((folder / _WHOLE).read_text("utf-8"))["shards"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _forget(folder: Path, *, whole: bool = True) -> None:
    """Delete what a pass remembers; whole: also that one reached the end."""
    for name in (_SEEN, f"{_SEEN}-wal", f"{_SEEN}-shm", *((_WHOLE,) if whole else ())):
        (folder / name).unlink(missing_ok=True)
