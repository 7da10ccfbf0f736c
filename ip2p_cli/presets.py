"""Presets: named settings, used where no option is given. Importing this module imports nothing heavy.

`fast` and `balanced` depend on the model; docs/presets.md says how they were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ip2p_cli.errors import UsageError
from ip2p_cli.suggest import did_you_mean
from ip2p_cli.types import EditSettings, ModelSpec

# A model with at most this many steps by default was trained for few steps, as nano.
FEW_STEPS = 4


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A preset: a line for users, and the settings for models of `many` steps and for those of `few`."""

    description: str
    many: EditSettings
    few: EditSettings


_ORIGINAL = EditSettings(
    resize_mode="original", resolution=512, steps=100, sampler="euler_a_original", cfg_text=7.5, cfg_image=1.5
)
PRESETS: Mapping[str, Preset] = {
    "original": Preset(
        description="as the paper's authors run their model: 100 steps of euler_a_original, 512 pixels, their cropping",
        many=_ORIGINAL,
        few=_ORIGINAL,
    ),
    "fast": Preset(
        description="12 steps of unipc: nearly the picture of 100 steps; nano: its own single step",
        many=EditSettings(steps=12, sampler="unipc"),
        few=EditSettings(),
    ),
    "balanced": Preset(
        description="25 steps of unipc: looks like 100 steps; nano: its own single step, as more are worse",
        many=EditSettings(steps=25, sampler="unipc"),
        few=EditSettings(),
    ),
}


def preset_settings(name: str, spec: ModelSpec, own: Mapping[str, EditSettings] | None = None) -> EditSettings:
    """The settings of a preset for a model.

    Args:
        name: The preset's name.
        spec: The model.
        own: The user's presets, which take precedence.

    Raises:
        UsageError: There is no such preset.
    """
    own = own or {}
    if name in own:
        return own[name]
    if name not in PRESETS:
        names = [*own, *PRESETS]
        raise UsageError(f"unknown preset {name!r}.{did_you_mean(name, names)} Presets: {', '.join(names)}")
    preset = PRESETS[name]
    return preset.few if (spec.defaults.steps or FEW_STEPS + 1) <= FEW_STEPS else preset.many
