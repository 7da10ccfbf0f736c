"""Variants of one edit: the product of seeds, scales, steps, samplers and instructions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ip2p_cli.errors import UsageError
from ip2p_cli.io.names import slug
from ip2p_cli.io.range_args import MAX_VALUES, plain
from ip2p_cli.types import EditSettings, ModelSpec, ResolvedEditSettings

# In a file's name and on a contact sheet: the setting, and what it is called there.
LABELS = {"seed": "seed", "cfg_text": "text", "cfg_image": "image", "steps": "steps", "sampler": "sampler"}
SCALES = ("cfg_text", "cfg_image")
_ALWAYS = ("seed", *SCALES)
# The authors' app draws s_T from U(6, 9) and s_I from U(1.2, 1.8): a fifth around the model's own 7.5 and 1.5.
_SPREAD = (0.8, 1.2)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What to vary.

    Attributes:
        axes: Setting -> its values, in this order.
        drawn: Setting -> (low, high) to draw it from, by the seed.
    """

    instructions: tuple[str, ...]
    axes: Mapping[str, tuple[float | str, ...]]
    drawn: Mapping[str, tuple[float, float]]

    def __len__(self) -> int:
        """The number of variants."""
        return len(self.instructions) * math.prod(map(len, self.axes.values()))

    @property
    def varied(self) -> tuple[str, ...]:
        """The names of what differs from variant to variant; "instruction" if there are several."""
        several = ["instruction"] if len(self.instructions) > 1 else []
        return (*several, *(name for name, values in self.axes.items() if len(values) > 1), *self.drawn)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One variant: its edit, and a name for its file, without an ending."""

    instruction: str
    settings: ResolvedEditSettings
    name: str


def default_range(spec: ModelSpec, name: str) -> tuple[float, float]:
    """Return the range from which a scale is drawn if none is given: a fifth around the model's own."""
    middle = getattr(spec.defaults, name) or {"cfg_text": 7.5, "cfg_image": 1.5}[name]
    return middle * _SPREAD[0], middle * _SPREAD[1]


def draw_scale(seed: int, name: str, low: float, high: float) -> float:
    """Draw from U(low, high), a function of (seed, name), rounded to two decimals so that it can be typed again."""
    value = round(random.Random(f"{seed} {name}").uniform(low, high), 2)
    return min(max(value, low), high)


def variants_of(sweep: Sweep, resolve: Callable[[EditSettings], ResolvedEditSettings]) -> list[Variant]:
    """Return every variant, variants of one seed next to each other.

    Args:
        sweep: What to vary.
        resolve: Completes the settings that the sweep sets.

    Raises:
        UsageError: There are too many, or a setting is not possible.
    """
    if len(sweep) > MAX_VALUES:
        raise UsageError(f"these are {len(sweep)} variants: at most {MAX_VALUES} are made at once; vary less.")
    names = _instruction_names(sweep.instructions)
    variants = []
    for instruction, values in product(sweep.instructions, list(product(*sweep.axes.values()))):
        given: dict[str, Any] = dict(zip(sweep.axes, values, strict=True))
        given |= {name: draw_scale(given["seed"], name, *ends) for name, ends in sweep.drawn.items()}
        settings = resolve(EditSettings(**given))
        shown = [*_ALWAYS, *(name for name in ("steps", "sampler") if name in sweep.varied)]
        name = "-".join([names[instruction], *(f"{LABELS[name]}-{value_text(settings, name)}" for name in shown)])
        variants.append(Variant(instruction=instruction, settings=settings, name=name))
    return variants


def value_text(settings: ResolvedEditSettings, name: str) -> str:
    """Return a setting as it appears in a file's name or a label."""
    value = getattr(settings, name)
    return plain(value) if isinstance(value, float) else str(value).replace("_", "")


def _instruction_names(instructions: Sequence[str]) -> dict[str, str]:
    """A slug for each instruction, numbered where two are alike."""
    names: dict[str, str] = {}
    for instruction in instructions:
        name = plain_name = slug(instruction)
        number = 2
        while name in names.values():
            name, number = f"{plain_name}-{number}", number + 1
        names[instruction] = name
    return names
