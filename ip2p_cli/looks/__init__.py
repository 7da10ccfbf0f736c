"""Looks: photographic edits that have both a painter and wordings.

Every public function of the modules below is the painter of the look of its name, a pure function of (image, amount,
draw), where an amount of 1 is the look as its wordings ask for it, 0.5 a slight one and 1.6 a strong one. Looks that
are exact by nature, such as a negative, have no draw: they are functions of (image, amount).
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import resources
from inspect import isfunction, signature
from types import MappingProxyType
from typing import Any

import yaml

from ip2p_cli.looks import camera, colour, light, medium, seasons, time
from ip2p_cli.looks.base import VOICES, Draw, Look, Paint, Pixels

__all__ = ["Draw", "Look", "Paint", "Pixels", "apply", "looks"]

_GROUPS = {"seasons": seasons, "time": time, "light": light, "colour": colour, "medium": medium, "camera": camera}


# libyaml's loader is ten times as fast, and not in every build of PyYAML.
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def looks() -> Mapping[str, Look]:
    """All looks by name, in a fixed order."""
    found: dict[str, Look] = {}
    for group, module in _GROUPS.items():
        text = resources.files(__package__).joinpath("wordings", f"{group}.yaml").read_text("utf-8")
        wordings = yaml.load(text, _YAML)
        painters = {
            name: paint
            for name, paint in vars(module).items()
            if isfunction(paint) and paint.__module__ == module.__name__ and not name.startswith("_")
        }
        if wordings.keys() != painters.keys():
            difference = sorted(wordings.keys() ^ painters.keys())
            raise ValueError(f"looks with a painter or wordings, but not both: {difference}")
        found |= {name: _look(name, group, paint, wordings[name]) for name, paint in painters.items()}
    return MappingProxyType(found)


def _look(name: str, group: str, paint: Callable[..., Pixels], texts: Mapping[str, Any]) -> Look:
    exact = "draw" not in signature(paint).parameters
    return Look(
        name=name,
        group=group,
        paint=partial(_paint_exact, paint) if exact else paint,
        exact=exact,
        voices={voice: tuple(texts.get(voice, ())) for voice in VOICES},
        slightly=tuple(texts.get("slightly", ())),
        much=tuple(texts.get("much", ())),
    )


def _paint_exact(paint: Callable[[Pixels, float], Pixels], image: Pixels, amount: float, draw: Draw) -> Pixels:
    return paint(image, amount)


def apply(name: str, image: Pixels, amount: float = 1.0, seed: int = 0) -> Pixels:
    """Paint one look on an image; a seed is a draw of the look's random choices."""
    return looks()[name].paint(image, amount, Draw.from_seed(seed, *image.shape[:2]))
