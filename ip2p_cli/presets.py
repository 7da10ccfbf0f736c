"""Presets: named settings, used where no option is given. Importing this module imports nothing heavy.

`fast` and `balanced` depend on the model, `turbo` needs a LoRA; docs/presets.md says how they were chosen.
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
    """Named settings.

    Attributes:
        description: One line for users.
        many: The settings for models of many steps.
        few: Those for models of few steps; None where the preset is not for them.
        lora: A name of `models.known_loras` that it needs unless LoRAs are given.
    """

    description: str
    many: EditSettings
    few: EditSettings | None
    lora: str | None = None


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
    "turbo": Preset(
        description="4 steps of lcm, two evaluations in each, for models like Stable Diffusion 1.5 by an LCM-LoRA "
        "(135 MB, fetched once, or --lora FILE)",
        many=EditSettings(steps=4, sampler="lcm", cfg_text=2.0, cfg_image=1.0),
        few=None,
        lora="lcm-lora-sdv1-5",
    ),
}


def preset_settings(name: str, spec: ModelSpec, own: Mapping[str, EditSettings] | None = None) -> EditSettings:
    """The settings of a preset for a model.

    Args:
        name: The preset's name.
        spec: The model.
        own: The user's presets, which take precedence.

    Raises:
        UsageError: There is no such preset, or it is not for this model.
    """
    found = _find(name, spec, own or {})
    return found if isinstance(found, EditSettings) else found[1]


def lora_of(name: str, spec: ModelSpec, own: Mapping[str, EditSettings] | None = None) -> str | None:
    """The name of the LoRA that a preset needs; arguments and errors as `preset_settings`."""
    found = _find(name, spec, own or {})
    return None if isinstance(found, EditSettings) else found[0].lora


def _find(name: str, spec: ModelSpec, own: Mapping[str, EditSettings]) -> EditSettings | tuple[Preset, EditSettings]:
    """The user's own settings, or a preset and its settings for a model."""
    if name in own:
        return own[name]
    if name not in PRESETS:
        names = [*own, *PRESETS]
        raise UsageError(f"unknown preset {name!r}.{did_you_mean(name, names)} Presets: {', '.join(names)}")
    preset = PRESETS[name]
    if preset.lora is not None and spec.pipeline is not None:
        raise UsageError(f"the preset {name} adds a LoRA, and {spec.name} edits by its own pipeline: leave it out")
    steps = spec.defaults.steps or FEW_STEPS + 1
    settings = preset.few if steps <= FEW_STEPS else preset.many
    if settings is None:
        raise UsageError(
            f"the preset {name} is for full models, and {spec.name} takes {steps} {'step' if steps == 1 else 'steps'} "
            "by itself: leave it out, or give --model instruct-pix2pix"
        )
    return preset, settings
