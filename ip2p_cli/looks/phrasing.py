"""Vary a wording as people do: politeness, capitals, other words for “photo”, typing errors, a region."""

from __future__ import annotations

import random
import re

from ip2p_cli.looks.regions import Region

_OPENINGS = ("please ", "can you ", "could you ", "i want you to ", "now ", "just ", "try to ", "ok, ", "hey, ")
_ENDINGS = (".", "!", " please", ", please", " for me", " now", ", thanks", "...")
_NAMES = ("image", "photo", "picture", "photograph", "shot", "pic")
_NAME = re.compile(r"\b(image|photo|picture|photograph|shot)\b")
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")

# Where a wording names the whole photo, a region can take the place of its name.
_WHOLE = re.compile(
    r"\b(it|this|everything|the (?:whole |entire )?(?:image|photo|picture|photograph|shot|scene))\b(?!')"
)
_FRAMES = (
    "only {r}: {w}", "{r}: {w}", "{w} only in {r}", "{w}, but only {r}", "{w} in {r} only", "in {r}, {w}",
    "for {r} only: {w}", "just {r}: {w}", "{w} - just {r}", "apply this to {r} only: {w}", "{w} in {r}",
    "{r} only, {w}", "change only {r}: {w}", "{w}, in {r} only please", "{r} should be different: {w}",
)  # fmt: skip
_EXCEPT = (
    "{w} everywhere except {r}", "{w}, but leave {r} alone", "{w}, but keep {r} as is", "everything except {r}: {w}",
    "keep {r}, the rest: {w}", "keep {r} and {w}", "{w} outside {r}", "leave {r}, {w}", "all but {r}: {w}",
)  # fmt: skip
# What people do to a part of a photo, where the wordings speak of all of it.
_VERBS = {
    "black_and_white": (
        "{r} in black and white", "{r} in grey", "make {r} gray", "desaturate {r}", "take the colour out of {r}",
        "turn {r} monochrome", "{r} b&w", "no color in {r}", "make {r} black and white",
    ),
    "blur": ("blur {r}", "make {r} blurry", "put {r} out of focus", "blur out {r}", "soften {r}", "{r} blurred"),
    "sharpen": ("sharpen {r}", "make {r} crisper", "{r} sharper"),
    "brighter": ("brighten {r}", "lighten {r}", "make {r} brighter", "lift {r}", "more light on {r}"),
    "darker": ("darken {r}", "make {r} darker", "dim {r}", "bring {r} down", "less light on {r}"),
    "warmer": ("warm up {r}", "make {r} warmer", "warmer tones in {r}"),
    "cooler": ("cool down {r}", "make {r} cooler", "cooler tones in {r}"),
    "vivid": ("saturate {r}", "make {r} more colourful", "make {r} pop", "boost the colors of {r}"),
    "muted": ("mute {r}", "tone down {r}", "less colour in {r}"),
    "invert": ("invert {r}", "make {r} a negative", "negative colors in {r}"),
    "contrast": ("more contrast in {r}", "boost the contrast of {r}"),
    "pixel_art": ("pixelate {r}", "make {r} pixel art", "censor {r} with pixels"),
    "cartoon": ("cartoonify {r}", "make {r} a cartoon", "turn {r} into a cartoon"),
    "pencil_sketch": ("sketch {r}", "draw {r} in pencil", "turn {r} into a pencil sketch"),
    "sepia": ("{r} in sepia", "sepia tone for {r}", "make {r} sepia"),
    "winter": ("snow on {r}", "make {r} wintry", "freeze {r}", "cover {r} in snow"),
    "autumn": ("make {r} autumnal", "autumn colours on {r}"),
    "sunset": ("a sunset in {r}", "make {r} a sunset", "sunset {r}"),
    "fog": ("put fog over {r}", "fog in {r}", "hide {r} in mist"),
    "storm": ("make {r} stormy", "a storm in {r}"),
    "night": ("make {r} night", "night in {r}", "{r} at night"),
    "tint_green": ("tint {r} green", "colour {r} green"),
    "tint_purple": ("tint {r} purple", "color {r} purple"),
}  # fmt: skip


def vary_in(region: Region | None, wording: str, look: str, rng: random.Random) -> str:
    """Vary a look's wording at random, and say that it is meant for a region only, if there is one."""
    if region is None:
        return vary(wording, rng)
    return vary(in_region(wording, look, region, rng), rng, keep_words=True)


def vary(wording: str, rng: random.Random, *, keep_words: bool = False) -> str:
    """Vary a wording at random; nearly half of the time it stays as it is.

    Args:
        wording: An instruction.
        rng: What to do.
        keep_words: Lose none of its words.
    """
    if rng.random() < 0.45 or not wording:
        return wording
    text = _NAME.sub(rng.choice(_NAMES), wording) if rng.random() < 0.5 else wording
    if rng.random() < 0.3:
        text = rng.choice(_OPENINGS) + text
    if rng.random() < 0.3:
        text += rng.choice(_ENDINGS)
    if rng.random() < 0.2 and not keep_words:
        words = text.split()
        if len(words) > 4:
            del words[rng.randrange(len(words))]
        text = " ".join(words)
    if rng.random() < 0.3:
        text = mistype(text, rng)
    if rng.random() < 0.05:
        return text.upper()
    return text.capitalize() if rng.random() < 0.2 else text


def mistype(text: str, rng: random.Random) -> str:
    """Make a typing error in a word of at least four letters: a letter lost, doubled, swapped, or another key hit."""
    spots = [match.start() for match in re.finditer(r"(?<=[a-z])[a-z](?=[a-z]{2})", text)]
    if not spots:
        return text
    at = rng.choice(spots)
    kind = rng.randrange(4)
    letter = text[at]
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + letter + text[at:]
    if kind == 2:
        return text[:at] + text[at + 1] + letter + text[at + 2 :]
    row = next(keys for keys in _KEYS if letter in keys)
    beside = row.index(letter) + rng.choice((-1, 1))
    return text[:at] + row[min(max(beside, 0), len(row) - 1)] + text[at + 1 :]


def in_region(wording: str, look: str, region: Region, rng: random.Random) -> str:
    """Say that a look's wording is meant for a region only."""
    if region.name.startswith("not_") and rng.random() < 0.6:
        noun = rng.choice(region.nouns)
        if not noun.startswith("the rest"):
            return rng.choice(_EXCEPT).format(w=wording, r=noun.removeprefix("everything but "))
    nouns = [noun for noun in region.nouns if noun != "the rest"]
    noun = nouns[0] if rng.random() < 0.4 else rng.choice(nouns)
    if region.is_place and rng.random() < 0.15:
        noun += rng.choice((" of the photo", " of the picture", " of the image"))
    if look in _VERBS and rng.random() < 0.45:
        return rng.choice(_VERBS[look]).format(r=noun)
    if _WHOLE.search(wording) and rng.random() < 0.6:
        return _WHOLE.sub(noun, wording, count=1)
    return rng.choice(_FRAMES).format(w=wording, r=noun)
