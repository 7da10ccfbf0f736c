"""Models that edit through a diffusers pipeline of their own. Imports no torch.

A model is recognized by `_class_name` in its folder's model_index.json. `settings.resolve` refuses settings that a
pipeline does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ip2p_cli.errors import ModelError
from ip2p_cli.types import EditSettings


@dataclass(frozen=True, kw_only=True)
class EditPipeline:
    """What ip2p knows about a pipeline class.

    Attributes:
        supports: The fields of EditSettings that the pipeline takes.
        defaults: Its default settings. A field that it does not support states what comes nearest to what it does.
        multiple: Height and width in pixels must be multiples of this.
        check: Raises ModelError for a loaded pipeline, from this folder, that ip2p cannot run.
        least_cfg_text: The smallest text scale; the pipeline would silently replace a smaller one.
        parts: Loads those parts of a folder that the pipeline should not load itself.
        inpainting: diffusers' class for edits with a mask, made of the same parts; None where it has none.
    """

    supports: frozenset[str]
    defaults: EditSettings
    multiple: int
    check: Callable[[Any, Path], None]
    least_cfg_text: float = 0
    parts: Callable[[Path], Mapping[str, Any]] = lambda folder: {}
    inpainting: str | None = None


def _check_kontext(pipeline: Any, folder: Path) -> None:
    if not pipeline.transformer.config.guidance_embeds:
        raise ModelError(
            f"{folder / 'transformer' / 'config.json'}: without guidance_embeds cfg_text would do nothing; ip2p runs "
            "FLUX.1 Kontext models with guidance, such as FLUX.1-Kontext-dev"
        )


def _check_qwen(pipeline: Any, folder: Path) -> None:
    if pipeline.transformer.config.guidance_embeds:
        raise ModelError(
            f"{folder / 'transformer' / 'config.json'}: with guidance_embeds it is a distilled model, which takes "
            "another scale than cfg_text; ip2p runs Qwen-Image-Edit models without"
        )


def _qwen_parts(folder: Path) -> Mapping[str, Any]:
    from ip2p_cli.models.qwen import photo_processor

    return {"processor": photo_processor(folder)}


_SETTINGS = frozenset({"steps", "cfg_text", "seed", "resolution", "output_size", "resize_mode"})

_QWEN_PLUS = EditPipeline(
    supports=_SETTINGS,
    # Steps and scale are the defaults of diffusers' pipeline, which has no guidance at scales up to 1.
    defaults=EditSettings(steps=50, cfg_text=4.0, cfg_image=1.0, sampler="euler", resolution=1024),
    # Its VAE and its 2 x 2 patches need 16; the pipeline itself chooses multiples of 32.
    multiple=32,
    check=_check_qwen,
    least_cfg_text=1,
    parts=_qwen_parts,
)

PIPELINES: Mapping[str, EditPipeline] = {
    "FluxKontextPipeline": EditPipeline(
        supports=_SETTINGS,
        # Steps and scale as in diffusers' example. Flow matching by Euler steps, no image guidance.
        defaults=EditSettings(steps=28, cfg_text=2.5, cfg_image=1.0, sampler="euler", resolution=1024),
        multiple=16,
        check=_check_kontext,
        inpainting="FluxKontextInpaintPipeline",
    ),
    "QwenImageEditPipeline": replace(_QWEN_PLUS, inpainting="QwenImageEditInpaintPipeline"),
    "QwenImageEditPlusPipeline": _QWEN_PLUS,
}
