"""The looks: photographic edits that have both a painter and wordings."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

import numpy as np
import yaml

from ip2p_cli.looks import camera, colour, light, medium, seasons, time
from ip2p_cli.looks.base import Image, Look, Paint

__all__ = ["Image", "Look", "Paint", "apply", "looks"]

GROUPS: Mapping[str, Mapping[str, Paint]] = {
    "seasons": seasons.PAINTS,
    "time": time.PAINTS,
    "light": light.PAINTS,
    "colour": colour.PAINTS,
    "medium": medium.PAINTS,
    "camera": camera.PAINTS,
}


@cache
def looks() -> Mapping[str, Look]:
    """Every look by name, in a fixed order."""
    worded = yaml.safe_load(resources.files(__package__).joinpath("wordings.yaml").read_text("utf-8"))
    painted = {name for paints in GROUPS.values() for name in paints}
    if worded.keys() != painted:
        raise ValueError(f"looks painted or worded, but not both: {sorted(worded.keys() ^ painted)}")
    found: dict[str, Look] = {}
    for group, paints in GROUPS.items():
        for name, paint in paints.items():
            words = worded[name]
            found[name] = Look(
                name=name,
                group=group,
                paint=paint,
                wordings=tuple(words["wordings"]),
                held_out=tuple(words["held_out"]),
                slightly=tuple(words.get("slightly", ())),
                much=tuple(words.get("much", ())),
            )
    return MappingProxyType(found)


def apply(name: str, image: Image, amount: float = 1.0, seed: int = 0) -> Image:
    """The image with one look; the seed matters to grain, snow and rain only."""
    return looks()[name].paint(image, amount, np.random.default_rng(seed))
