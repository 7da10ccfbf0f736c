"""How people vary one wording: politeness, capitals, other names for the photo, a full stop."""

from __future__ import annotations

import random
import re

_OPENINGS = ("please ", "can you ", "could you ", "i want you to ", "now ", "just ", "try to ")
_ENDINGS = (".", "!", " please", ", please", " for me", " now")
_NAMES = ("image", "photo", "picture", "photograph", "shot")
_NAMED = re.compile(r"\b(image|photo|picture|photograph|shot)\b")


def vary(wording: str, rng: random.Random) -> str:
    """One of the ways of saying `wording`; half of the time unchanged."""
    if rng.random() < 0.5 or not wording:
        return wording
    text = _NAMED.sub(rng.choice(_NAMES), wording) if rng.random() < 0.5 else wording
    if rng.random() < 0.3:
        text = rng.choice(_OPENINGS) + text
    if rng.random() < 0.3:
        text += rng.choice(_ENDINGS)
    if rng.random() < 0.2:
        words = text.split()
        if len(words) > 4:
            del words[rng.randrange(len(words))]
        text = " ".join(words)
    return text.capitalize() if rng.random() < 0.2 else text
