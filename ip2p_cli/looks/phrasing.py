"""Vary a wording as people do: politeness, capitals, other words for “photo”, a full stop."""

from __future__ import annotations

import random
import re

_OPENINGS = ("please ", "can you ", "could you ", "i want you to ", "now ", "just ", "try to ")
_ENDINGS = (".", "!", " please", ", please", " for me", " now")
_NAMES = ("image", "photo", "picture", "photograph", "shot")
_NAME = re.compile(r"\b(image|photo|picture|photograph|shot)\b")


def vary(wording: str, rng: random.Random) -> str:
    """Vary a wording at random; half of the time it stays as it is."""
    if rng.random() < 0.5 or not wording:
        return wording
    text = _NAME.sub(rng.choice(_NAMES), wording) if rng.random() < 0.5 else wording
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
