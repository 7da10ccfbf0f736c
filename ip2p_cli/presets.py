"""Presets: settings under one name, for what nobody has set. Names can be listed without anything heavy.

`fast` and `balanced` depend on the model; docs/presets.md says what they were chosen by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ip2p_cli.errors import UsageError
from ip2p_cli.suggest import did_you_mean
from ip2p_cli.types import EditSettings, ModelSpec

# A model whose own default is at most this many steps was trained for few: nano.
FEW_STEPS = 4


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One line for people; the settings for a model that wants many steps, and for one that was trained for few."""

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
        description="25 steps of unipc: hardly to be told from 100 steps; nano: its own single step, as more are worse",
        many=EditSettings(steps=25, sampler="unipc"),
        few=EditSettings(),
    ),
}


def preset_settings(name: str, spec: ModelSpec, own: Mapping[str, EditSettings] | None = None) -> EditSettings:
    """What the preset called `name` says for a model, the rest unsaid; `own`: the user's, which come first.

    Raises UsageError with the nearest name and all names where there is none.
    """
    own = own or {}
    if name in own:
        return own[name]
    if name not in PRESETS:
        names = [*own, *PRESETS]
        raise UsageError(f"unknown preset {name!r}.{did_you_mean(name, names)} Presets: {', '.join(names)}")
    preset = PRESETS[name]
    return preset.few if (spec.defaults.steps or FEW_STEPS + 1) <= FEW_STEPS else preset.many
