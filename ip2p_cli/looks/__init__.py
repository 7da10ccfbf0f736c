"""Looks: photographic edits that have both a painter and wordings.

Every public function of the modules below is the painter of the look of its name: a pure function of (image, amount,
rng), where an amount of 1 is the look as its wordings ask for it, 0.5 a slight one and 1.6 a strong one.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from inspect import isfunction
from types import MappingProxyType

import numpy as np
import yaml

from ip2p_cli.looks import camera, colour, light, medium, seasons, time
from ip2p_cli.looks.base import Look, Paint, Pixels

__all__ = ["Look", "Paint", "Pixels", "apply", "looks"]

_GROUPS = {"seasons": seasons, "time": time, "light": light, "colour": colour, "medium": medium, "camera": camera}
_WORDINGS = ("wordings", "held_out", "slightly", "much")


@cache
def looks() -> Mapping[str, Look]:
    """All looks by name, in a fixed order."""
    wordings = yaml.safe_load(resources.files(__package__).joinpath("wordings.yaml").read_text("utf-8"))
    found: dict[str, Look] = {}
    for group, module in _GROUPS.items():
        for name, paint in vars(module).items():
            if isfunction(paint) and paint.__module__ == module.__name__ and not name.startswith("_"):
                texts = {key: tuple(wordings.get(name, {}).get(key, ())) for key in _WORDINGS}
                found[name] = Look(name=name, group=group, paint=paint, **texts)
    if wordings.keys() != found.keys():
        raise ValueError(f"looks with a painter or wordings, but not both: {sorted(wordings.keys() ^ found.keys())}")
    return MappingProxyType(found)


def apply(name: str, image: Pixels, amount: float = 1.0, seed: int = 0) -> Pixels:
    """Paint one look on an image; the seed matters to grain, snow and rain only."""
    return looks()[name].paint(image, amount, np.random.default_rng(seed))
