"""Small changes of an English caption that leave it English: nouns swapped, words put in, phrases added or left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*|[^\sA-Za-z]+")
_ARTICLES = frozenset(("a", "an", "the"))
_DETERMINERS = _ARTICLES | frozenset("his her my our their one this that another its".split())  # noqa: SIM905
_FUNCTION = frozenset(
    "on in at with and by under over near from to for of is are was were that who which while beside behind above "  # noqa: SIM905
    "below across along against around through into onto next inside outside during before after between among "
    "without as or but looking front atop amid off up down has have".split()
)
_VERBS = frozenset(
    "runs sits stands sleeps walks lies flies swims eats plays drinks looks jumps rides holds wears".split()  # noqa: SIM905
)
_NOT_VERBS = frozenset(
    "building painting drawing ring king wing string spring ceiling wedding bed shed red seed weed swing thing".split()  # noqa: SIM905
)
_PLURALS = {
    "wolf": "wolves", "sheep": "sheep", "deer": "deer", "fish": "fish", "goose": "geese", "mouse": "mice", "man": "men",
    "woman": "women", "child": "children", "knife": "knives", "leaf": "leaves", "tomato": "tomatoes",
    "potato": "potatoes",     "moose": "moose", "bison": "bison", "statue": "statues", "person": "people",
}  # fmt: skip
_PICTURE = re.compile(
    r"^(?:an?|the)?\s*(?:[\w-]+\s){0,3}?(?:photo|photograph|picture|image|painting|drawing|sketch|illustration|portrait|"
    r"shot|watercolou?r|engraving|poster|render|rendering) of\s+",
    re.IGNORECASE,
)
_COUNTS = frozenset(
    "two three four five six several some many few group pair close-up man woman people couple".split()  # noqa: SIM905
)
_CLAUSE = re.compile(r"(?<!that )(?<!which )(?<!who )\b(?:is|are|was|were)\b")
# What makes another thing of a noun after it: a hot dog, a teddy bear.
_COMPOUNDS = frozenset(
    "hot teddy sports fire palm polar sea guinea school police pine oak cherry christmas traffic race fishing snow "  # noqa: SIM905
    "paper corn coffee bath clock bell water cell electric stuffed toy rocking ice cup motor pocket coat".split()
)
_STARTS = _DETERMINERS | _COUNTS


@dataclass(frozen=True)
class Noun:
    """A noun phrase's last word in a caption, at [start, end). plural: whether it is one."""

    start: int
    end: int
    text: str
    plural: bool


def find_noun(caption: str, noun: str) -> Noun | None:
    """Where `caption` speaks of a `noun` (singular) and of nothing longer ("dog", not "dog house"); else None."""
    lower = caption.lower()
    invariant = plural_of(noun) == noun
    for form, plural in ((noun, False), (plural_of(noun), True)):
        if form not in lower:  # most are not, and patterns cost
            continue
        for match in re.finditer(rf"(?<![\w-]){re.escape(form)}(?![\w'’-])", caption, re.IGNORECASE):
            before = [word.lower() for word in _WORD.findall(caption[: match.start()])]
            if not _ends_phrase(caption[match.end() :]) or (before and before[-1] in _COMPOUNDS):
                continue
            if match.group()[0].isupper() and match.start() > 0:  # part of a name: the Eiffel Tower
                continue
            if plural or _determined(before, strictly=invariant):  # of "sheep", what is not one sheep is several
                return Noun(match.start(), match.end(), match.group().lower(), plural)
    return None


def described(caption: str, word: str) -> tuple[Noun, str] | None:
    """(where `word` is, the one or two words that it describes); None where that is not clear."""
    if word not in caption.lower():
        return None
    for match in re.finditer(rf"(?<![\w-]){re.escape(word)}(?![\w'’-])", caption, re.IGNORECASE):
        before = [w.lower() for w in _WORD.findall(caption[: match.start()])]
        if before and before[-1] in ("and", "or", ",", "very"):
            continue
        rest = caption[match.end() :]
        for count in (1, 2):
            found = re.match(rf"((?:\s+[A-Za-z'’-]+){{{count}}})(.*)", rest, re.DOTALL)
            if found is None:
                break
            words = found[1].split()
            if any(w.lower() in _FUNCTION or _is_verb(w) or w[0].isupper() for w in words):
                break
            if count == 2 and words[1].endswith("s") and not words[0].endswith("s"):  # maybe what it does
                break
            if _ends_phrase(found[2]):
                return Noun(match.start(), match.end(), match.group().lower(), False), " ".join(words).lower()
    return None


def replaced(caption: str, at: Noun, new: str) -> str:
    """`caption` with another word at `at`; "a" before it becomes "an" where needed, and a capital stays one."""
    start = caption[: at.start]
    article = re.search(r"\b(an?)\s$", start, re.IGNORECASE)
    if article is not None:
        letter = article[1][0]
        start = start[: article.start(1)] + letter + ("n" if article_of(new) == "an" else "") + " "
    if not start.strip() and caption[:1].isupper():
        new = new[:1].upper() + new[1:]
    return start + new + caption[at.end :]


def follows_article(caption: str, at: Noun) -> bool:
    """Whether "a", "an" or "the" is right before it."""
    return re.search(r"\b(?:an?|the)\s$", caption[: at.start], re.IGNORECASE) is not None


def inserted(caption: str, at: Noun, phrase: str) -> str:
    """`caption` with a phrase right after `at`."""
    return f"{caption[: at.end]} {phrase}{caption[at.end :]}"


def added(caption: str, phrase: str) -> str:
    """`caption` with a phrase at its end, before its full stop; after a comma where it begins with one or needs one."""
    body, stop = _split_stop(caption)
    plain = phrase.removeprefix(",").strip()
    comma = phrase.startswith(",") or "," in body or (phrase.startswith("with ") and " with " in body)
    return f"{body}{',' if comma else ''} {plain}{stop}"


def depicted(caption: str, what: str) -> str:
    """`caption` as a picture of another sort; what: "a watercolour of"."""
    body, stop = _split_stop(caption)
    head = _PICTURE.match(body)
    rest = body[head.end() :] if head else body
    first = rest.split(" ", 1)[0]
    if (head is None and first.lower() not in _STARTS) or _CLAUSE.search(rest):  # a name keeps its capital
        return f"{body}, as {what.removesuffix(' with a picture of').removesuffix(' of')}{stop}"
    if first.lower() in _STARTS:
        rest = rest[:1].lower() + rest[1:]
    return f"{what[:1].upper() + what[1:] if caption[:1].isupper() else what} {rest}{stop}"


def beyond_picture(caption: str) -> str:
    """What follows "a photo of" and the like; all of it where nothing does."""
    head = _PICTURE.match(caption)
    return caption[head.end() :] if head else caption


def without_companion(caption: str) -> tuple[str, str] | None:
    """(`caption` without the "with a …" or "and a …" at its end, what is left out); None where there is none."""
    body, stop = _split_stop(caption)
    found = re.search(r"^(.*\w),? (with|wearing|holding|and) (?:an?|his|her|the)((?: [a-z-]+){1,2})$", body)
    if found is None:
        return None
    before, noun = found[1], found[3].strip()
    words, last = noun.split(), before.split()[-1].lower()
    if any(w in _FUNCTION or _is_verb(w) for w in words) or last.endswith("ed") or last in _FUNCTION | _DETERMINERS:
        return None
    if found[2] == "and" and len(_WORD.findall(before)) > 3:  # it may be joined to anything
        return None
    return before + stop, noun


def word_before(caption: str, at: Noun) -> str:
    """The word right before it, in lower case; "" where there is none."""
    words = _WORD.findall(caption[: at.start])
    return str(words[-1]).lower() if words else ""


def with_article(noun: str, plural: bool) -> str:
    """ "a noun", "an apple", or plural without an article."""
    return plural_of(noun) if plural else f"{article_of(noun)} {noun}"


def article_of(word: str) -> str:
    """ "a" or "an"."""
    vowel = word[:1].lower() in tuple("aeiou") and not re.match(r"(?:uni(?!n)|use|eu|one\b|ufo)", word, re.IGNORECASE)
    return "an" if vowel else "a"


def plural_of(noun: str) -> str:
    """The plural; of several words the last one's, or the one's before "of"."""
    head, of, tail = noun.partition(" of ")
    *first, last = head.split()
    if last in _PLURALS:
        last = _PLURALS[last]
    elif re.search("(?:s|x|z|ch|sh)$", last):
        last += "es"
    else:
        last = re.sub("(?<=[^aeiou])y$", "ie", last) + "s"
    return " ".join([*first, last]) + of + tail


def has_word(caption: str, words: Sequence[str]) -> bool:
    """Whether any of the words or phrases is in it."""
    return bool(words) and _any_of(tuple(words)).search(caption) is not None


def find_slot(caption: str, slots: Sequence[str]) -> re.Match[str] | None:
    """Where the first of some phrases is."""
    return _any_of(tuple(slots)).search(caption) if slots else None


@cache
def _any_of(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])", re.IGNORECASE)


def _ends_phrase(rest: str) -> bool:
    words = _WORD.findall(rest)
    if not words or not words[0][0].isalpha():
        return not rest.startswith(("'", "’", "-"))
    return words[0].lower() in _FUNCTION or _is_verb(words[0])


def _is_verb(word: str) -> bool:
    word = word.lower()
    return word in _VERBS or (word.endswith(("ing", "ed")) and word not in _NOT_VERBS)


def _determined(before: list[str], *, strictly: bool) -> bool:
    """Whether the words before a noun begin its phrase: a determiner or, unless `strictly`, the caption's start."""
    for count, word in enumerate(reversed(before)):
        if word in _DETERMINERS:
            return True
        if count == 3 or word in _FUNCTION or not word[0].isalpha() or _is_verb(word):
            return False
    return len(before) <= 2 and not strictly


def _split_stop(caption: str) -> tuple[str, str]:
    body = caption.rstrip(" .!?,;")
    stop = caption[len(body) :].strip(" ,;")
    return (body, stop) if body else (caption, "")
