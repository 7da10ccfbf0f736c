"""Find the region that an instruction names: “only the sky: sunset”, “keep the red, the rest in grey”."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from ip2p_cli.looks import looks
from ip2p_cli.looks.regions import REGIONS

# Other words for regions, besides their nouns.
_MORE = {
    "left": ("the left hand side", "the left-hand side"),
    "right": ("the right hand side", "the right-hand side"),
    "top": ("the top part", "the upper side"),
    "bottom": ("the bottom part", "the lower side"),
    "edges": ("the edge", "the border", "the rim", "the sides"),
    "corners": ("each corner", "every corner", "the corner"),
    "highlights": ("the bright areas", "the brightest parts", "the light parts", "the bright bits"),
    "shadows": ("the dark bits", "the darkest parts"),
    "sky": ("the skies",),
    "plants": ("the foliage", "the tree", "the plant", "the grass", "the bushes", "the grass and trees"),
    "subject": ("the subjects", "the main subjects"),
    "background": ("the bg", "everything behind it", "everything around the subject", "the backgrounds"),
}
# Nouns that need no article: the others mean something else without one, as “red” and “left” do.
_BARE = (
    "background", "foreground", "sky", "subject", "main subject", "left half", "right half", "upper half", "top half",
    "lower half", "bottom half", "left side", "right side", "highlights", "shadows", "corners", "edges", "plants",
    "vegetation", "greenery", "backdrop", "surroundings",
)  # fmt: skip
# Words around a noun that make a place of it, whatever the look.
_FRAMING = frozenset(("in", "on", "over", "of", "for", "only", "just", "and", "the", "with", "to"))
_COLOURED = ("areas", "objects", "bits", "stuff", "colours", "colors", "tones", "ones", "regions")
_OPPOSITE = {
    "left": "right", "right": "left", "top": "bottom", "bottom": "top", "subject": "background",
    "background": "subject",
}  # fmt: skip

_PHOTO = r"(?:image|photo|picture|photograph|shot|scene|pic|frame)"
_POLITE = re.compile(
    r"^(?:(?:please|can you|could you|would you|i want you to|i want to|i would like to|now|just|try to|ok|okay|hey"
    r"|kindly)\b[, ]*)+|(?:[.!? ]|,? please|,? for me| now|,? thanks)+$"
)
_ARTICLE = r"(?:the|my|his|her|its|our|their|this|that|these|those)"
# Things that people name by their colours, “the red car”.
_THINGS = frozenset(
    (
        "apple", "apples", "bag", "ball", "balloon", "balloons", "bicycle", "bike", "bird", "birds", "boat", "bottle",
        "bus", "car", "cars", "chair", "clothes", "coat", "cup", "door", "doors", "dress", "eyes", "flag", "flower",
        "flowers", "fruit", "hair", "hat", "house", "houses", "jacket", "jeans", "kayak", "lamp", "lips", "plane",
        "roof", "rose", "roses", "scarf", "shirt", "shoes", "sign", "skirt", "sofa", "sweater", "tractor", "train",
        "truck", "umbrella", "van", "wall", "water", "window",
    )
)  # fmt: skip
# What stands around the name of a place, here “§”, and takes everything but the place; and what is left of it.
_EXCEPT = (
    (re.compile(r"\b(?:everything|anything|all) (?:but|except|apart from|other than|outside)(?: for| of)? §"), "it"),
    (re.compile(r",? ?\b(?:but |and )?(?:keep|leave) § (?:alone|as (?:it )?is|as they are|untouched|unchanged)"), ""),
    (re.compile(r"\b(?:keep|leave) §(?: in colou?r)?,? ?(?:and |but )?(?:make |turn )?the rest\b"), "it"),
    (re.compile(r"\b(?:everywhere )?(?:but|except|apart from|outside|other than)(?: for| of)? §(?!,? only)"), ""),
    (re.compile(r"\b(?:keep|leave) §(?:,| and)"), ""),
)
# What says that the place alone is meant, the most certain first, with how certain it is.
_ONLY = (
    (4, re.compile(r"\b(?:apply (?:this|it) to|change) (?:only |just )?§(?: only)? ?[:,-]?")),
    (
        4,
        re.compile(r"(?:\b(?:but )?(?:only|just)(?: (?:in|on|for|to|at))?) §(?: only)?(?: please)?(?: ?[:,-](?= |$))?"),
    ),
    (4, re.compile(r"\b(?:in|on|for|to|inside|within|at) § only(?: please)?(?: ?[:,])?")),
    (4, re.compile(r"^§(?: only| should be different)? ?[:,-](?= )|^§ only\b")),
    (3, re.compile(r"§ only\b")),
    (3, re.compile(r"^(?:in|on|for|inside|within) § ?,|[, ]+(?:in|on|for|inside|within)? §$")),
    (2, re.compile(r"\b(?:in|on|for|inside|within|over) §")),
)
# What people do to a thing. “remove the car” and “add a cat” are no looks, and are not here.
_VERBS = (
    r"(?:make|turn|paint|blur(?: out)?|darken|brighten|lighten|sharpen|soften|desaturate|saturate|tint"
    r"|colou?r(?:i[sz]e)?|recolou?r|pixelate|cartoonify|invert|sketch|draw|freeze|mute|dim|warm(?: up)?|cool(?: down)?"
    r"|tone down|fade|render|stylise|stylize|boost the (?:contrast|colou?rs) of|more contrast in)"
)
_OBJECT = re.compile(rf"\b{_VERBS} (?:only|just) §")
_ENDS_NAME = re.compile(
    r"^(?:only|in|into|to|with|as|like|is|are|black|white|gr[ae]y|look|and|more|less|a|an|very|slightly|alone|the)$"
)


@dataclass(frozen=True, kw_only=True)
class NamedRegion:
    """Which part of a photo an instruction names.

    Attributes:
        name: A name in REGIONS; None if the instruction names no region, or one that is unknown.
        unknown: The words for a part that REGIONS does not have, such as “the car”.
        rest: The instruction without its region: “make it a sunset” for “make the sky a sunset”.
    """

    name: str | None = None
    unknown: str | None = None
    rest: str


def find_region(instruction: str) -> NamedRegion:
    """Find the region that an instruction names.

    Wordings of looks that speak of a part of the photo, such as “turn the leaves orange”, name no region.
    """
    text = _plain(instruction)
    if text in _wordings():
        return NamedRegion(rest=instruction)
    candidates = [_candidate(text, *found) for found in _known_places(text)]
    if candidates:
        score, name, rest = max(candidates, key=lambda one: one[0])
        if score > 0 and name in REGIONS:
            return NamedRegion(name=name, rest=rest)
        if score > 0:
            return NamedRegion(unknown=f"everything but the {name.removeprefix('not_')}", rest=rest)
    for span in _unknown_places(text):
        _, name, rest = _candidate(text, "", span, is_wording=False)
        thing = text[slice(*span)]
        return NamedRegion(unknown=f"everything but {thing}" if name else thing, rest=rest)
    return NamedRegion(rest=instruction)


def named_region(words: str) -> NamedRegion:
    """Find the region that words name by themselves: “the sky”, “left”, “everything but the car”.

    What is not one of REGIONS is `unknown`; there “everything but” comes first where the words mean that.
    """
    found = find_region(words)
    if found.rest in ("", "it") and (found.name or found.unknown):
        return found
    plain = _plain(words)
    if plain in REGIONS and not plain.startswith("not_"):
        return NamedRegion(name=plain, rest="")
    return NamedRegion(unknown=plain, rest="")


def _plain(instruction: str) -> str:
    text = " ".join(instruction.lower().replace("\u2019", "'").split())
    shorter = _POLITE.sub("", text).strip(" ,")
    return shorter or text


@cache
def _wordings() -> frozenset[str]:
    return frozenset(
        _plain(text)
        for look in looks().values()
        for text in (*look.wordings, *look.slightly, *look.much, *look.held_out)
    )


@cache
def _nouns() -> tuple[Mapping[str, str], re.Pattern[str]]:
    """The region of each noun, and a pattern that finds the longest noun."""
    found = {noun: region.name for region in REGIONS.values() for noun in region.nouns if noun != "the rest"}
    for name, nouns in _MORE.items():
        found |= dict.fromkeys(nouns, name)
    for name in ("red", "orange", "yellow", "green", "blue"):
        found |= {f"the {name} {things}": name for things in _COLOURED}
    found |= {noun.removeprefix("the "): name for noun, name in found.items() if noun.removeprefix("the ") in _BARE}
    longest_first = sorted(found, key=len, reverse=True)
    words = "|".join(map(re.escape, longest_first))
    return found, re.compile(rf"(?<![\w-])({words})(?![\w-])(?: of (?:the|this|my) (?:whole )?{_PHOTO}\b)?")


@cache
def _fragments() -> re.Pattern[str]:
    """Finds the parts of wordings that speak of a region, around the words for the whole photo."""
    whole = re.compile(rf"\b(?:it|this|everything|the (?:whole |entire )?{_PHOTO})\b(?!')")
    _, nouns = _nouns()
    parts = {
        part.strip(" ,")
        for text in _wordings()
        for part in whole.split(text)
        if nouns.search(part) and not _FRAMING.issuperset(nouns.sub("", part).split())
    }
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(parts, key=len, reverse=True)))})\b")


def _known_places(text: str) -> Iterator[tuple[str, tuple[int, int], bool]]:
    """Yield (region, span, whether it is part of a look's wording) of each noun in a text."""
    found, pattern = _nouns()
    own = [match.span() for match in _fragments().finditer(text)]
    for match in pattern.finditer(text):
        is_wording = any(first <= match.start() and match.end() <= last for first, last in own)
        after = text[match.end() :].split(maxsplit=1)
        is_colour_of_thing = match[1] in _THE_COLOURS and after and after[0] in _THINGS
        if not is_colour_of_thing:
            yield found[match[1]], match.span(), is_wording


_THE_COLOURS = tuple(f"the {name}" for name in ("red", "orange", "yellow", "green", "blue"))


def _candidate(text: str, name: str, span: tuple[int, int], is_wording: bool) -> tuple[int, str, str]:
    """(how certain a place is meant, its region or "not_" and it, the text without it)."""
    marked = " ".join(f"{text[: span[0]]}§{text[span[1] :]}".split())
    for pattern, left in _EXCEPT:
        if pattern.search(marked):
            rest = pattern.sub(f"{left} ", marked, count=1)
            other = _OPPOSITE.get(name, name.removeprefix("not_") if name.startswith("not_") else f"not_{name}")
            return 5 - 4 * is_wording, other, _tidy(rest)
    for score, pattern in _ONLY:
        if pattern.search(marked):
            instead = "it" if _OBJECT.search(marked) else ""  # “make only § red” needs an object
            return score - 4 * is_wording, name, _tidy(pattern.sub(instead + " ", marked, count=1))
    return 1 - 4 * is_wording, name, _tidy(marked.replace("§", "it"))


def _tidy(text: str) -> str:
    return re.sub(r"^it ?:", "", " ".join(text.split())).strip(" ,:-")


def _unknown_places(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of things that are named as the place of an edit, and are neither the photo nor a look's own."""
    for pattern in _unknown_patterns():
        for match in pattern.finditer(text):
            words = re.findall(r"[\w'-]+", match["name"])
            end = next((i for i, word in enumerate(words) if _ENDS_NAME.match(word)), len(words))
            words = words[:end] if match.re.groupindex.get("open") else words
            if not words or any(re.fullmatch(_PHOTO, word) for word in words) or words[0] in _own_things():
                continue
            if words[0] in ("whole", "entire", "rest", "thing", "other") or _is_mistyped(words[0]):
                continue
            kept = words if not match.re.groupindex.get("open") else words[: 2 if words[0] in _ADJECTIVES else 1]
            length = re.match(r"\W*".join(map(re.escape, kept)), match["name"])
            if length is not None:
                yield match.start("article"), match.start("name") + length.end()


def _is_mistyped(word: str) -> bool:
    """Whether a word is probably one of a look's own, or the photo, with a typing error: “the pciture”."""
    known = (*_own_things(), "photo", "picture", "image", "photograph", "scene", "background", "shadows", "subject")
    return len(word) > 3 and word not in _THINGS and bool(get_close_matches(word, known, 1, 0.79))


_ADJECTIVES = (
    "red", "orange", "yellow", "green", "blue", "white", "black", "old", "big", "small", "little", "left", "right",
)  # fmt: skip


@cache
def _unknown_patterns() -> tuple[re.Pattern[str], ...]:
    """Patterns of a place; those with a group “open” do not say where the name of the place ends."""
    name = r"(?P<article>(?:the|my|his|her|its|our|their|these|those)) (?P<name>[\w'-]+(?: [\w'-]+){0,2}?)"
    more = r"(?P<article>(?:the|my|his|her|its|our|their|these|those)) (?P<name>[\w'-]+(?: [\w'-]+){0,2})"
    return tuple(
        re.compile(pattern)
        for pattern in (
            rf"\b(?:only|just)(?: (?:in|on|for|to))? {name}(?= ?[:,.]|$)",
            rf"\b(?:in|on|for|to|inside|within) {name}(?= only\b)",
            rf"^{name}(?= ?:| only\b)",
            rf"\b(?:but|except|apart from|outside)(?: for)? {name}(?= ?[:,.]|$)",
            rf"\b(?:keep|leave) {name}(?=,| alone| as is| untouched| and)",
            rf"^(?:only|just) (?P<open>){more}",
            rf"^{_VERBS} (?P<open>){more}",
        )
    )


@cache
def _own_things() -> frozenset[str]:
    """Words behind an article in the wordings of looks: “the leaves”, “the light”, “the colours”."""
    texts: dict[str, Counter[str]] = {}
    for look in looks().values():
        for text in (*look.wordings, *look.slightly, *look.much, *look.held_out):
            for word in re.findall(rf"\b{_ARTICLE} ([\w'-]+)", text.lower()):
                texts.setdefault(word, Counter())[look.name] += 1
    often = {word for word, of_look in texts.items() if len(of_look) > 1 or sum(of_look.values()) > 2}
    return frozenset(often - {"red", "orange", "yellow", "green", "blue", "people", "old"})
