"""The writer that needs no model: hand-written edits (grammar.yaml), each tried on a caption."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from ip2p_cli.datagen.stages import seed_of
from ip2p_cli.datagen.triplets import english
from ip2p_cli.datagen.triplets.draft import Draft
from ip2p_cli.datagen.triplets.filters import unchanged
from ip2p_cli.looks import looks
from ip2p_cli.types import Caption

_FILE = "grammar.yaml"


@dataclass(frozen=True)
class Edit:
    """What an edit would make of one caption. group: of edits that are alike, for balance. say: ways to ask for it."""

    kind: str
    group: str
    edited: str
    say: Sequence[str]
    look: str | None = None


@cache
def grammar() -> Mapping[str, Any]:
    """The tables of grammar.yaml."""
    found: Mapping[str, Any] = yaml.safe_load(_text())
    return found


def digest() -> str:
    """Of the tables: another grammar writes other triplets."""
    return hashlib.sha256(_text().encode()).hexdigest()[:16]


def kinds() -> list[str]:
    """All kinds of edits, in a fixed order."""
    return list(grammar()["kinds"])


def edits_of(caption: str, *, looks_only: bool = False) -> list[Edit]:
    """Every edit that fits a caption. looks_only: just those that a look of `looks` paints."""
    found = list(_look_edits(caption))
    if not looks_only:
        found += [*_phrase_edits(caption), *_swaps(caption), *_word_edits(caption), *_described(caption)]
        found += [*_worn(caption), *_removed(caption)]
    return [edit for edit in found if not unchanged(caption, edit.edited)]


class GrammarWriter:
    """Chooses among the edits that fit; balance: kinds, and what is alike in a kind, equally often in a shard."""

    name = "grammar"

    def __init__(self, seed: int, per_caption: int, *, looks_only: bool = False, balance: bool = True) -> None:
        self._seed, self._count, self._looks_only, self._balance = seed, per_caption, looks_only, balance

    def drafts(self, captions: Sequence[Caption]) -> Iterator[tuple[Caption, Draft | str]]:
        """Drafts for each caption, in order, or why there is none. What a caption gets depends on those before it."""
        used: Counter[str] = Counter()
        for caption in captions:
            draw = random.Random(seed_of(self._seed, caption.key, "grammar"))
            fitting = edits_of(caption.caption, looks_only=self._looks_only)
            draw.shuffle(fitting)
            own: Counter[str] = Counter()  # kinds that this caption got: others first
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
                yield (
                    caption,
                    Draft(
                        instruction=draw.choice(edit.say), edited_caption=edit.edited, kind=edit.kind, look=edit.look
                    ),
                )


def _look_edits(caption: str) -> Iterator[Edit]:
    for name, entry in grammar()["looks"].items():
        yield from _of_entry(caption, entry, looks()[name].wordings, name)


def _phrase_edits(caption: str) -> Iterator[Edit]:
    scene = any(english.find_noun(caption, noun) for noun in grammar()["scenes"])
    for entry in grammar()["edits"]:
        if scene or not entry.get("scenes"):
            yield from _of_entry(caption, entry, entry["say"], None)


def _of_entry(caption: str, entry: Mapping[str, Any], say: Sequence[str], look: str | None) -> Iterator[Edit]:
    """The edits of an entry with `add` or `as`; none where the caption says something that it would contradict."""
    kind = entry["kind"]
    rules = grammar()["kinds"][kind]
    if rules.get("outdoors") and english.has_word(caption, grammar()["indoors"]):
        return
    slot = english.find_slot(caption, rules.get("slots", ()))
    left = caption[: slot.start()] + caption[slot.end() :] if slot else english.beyond_picture(caption)
    if english.has_word(left, rules.get("unless", ())):
        return
    if kind == "place" and slot is None and re.search(r"\b(?:in|on|at|by|near|over|across|through)\b", caption, re.I):
        return
    if "as" in entry:
        yield from (Edit(kind, what, english.depicted(caption, what), say, look) for what in entry["as"])
        return
    family = entry["add"]
    if slot is not None and english.has_word(slot.group(), [phrase.strip(" ,") for phrase in family]):
        return
    for phrase in family:
        if slot is not None and not phrase.startswith(","):
            edited = caption[: slot.start()] + phrase + caption[slot.end() :]
        else:
            edited = english.added(caption, phrase)
        yield Edit(kind, look or family[0], edited, say, look)


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
            found = english.described(caption, word)
            if found is None:
                continue
            at, noun = found
            last = noun.split()[-1]
            if last not in table.get("of", (last,)) or last in table.get("not_of", ()):
                continue
            for other in others:
                named = f"{english.article_of(other)} {other}"
                templates = [text for text in table["say"] if "{a new}" not in text or not noun.endswith("s")]
                say = [text.replace("{a new}", named).format(noun=noun, new=other) for text in templates]
                yield Edit(kind, f"{word} {other}", english.replaced(caption, at, other), say)


def _described(caption: str) -> Iterator[Edit]:
    for kind, table in grammar()["describe"].items():
        for noun in table["nouns"]:
            at = english.find_noun(caption, noun)
            if at is None or not english.follows_article(caption, at):
                continue
            for word, say in table["words"].items():
                edited = english.replaced(caption, at, f"{word} {at.text}")
                yield Edit(kind, f"{noun} {word}", edited, [text.format(noun=at.text) for text in say])


def _worn(caption: str) -> Iterator[Edit]:
    table = grammar()["wear"]
    for noun in table["nouns"]:
        at = english.find_noun(caption, noun)
        if at is None or at.plural or re.match(r"\W*(?:in|with|wearing|dressed|holding|of)\b", caption[at.end :]):
            continue
        for phrase, say in table["phrases"].items():
            kind = table["kinds"][phrase.split()[0]]
            said = [text.format(noun=at.text) for text in say]
            yield Edit(kind, phrase, english.inserted(caption, at, phrase), said)


def _removed(caption: str) -> Iterator[Edit]:
    found = english.without_companion(caption)
    if found is not None:
        yield Edit("remove", "remove", found[0], [text.format(noun=found[1]) for text in grammar()["remove"]["say"]])


def _text() -> str:
    return resources.files(__package__).joinpath(_FILE).read_text("utf-8")
