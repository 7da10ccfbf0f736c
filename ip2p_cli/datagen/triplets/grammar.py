"""Writes triplets without a model: each of the hand-written edits in grammar.yaml is tried on a caption."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ip2p_cli.datagen.stages import seed_of
from ip2p_cli.datagen.triplets import english
from ip2p_cli.datagen.triplets.data_files import grammar
from ip2p_cli.datagen.triplets.draft import Draft
from ip2p_cli.datagen.triplets.filters import unchanged
from ip2p_cli.looks import looks
from ip2p_cli.types import Caption


@dataclass(frozen=True)
class Edit:
    """An edit that fits a caption.

    Attributes:
        kind: The kind of edit.
        group: The name of similar edits, which are balanced within a kind.
        edited: The edited caption.
        wordings: Instructions that ask for the edit.
        look: The look that paints the edit, or None.
    """

    kind: str
    group: str
    edited: str
    wordings: Sequence[str]
    look: str | None = None


def edits_of(caption: str, *, looks_only: bool = False) -> list[Edit]:
    """The edits that fit a caption; with `looks_only` those that a look paints."""
    sources = [_look_edits]
    if not looks_only:
        sources += [_phrase_edits, _swaps, _word_edits, _descriptions, _clothes, _removals]
    return [edit for source in sources for edit in source(caption) if not unchanged(caption, edit.edited)]


class GrammarWriter:
    """Chooses among the edits that fit a caption.

    Args:
        seed: Of the choice.
        per_caption: The triplets to write for each caption.
        looks_only: Choose only edits that a look paints.
        balance: Choose the kinds, and the groups in a kind, equally often in a shard.
    """

    name = "grammar"

    def __init__(self, seed: int, per_caption: int, *, looks_only: bool = False, balance: bool = True) -> None:
        self._seed, self._count, self._looks_only, self._balance = seed, per_caption, looks_only, balance

    def drafts(self, captions: Sequence[Caption]) -> Iterator[tuple[Caption, Draft | str]]:
        """See `Writer`. A caption's drafts depend on the captions before it where kinds are balanced."""
        used: Counter[str] = Counter()
        for caption in captions:
            draw = random.Random(seed_of(self._seed, caption.key, "grammar"))
            fitting = edits_of(caption.caption, looks_only=self._looks_only)
            draw.shuffle(fitting)
            own: Counter[str] = Counter()  # the kinds that this caption has: others come first
            for _ in range(self._count):
                if not fitting:
                    yield caption, "no edit fits"
                    break
                if self._balance:
                    fitting.sort(key=lambda e: (own[e.kind], used[e.kind], used[f"{e.kind}/{e.group}"]))
                edit = fitting[0]
                own[edit.kind] += 1
                used.update((edit.kind, f"{edit.kind}/{edit.group}"))
                fitting = [other for other in fitting if other.group != edit.group and other.edited != edit.edited]
                wording = draw.choice(edit.wordings)
                yield caption, Draft(instruction=wording, edited_caption=edit.edited, kind=edit.kind, look=edit.look)


def _look_edits(caption: str) -> Iterator[Edit]:
    for name, entry in grammar()["looks"].items():
        yield from _of_entry(caption, entry, looks()[name].wordings, name)


def _phrase_edits(caption: str) -> Iterator[Edit]:
    scene = any(english.find_noun(caption, noun) for noun in grammar()["scenes"])
    for entry in grammar()["edits"]:
        if scene or not entry.get("scenes"):
            yield from _of_entry(caption, entry, entry["say"], None)


def _of_entry(caption: str, entry: Mapping[str, Any], wordings: Sequence[str], look: str | None) -> Iterator[Edit]:
    """The edits of an entry with `add` or `as`; none where they would contradict the caption."""
    kind = entry["kind"]
    rules = grammar()["kinds"][kind]
    if rules.get("outdoors") and english.has_word(caption, grammar()["indoors"]):
        return
    slot = english.find_slot(caption, rules.get("slots", ()))
    rest = caption[: slot.start()] + caption[slot.end() :] if slot else english.beyond_picture(caption)
    if english.has_word(rest, rules.get("unless", ())):
        return
    if kind == "place" and slot is None and re.search(r"\b(?:in|on|at|by|near|over|across|through)\b", caption, re.I):
        return
    if "as" in entry:
        yield from (Edit(kind, what, english.depicted(caption, what), wordings, look) for what in entry["as"])
        return
    family = entry["add"]
    if slot is not None and english.has_word(slot.group(), [phrase.strip(" ,") for phrase in family]):
        return
    for phrase in family:
        if slot is not None and not phrase.startswith(","):
            edited = caption[: slot.start()] + phrase + caption[slot.end() :]
        else:
            edited = english.added(caption, phrase)
        yield Edit(kind, look or family[0], edited, wordings, look)


def _swaps(caption: str) -> Iterator[Edit]:
    for kind, table in grammar()["swap"].items():
        for noun, others in table["nouns"].items():
            at = english.find_noun(caption, noun)
            if at is None or english.word_before(caption, at) in grammar()["words"]["material"]["words"]:
                continue
            for other in others:
                new = english.plural_of(other) if at.plural else other
                named = english.with_article(other, at.plural)
                say = [text.format(old=at.text, new=named) for text in table["say"]]
                yield Edit(kind, f"{noun} {other}", english.replaced(caption, at, new), say)


def _word_edits(caption: str) -> Iterator[Edit]:
    for name, table in grammar()["words"].items():
        kind = table.get("kind", name)
        for word, others in table["words"].items():
            match = english.described(caption, word)
            if match is None:
                continue
            at, noun = match
            last = noun.split()[-1]
            if last not in table.get("of", (last,)) or last in table.get("not_of", ()):
                continue
            for other in others:
                named = f"{english.article_of(other)} {other}"
                templates = [text for text in table["say"] if "{a new}" not in text or not noun.endswith("s")]
                say = [text.replace("{a new}", named).format(noun=noun, new=other) for text in templates]
                yield Edit(kind, f"{word} {other}", english.replaced(caption, at, other), say)


def _descriptions(caption: str) -> Iterator[Edit]:
    for kind, table in grammar()["describe"].items():
        for noun in table["nouns"]:
            at = english.find_noun(caption, noun)
            if at is None or not english.follows_article(caption, at):
                continue
            for word, say in table["words"].items():
                edited = english.replaced(caption, at, f"{word} {at.text}")
                yield Edit(kind, f"{noun} {word}", edited, [text.format(noun=at.text) for text in say])


def _clothes(caption: str) -> Iterator[Edit]:
    table = grammar()["wear"]
    for noun in table["nouns"]:
        at = english.find_noun(caption, noun)
        if at is None or at.plural or re.match(r"\W*(?:in|with|wearing|dressed|holding|of)\b", caption[at.end :]):
            continue
        for phrase, say in table["phrases"].items():
            kind = table["kinds"][phrase.split()[0]]
            wordings = [text.format(noun=at.text) for text in say]
            yield Edit(kind, phrase, english.inserted(caption, at, phrase), wordings)


def _removals(caption: str) -> Iterator[Edit]:
    split = english.without_companion(caption)
    if split is not None:
        edited, noun = split
        yield Edit("remove", "remove", edited, [text.format(noun=noun) for text in grammar()["remove"]["say"]])
