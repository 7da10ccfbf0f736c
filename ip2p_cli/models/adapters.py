"""Models with an editing way of their own, run through diffusers' pipeline for them instead of our loop.

A model is known by `_class_name` in its folder's model_index.json. The table says which settings reach it; the others
are refused by `settings.resolve`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ip2p_cli.errors import ModelError
from ip2p_cli.types import EditSettings, Lora, ModelSpec, OffloadName

if TYPE_CHECKING:
    import torch

    from ip2p_cli.models.loader import Editor


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A pipeline class: the settings it has, its defaults, the grid of its sizes in pixels, a check of what is loaded.

    In the defaults, what is not among `supports` is what comes nearest to what the pipeline does. least_cfg_text: the
    smallest scale that it does not quietly take for another. parts: those of a folder that are loaded our way.
    """

    supports: frozenset[str]
    defaults: EditSettings
    multiple: int
    check: Callable[[Any, Path], None]
    least_cfg_text: float = 0
    parts: Callable[[Path], Mapping[str, Any]] = lambda folder: {}


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapter:
    """A loaded pipeline; `device` is where it computes, wherever its parts wait."""

    pipeline: Any
    spec: ModelSpec
    device: torch.device
    dtype: torch.dtype


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

_QWEN = Kind(
    supports=_SETTINGS,
    # Steps and scale are those of diffusers' pipeline; with a scale up to 1 it leaves guidance out.
    defaults=EditSettings(steps=50, cfg_text=4.0, cfg_image=1.0, sampler="euler", resolution=1024),
    # Its VAE and its 2 x 2 patches need 16; the sizes that it chooses itself are multiples of 32.
    multiple=32,
    check=_check_qwen,
    least_cfg_text=1,
    parts=_qwen_parts,
)

KINDS: Mapping[str, Kind] = {
    "FluxKontextPipeline": Kind(
        supports=_SETTINGS,
        # Steps and scale as in diffusers' example; flow matching by Euler steps, no image guidance.
        defaults=EditSettings(steps=28, cfg_text=2.5, cfg_image=1.0, sampler="euler", resolution=1024),
        multiple=16,
        check=_check_kontext,
    ),
    "QwenImageEditPipeline": _QWEN,
    "QwenImageEditPlusPipeline": _QWEN,
}


def load_model(
    spec: ModelSpec,
    *,
    device: str,
    dtype: str,
    offload: OffloadName = "none",
    loras: Sequence[Lora] = (),
    vae: str | None = None,
) -> Editor | Adapter:
    """`spec` for our loop, or for its own pipeline, with its parts placed as `offload` says (`models.offload`).

    loras, vae: as `load_editor` takes them; a model with its own pipeline takes neither (ModelError).
    Raises what `loader.load_editor` and `load_adapter` raise.
    """
    import torch

    from ip2p_cli.models import offload as offloading
    from ip2p_cli.models.loader import load_editor

    if spec.pipeline is not None:
        if loras or vae:
            raise ModelError(f"model {spec.name} edits by its own pipeline: leave out --lora and --vae")
        return load_adapter(spec, device=device, dtype=dtype, offload=offload)
    if offload == "none":
        return load_editor(spec, device=device, dtype=dtype, loras=loras, vae=vae)
    offloading.check_offload(offload, device)
    # Never whole on the device: it may not fit there.
    editor = replace(load_editor(spec, device="cpu", dtype=dtype, loras=loras, vae=vae), device=torch.device(device))
    offloading.offload(editor, offload)
    return editor


def load_adapter(spec: ModelSpec, *, device: str, dtype: str, offload: OffloadName = "none") -> Adapter:
    """Load the pipeline in the folder `spec.source` onto `device` in `dtype`, safetensors only.

    offload: as in `models.offload`. Raises ModelError where it is incomplete or of no known class, DeviceError for
    offloading without an accelerator.
    """
    import diffusers
    import torch

    from ip2p_cli.models.device import torch_dtype
    from ip2p_cli.models.offload import check_offload

    check_offload(offload, device)
    kind = KINDS.get(spec.pipeline or "")
    if kind is None:
        raise ModelError(f"model {spec.name}: ip2p has no adapter for {spec.pipeline!r}; it has {', '.join(KINDS)}")
    folder = Path(spec.source)
    number = torch_dtype(dtype)
    try:
        with _quiet():
            pipeline = getattr(diffusers, spec.pipeline or "").from_pretrained(
                str(folder), dtype=number, use_safetensors=True, local_files_only=True, **kind.parts(folder)
            )
    except Exception as error:
        # Missing parts, truncated files, wrong configs: the libraries raise anything.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"{folder} cannot be loaded ({lines[0][:200]}); fetch or export the model again") from error
    kind.check(pipeline, folder)
    pipeline.set_progress_bar_config(disable=True)
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)
    return Adapter(pipeline=pipeline, spec=spec, device=torch.device(device), dtype=number)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings and bars while a pipeline loads; what matters in them comes as an exception."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    for library in libraries:
        library.set_verbosity(library.CRITICAL)
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, (verbosity, bars) in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
            if bars:
                library.enable_progress_bar()
