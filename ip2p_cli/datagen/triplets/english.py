"""Changes English captions: swaps nouns, puts words in, adds and removes phrases."""

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
# Words that change the meaning of the noun after them: a hot dog, a teddy bear.
_COMPOUNDS = frozenset(
    "hot teddy sports fire palm polar sea guinea school police pine oak cherry christmas traffic race fishing snow "  # noqa: SIM905
    "paper corn coffee bath clock bell water cell electric stuffed toy rocking ice cup motor pocket coat".split()
)
_STARTS = _DETERMINERS | _COUNTS


@dataclass(frozen=True)
class Noun:
    """The last word of a noun phrase, at [start, end) of a caption."""

    start: int
    end: int
    text: str
    plural: bool


def find_noun(caption: str, noun: str) -> Noun | None:
    """Find a noun, given in the singular, that is not part of a longer one ("dog", not "dog house")."""
    lower = caption.lower()
    invariant = plural_of(noun) == noun
    for form, plural in ((noun, False), (plural_of(noun), True)):
        if form not in lower:  # cheaper than the pattern
            continue
        for match in re.finditer(rf"(?<![\w-]){re.escape(form)}(?![\w'’-])", caption, re.IGNORECASE):
            before = [word.lower() for word in _WORD.findall(caption[: match.start()])]
            if not _ends_phrase(caption[match.end() :]) or (before and before[-1] in _COMPOUNDS):
                continue
            if match.group()[0].isupper() and match.start() > 0:  # part of a name: the Eiffel Tower
                continue
            if plural or _determined(before, strictly=invariant):  # "sheep" without a determiner is a plural
                return Noun(match.start(), match.end(), match.group().lower(), plural)
    return None


def described(caption: str, word: str) -> tuple[Noun, str] | None:
    """Find an adjective; returns it and the one or two words that it describes, or None where that is not clear."""
    if word not in caption.lower():
        return None
    for match in re.finditer(rf"(?<![\w-]){re.escape(word)}(?![\w'’-])", caption, re.IGNORECASE):
        before = [w.lower() for w in _WORD.findall(caption[: match.start()])]
        if before and before[-1] in ("and", "or", ",", "very"):
            continue
        rest = caption[match.end() :]
        for count in (1, 2):
            phrase = re.match(rf"((?:\s+[A-Za-z'’-]+){{{count}}})(.*)", rest, re.DOTALL)
            if phrase is None:
                break
            words = phrase[1].split()
            if any(w.lower() in _FUNCTION or _is_verb(w) or w[0].isupper() for w in words):
                break
            if count == 2 and words[1].endswith("s") and not words[0].endswith("s"):  # it may be a verb
                break
            if _ends_phrase(phrase[2]):
                return Noun(match.start(), match.end(), match.group().lower(), False), " ".join(words).lower()
    return None


def replaced(caption: str, at: Noun, new: str) -> str:
    """Replace a noun; "a" before it becomes "an" where needed, and a capital is kept."""
    start = caption[: at.start]
    article = re.search(r"\b(an?)\s$", start, re.IGNORECASE)
    if article is not None:
        letter = article[1][0]
        start = start[: article.start(1)] + letter + ("n" if article_of(new) == "an" else "") + " "
    if not start.strip() and caption[:1].isupper():
        new = new[:1].upper() + new[1:]
    return start + new + caption[at.end :]


def follows_article(caption: str, at: Noun) -> bool:
    """Whether "a", "an" or "the" is right before the noun."""
    return re.search(r"\b(?:an?|the)\s$", caption[: at.start], re.IGNORECASE) is not None


def inserted(caption: str, at: Noun, phrase: str) -> str:
    """Insert a phrase right after a noun."""
    return f"{caption[: at.end]} {phrase}{caption[at.end :]}"


def added(caption: str, phrase: str) -> str:
    """Add a phrase before the full stop, with a comma where the phrase begins with one or needs one."""
    body, stop = _split_stop(caption)
    plain = phrase.removeprefix(",").strip()
    comma = phrase.startswith(",") or "," in body or (phrase.startswith("with ") and " with " in body)
    return f"{body}{',' if comma else ''} {plain}{stop}"


def depicted(caption: str, what: str) -> str:
    """Turn a caption into one of another medium, such as "a watercolour of"."""
    body, stop = _split_stop(caption)
    head = _PICTURE.match(body)
    rest = body[head.end() :] if head else body
    first = rest.split(" ", 1)[0]
    if (head is None and first.lower() not in _STARTS) or _CLAUSE.search(
        rest
    ):  # the first word may be a name, which keeps its capital
        return f"{body}, as {what.removesuffix(' with a picture of').removesuffix(' of')}{stop}"
    if first.lower() in _STARTS:
        rest = rest[:1].lower() + rest[1:]
    return f"{what[:1].upper() + what[1:] if caption[:1].isupper() else what} {rest}{stop}"


def beyond_picture(caption: str) -> str:
    """The caption without "a photo of" or the like at its beginning."""
    head = _PICTURE.match(caption)
    return caption[head.end() :] if head else caption


def without_companion(caption: str) -> tuple[str, str] | None:
    """Remove "with a …" or "and a …" at the end; returns the caption and the noun, or None where there is none."""
    body, stop = _split_stop(caption)
    match = re.search(r"^(.*\w),? (with|wearing|holding|and) (?:an?|his|her|the)((?: [a-z-]+){1,2})$", body)
    if match is None:
        return None
    before, noun = match[1], match[3].strip()
    words, last = noun.split(), before.split()[-1].lower()
    if any(w in _FUNCTION or _is_verb(w) for w in words) or last.endswith("ed") or last in _FUNCTION | _DETERMINERS:
        return None
    if match[2] == "and" and len(_WORD.findall(before)) > 3:  # unclear what "and" joins
        return None
    return before + stop, noun


def word_before(caption: str, at: Noun) -> str:
    """The word before a noun, in lower case; "" where there is none."""
    words = _WORD.findall(caption[: at.start])
    return str(words[-1]).lower() if words else ""


def with_article(noun: str, plural: bool) -> str:
    """The noun with "a" or "an", or its plural."""
    return plural_of(noun) if plural else f"{article_of(noun)} {noun}"


def article_of(word: str) -> str:
    """The article of a word: "a" or "an"."""
    vowel = word[:1].lower() in tuple("aeiou") and not re.match(r"(?:uni(?!n)|use|eu|one\b|ufo)", word, re.IGNORECASE)
    return "an" if vowel else "a"


def plural_of(noun: str) -> str:
    """The plural of a noun; of several words the last one, or the one before "of", changes."""
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
    """Whether a caption has any of the words or phrases."""
    return bool(words) and _any_of(tuple(words)).search(caption) is not None


def find_slot(caption: str, slots: Sequence[str]) -> re.Match[str] | None:
    """Find the first place of any of the phrases."""
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
    """Whether a determiner or, unless `strictly`, the caption's start comes before a noun, with few words between."""
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
