"""Cleans captions, and checks their length and language."""

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

# The languages of a script; without py3langid only the script is checked.
_SCRIPTS = {
    "LATIN": "en de fr es it pt nl sv da no fi pl cs hu ro tr id vi".split(),  # noqa: SIM905 - read at a glance
    "CYRILLIC": ["ru", "uk", "bg", "sr"],
    "GREEK": ["el"],
    "HEBREW": ["he"],
    "ARABIC": ["ar", "fa"],
    "HANGUL": ["ko"],
    "CJK": ["zh", "ja"],
}
_MIN_SCRIPT_SHARE = 0.8  # of the letters
_MIN_ODDS = 0.1  # of the language against the likeliest one: short captions are hard to tell


def clean(text: str) -> str:
    """Put a text in one line, without HTML, web addresses and control characters, and compose accents (NFC)."""
    for _ in range(2):  # scraped captions are often escaped twice
        text = html.unescape(text)
    text = _URL.sub(" ", _TAG.sub(" ", text))
    text = "".join(map(_printable, unicodedata.normalize("NFC", text)))
    text = _BEFORE_MARK.sub(r"\1", _EMPTY_BRACKETS.sub(" ", " ".join(text.split())))
    return " ".join(text.split()).strip("\"'“”‘’«»|,;:- ")


def _printable(character: str) -> str:
    """The character; a space for white space and controls; "" for invisible ones, such as a soft hyphen."""
    category = unicodedata.category(character)
    if category == "Cc" or category[0] == "Z":
        return " "
    return "" if category[0] == "C" else character


def normal(text: str) -> str:
    """The lower-case words of a text without punctuation, to compare captions by."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in plain).split())


def out_of_bounds(text: str, least: int, most: int) -> str | None:
    """Check a caption's number of words.

    Returns:
        "empty", "too short", "too long", or None.
    """
    words = len(normal(text).split())
    if not words:
        return "empty"
    if words < least:
        return "too short"
    return "too long" if words > most or len(text) > 12 * most + 100 else None


def language_check(language: str) -> tuple[Callable[[str], bool], str]:
    """Find a way to tell whether a text is in a language.

    Args:
        language: A code, such as "en", or "any".

    Returns:
        A function of a text, and its method: "py3langid", "script" or "any".

    Raises:
        UsageError: The language is unknown, or cannot be told without py3langid.
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
        return (lambda text: _share_in_script(text, script) >= _MIN_SCRIPT_SHARE), "script"
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    known = sorted(str(label) for label in identifier.labels)
    if language not in known:
        raise UsageError(f"--language {language} is not known; use any, or one of {', '.join(known)}")

    def check(text: str) -> bool:
        odds = dict(identifier.rank(text))
        return bool(odds[language] >= _MIN_ODDS * max(odds.values()))

    return check, "py3langid"


def _share_in_script(text: str, script: str) -> float:
    """The share of the letters that belong to the script, in [0, 1]; 1 without letters."""
    letters = [c for c in text if c.isalpha()]
    return sum(unicodedata.name(c, "").startswith(script) for c in letters) / len(letters) if letters else 1.0
