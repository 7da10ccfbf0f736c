"""The wordings as labelled texts, from which a text encoder learns."""

from __future__ import annotations

import random
from functools import cache

from ip2p_cli.looks import looks
from ip2p_cli.looks.phrasing import vary_in
from ip2p_cli.looks.regions import REGIONS

EMPTY, REGIONAL = 0.03, 0.4  # the shares of drawn texts that are empty, and that name a region


@cache
def _wordings() -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    """Each look at each strength: its name, the number of its class, its wordings to train on."""
    found = []
    for look in looks().values():
        found += [(look.name, texts) for texts in (look.wordings, look.slightly, look.much) if texts]
    return tuple((name, number, texts) for number, (name, texts) in enumerate(found, start=1))


def labelled_wordings() -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """List (trained, held out) wordings, each with the number of its class.

    Each look at each strength is a class, and the empty wording is one too.
    """
    trained, held_out = [("", 0)], []
    first: dict[str, int] = {}
    for name, number, texts in _wordings():
        trained += [(text, number) for text in texts]
        first.setdefault(name, number)
    for look in looks().values():
        held_out += [(text, first[look.name]) for text in look.held_out]
    return trained, held_out


def class_counts() -> tuple[int, int]:
    """The numbers of classes of looks, and of regions: one for each, and one for none."""
    return len(_wordings()) + 1, len(REGIONS) + 1


def draw_labelled(rng: random.Random) -> tuple[str, tuple[int, int]]:
    """Draw a text with the classes of its look and of its region, 0 for none."""
    if rng.random() < EMPTY:
        return "", (0, 0)
    # Full strength is asked for most.
    chosen = _wordings()
    look, number, texts = rng.choices(chosen, [3 if len(texts) > 15 else 1 for _, _, texts in chosen])[0]
    names = list(REGIONS)
    region = rng.randrange(len(names)) if rng.random() < REGIONAL else None
    text = vary_in(None if region is None else REGIONS[names[region]], rng.choice(texts), look, rng)
    return text, (number, 0 if region is None else region + 1)
