"""What a caption must look like: cleaned of what is no text, bounded in length, in the language asked for."""

from __future__ import annotations

import html
import importlib
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from ip2p_cli.errors import UsageError

_TAG = re.compile(r"<[^<>]{1,200}>")
_URL = re.compile(r"\b(?:https?://|www\.)[^\s()<>\[\]]+", re.IGNORECASE)
_BEFORE_MARK = re.compile(r"\s+([,.;:!?])")
_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]")

# Where py3langid is not installed, a language is known by its script alone.
_SCRIPTS = {
    "LATIN": "en de fr es it pt nl sv da no fi pl cs hu ro tr id vi".split(),  # noqa: SIM905 - read at a glance
    "CYRILLIC": ["ru", "uk", "bg", "sr"],
    "GREEK": ["el"],
    "HEBREW": ["he"],
    "ARABIC": ["ar", "fa"],
    "HANGUL": ["ko"],
    "CJK": ["zh", "ja"],
}
_LEAST_SHARE = 0.8  # of the letters, in the script
_LEAST_ODDS = 0.1  # of the language asked for, against the likeliest: short captions are hard to tell


def clean(text: str) -> str:
    """`text` in one line, without HTML, addresses and control characters; accents composed (NFC)."""
    for _ in range(2):  # scraped captions are often escaped twice
        text = html.unescape(text)
    text = _URL.sub(" ", _TAG.sub(" ", text))
    text = "".join(map(_printable, unicodedata.normalize("NFC", text)))
    text = _BEFORE_MARK.sub(r"\1", _EMPTY_BRACKETS.sub(" ", " ".join(text.split())))
    return " ".join(text.split()).strip("\"'“”‘’«»|,;:- ")


def _printable(character: str) -> str:
    """The character; a space for any white space or control; nothing for what is never seen, as a soft hyphen."""
    category = unicodedata.category(character)
    if category == "Cc" or category[0] == "Z":
        return " "
    return "" if category[0] == "C" else character


def normal(text: str) -> str:
    """What two captions that say the same have in common: lower-case words without punctuation."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in plain).split())


def out_of_bounds(text: str, least: int, most: int) -> str | None:
    """Why `text` is no caption: "empty", "too short", "too long"; None where it is one."""
    words = len(normal(text).split())
    if not words:
        return "empty"
    if words < least:
        return "too short"
    return "too long" if words > most or len(text) > 12 * most + 100 else None


def language_check(language: str) -> tuple[Callable[[str], bool], str]:
    """(whether a text is in `language`, how that is told: "py3langid", "script" or "any").

    language: a code such as "en", or "any". Raises UsageError for one that cannot be told here.
    """
    if language == "any":
        return (lambda text: True), "any"
    try:
        langid: Any = importlib.import_module("py3langid.langid")
    except ImportError:
        script = next((name for name, codes in _SCRIPTS.items() if language in codes), None)
        if script is None:
            raise UsageError(
                f"--language {language} needs py3langid, which is not installed: pip install 'ip2p[language]', or "
                "--language any"
            ) from None
        return (lambda text: _share(text, script) >= _LEAST_SHARE), "script"
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    known = sorted(str(label) for label in identifier.labels)
    if language not in known:
        raise UsageError(f"--language {language} is not known; use any, or one of {', '.join(known)}")

    def check(text: str) -> bool:
        odds = dict(identifier.rank(text))
        return bool(odds[language] >= _LEAST_ODDS * max(odds.values()))

    return check, "py3langid"


def _share(text: str, script: str) -> float:
    """The share of the letters of `text` that are of `script`; 1 where there are none."""
    letters = [c for c in text if c.isalpha()]
    return sum(unicodedata.name(c, "").startswith(script) for c in letters) / len(letters) if letters else 1.0
