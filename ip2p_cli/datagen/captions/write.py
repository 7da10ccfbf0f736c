"""Writes captions: one pass over the source, a shard at a time. A pass that was stopped goes on where it was.

A shard's marker is written before the pass's position is committed: a pass that dies between the two writes that shard
again, with the same bytes.
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
from ip2p_cli.datagen.captions.deduplication import Deduplicator
from ip2p_cli.datagen.captions.sources import FoundCaption, Source
from ip2p_cli.datagen.stages import key_of
from ip2p_cli.errors import InputError, OutputError
from ip2p_cli.io.files import as_output_error, write_whole
from ip2p_cli.io.locks import locked_folder
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Marker, Shards, ShardWriter
from ip2p_cli.types import Caption

_DATABASE = ".seen.sqlite"
_FINISHED = "whole.json"


@dataclass(frozen=True, kw_only=True)
class CaptionSettings:
    """Which captions of a source are kept.

    Attributes:
        words: The least and the most words of a caption.
        language: A code, such as "en", or "any".
        near: The similarity, in (0, 1], from which captions count as the same; None compares them exactly.
        limit: The most captions.
        rows: The captions in a shard.
    """

    words: tuple[int, int] = (2, 60)
    language: str = "en"
    near: float | None = 0.8
    limit: int | None = None
    rows: int = 1000


def write_captions(
    source: Source, data: Path, settings: CaptionSettings | None = None, *, redo: bool = False
) -> Iterator[tuple[Marker, bool]]:
    """Write the shards of `data`/captions.

    Args:
        source: Where the captions come from; see `source_of`.
        data: The dataset's folder.
        settings: Which captions are kept. None is the defaults.
        redo: Write the shards again.

    Yields:
        The marker of each shard in order, and whether the shard existed before.

    Raises:
        InputError: The source cannot be read.
        OutputError: The folder cannot be written, or another run writes into it.
        UsageError: The folder was made from another source or with other settings.
    """
    settings = settings or CaptionSettings()
    shards = Shards(folder=data / "captions")
    source.check()  # before the folder is made
    with locked_folder(shards.folder):
        yield from _write(source, shards, settings, redo)


def _write(source: Source, shards: Shards, settings: CaptionSettings, redo: bool) -> Iterator[tuple[Marker, bool]]:
    in_language, method = language_check(settings.language)
    about = {"source": source.path.name, "fingerprint": source.fingerprint(), "column": source.column}
    shards.begin(about | {"language_by": method} | asdict(settings), redo=redo)
    if redo:
        _forget(shards.folder, _FINISHED)
    done, count = shards.done(), _finished_count(shards.folder)
    if count is not None and list(done) == list(range(count)):
        yield from ((marker, True) for marker in done.values())
        return
    try:
        with _open_deduplicator(shards.folder, settings.near, set(done)) as seen:
            yield from ((done[number], True) for number in range(seen.progress().shard))
            yield from ((marker, False) for marker in _Pass(shards, source, settings, in_language, seen).run())
    except sqlite3.Error as error:
        fix = "wait for the other run into this folder" if "locked" in str(error) else "--redo begins anew"
        raise OutputError(f"{printable(shards.folder / _DATABASE)}: {error}: {fix}") from error
    _forget(shards.folder)


def _open_deduplicator(folder: Path, near: float | None, done: set[int]) -> Deduplicator:
    """What an earlier pass saw; nothing where its shards are missing: all are written again, with the same bytes."""
    with as_output_error(folder / _DATABASE):
        seen = Deduplicator(folder / _DATABASE, near)
        if set(range(seen.progress().shard)) <= done and _finished_count(folder) is None:
            return seen
        seen.close()
        _forget(folder, _FINISHED)
        return Deduplicator(folder / _DATABASE, near)


@dataclass
class _Pass:
    """One pass over the source, from where `seen` stopped."""

    shards: Shards
    source: Source
    settings: CaptionSettings
    in_language: Callable[[str], bool]
    seen: Deduplicator

    def __post_init__(self) -> None:
        """Go to where the last pass stopped."""
        self._at = self.seen.progress()
        self._captions = islice(self.source.captions(), self._at.position, None)

    def run(self) -> Iterator[Marker]:
        """Write the shards; yields their markers."""
        more = True
        while more:
            number = self._at.shard
            with self.shards.writing(number) as writer:
                more = self._fill(writer)
            marker = self.shards.marker(number)
            self._at.shard += 1
            self.seen.commit(self._at)
            if not more:
                text = json.dumps({"shards": number + 1, "rows": self._at.kept}) + "\n"
                write_whole(self.shards.folder / _FINISHED, text.encode(), overwrite=True)
            yield marker

    def _fill(self, writer: ShardWriter) -> bool:
        """Write a shard, with the counts of all that is dropped before the next shard's first row.

        Returns:
            Whether there is another shard.
        """
        if self._at.next_row is not None:
            writer.add(self._at.next_row)
            self._at.next_row = None
        while self._at.kept != self.settings.limit:
            found = next(self._captions, None)
            if found is None:
                break
            self._at.position += 1
            row = self._checked(found, writer)
            if row is None:
                continue
            self._at.kept += 1
            if writer.rows == self.settings.rows:
                self._at.next_row = row
                return True
            writer.add(row)
        return False

    def _checked(self, found: FoundCaption, writer: ShardWriter) -> Mapping[str, Any] | None:
        """The row for a caption; None where it is dropped, which is counted."""
        text, content = clean(found.text), None
        why = out_of_bounds(text, *self.settings.words)
        if why is None and found.written and not self.in_language(text):
            why = "other language"
        if why is None:
            try:
                content = found.photo_hash()
                why = self._repetition(text, content)
            except InputError:
                why = "unreadable photo"
        if why is not None:
            writer.drop(why)
            return None
        key = key_of("caption", text) if content is None else key_of("photo", content)
        return asdict(Caption(key=key, caption=text, image=None if found.image is None else str(found.image)))

    def _repetition(self, text: str, content: str | None) -> str | None:
        """Whether a text, or with `content` a photo, was seen before. Photos are the same where their bytes are."""
        if content is not None:
            return "duplicate photo" if self.seen.add(f"photo:{content}") else None
        plain = normal(text)
        if self.seen.add(f"text:{plain}"):
            return "duplicate"
        return "near duplicate" if self.seen.add_near(plain) else None


def _finished_count(folder: Path) -> int | None:
    """The number of shards that a finished pass wrote; None where no pass has finished."""
    try:
        return int(json.loads((folder / _FINISHED).read_text("utf-8"))["shards"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _forget(folder: Path, *more: str) -> None:
    """Delete the pass's database, and other files of the folder."""
    for name in (_DATABASE, f"{_DATABASE}-wal", f"{_DATABASE}-shm", *more):
        (folder / name).unlink(missing_ok=True)
