"""Editing with a diffusers pipeline: the same tensors in and out as ip2p's own loop."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from ip2p_cli.diffusion.latents import check_finite
from ip2p_cli.diffusion.masking import free_cells
from ip2p_cli.errors import ModelError
from ip2p_cli.models.adapters import Adapter

OnStep = Callable[[int, int], None]


@torch.no_grad()
def edit_adapted(
    adapter: Adapter,
    pixels: torch.Tensor,
    instruction: str,
    *,
    steps: int,
    cfg_text: float,
    generator: torch.Generator,
    may_change: torch.Tensor | None = None,
    on_step: OnStep | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Edit one picture at its own size; the pipelines by themselves would change it.

    Args:
        adapter: The loaded pipeline.
        pixels: (3, H, W) in [0, 1]; H and W are multiples of the model's grid.
        instruction: The edit in words.
        steps: Steps of the sampler.
        cfg_text: The text scale.
        generator: A CPU generator, the only source of noise.
        may_change: Where the picture may change, (H, W) bool; None for everywhere. Elsewhere the latents are held to
            the picture's if diffusers has an inpainting pipeline for the model.
        on_step: Called with the number of steps done and of all steps.

    Returns:
        The edited picture (3, H, W) and its sampled latent (1, C, h, w).

    Raises:
        DeviceError: The number format overflows.
        ModelError: The installed diffusers chooses sizes in an unknown way.
    """
    height, width = pixels.shape[-2:]
    mask = None if may_change is None else _mask_arguments(adapter, may_change)
    pipeline = adapter.pipeline if mask is None else adapter.inpainting
    last: dict[str, torch.Tensor] = {}

    def after_step(_: Any, index: int, __: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        last.update(state)
        if on_step is not None:
            on_step(index + 1, steps)
        return {}

    name = adapter.spec.pipeline or ""
    with _qwen_size(pipeline, width, height) if name.startswith("Qwen") else contextlib.nullcontext():
        result = pipeline(
            prompt=instruction,
            height=height,
            width=width,
            **_ARGUMENTS[name](pipeline, pixels, cfg_text),
            **(mask or {}),
            num_inference_steps=steps,
            generator=generator,
            callback_on_step_end=after_step,
            output_type="pt",
        ).images
    # Offloading is arranged on the first pipeline; the other one only shares its parts.
    adapter.pipeline.maybe_free_model_hooks()
    check_finite(last["latents"], adapter.dtype, adapter.device)
    latent = pipeline._unpack_latents(last["latents"], height, width, pipeline.vae_scale_factor)
    edited: torch.Tensor = result[0].float().clamp(0, 1)
    if edited.shape != pixels.shape:
        raise ValueError(f"the pipeline changed the size from {tuple(pixels.shape)} to {tuple(edited.shape)}")
    return edited, _first_frame(latent).float()


def _mask_arguments(adapter: Adapter, may_change: torch.Tensor) -> dict[str, Any] | None:
    """What the inpainting pipeline takes in addition; None where the picture goes through the model without a mask."""
    if bool(may_change.all()) or adapter.inpainting is None:
        return None
    factor = adapter.inpainting.vae_scale_factor
    free = free_cells(may_change, factor)
    # The pipeline takes one pixel of each cell of the latents, so all pixels of a cell are made alike.
    mask = free.float().repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    # At full strength it begins with noise alone, as the pipeline without a mask does.
    return {"mask_image": mask[None], "strength": 1.0}


def _kontext_arguments(pipeline: Any, pixels: torch.Tensor, cfg_text: float) -> dict[str, Any]:
    height, width = pixels.shape[-2:]
    return {"image": pixels[None], "max_area": height * width, "_auto_resize": False, "guidance_scale": cfg_text}


def _qwen_arguments(pipeline: Any, pixels: torch.Tensor, cfg_text: float) -> dict[str, Any]:
    processor = pipeline.image_processor
    [image] = processor.numpy_to_pil(processor.pt_to_numpy(pixels[None]))
    # Guidance is away from the text " ", as in the pipeline's documentation. At 1 that prediction has no weight.
    return {"image": image, "true_cfg_scale": cfg_text, "negative_prompt": " " if cfg_text != 1 else None}


_ARGUMENTS: Mapping[str, Callable[[Any, torch.Tensor, float], dict[str, Any]]] = {
    "FluxKontextPipeline": _kontext_arguments,
    "QwenImageEditPipeline": _qwen_arguments,
    "QwenImageEditPlusPipeline": _qwen_arguments,
}


@contextlib.contextmanager
def _qwen_size(pipeline: Any, width: int, height: int) -> Iterator[None]:
    """Make a Qwen-Image-Edit pipeline take a photo at `width` x `height` within the block.

    It has no argument for that: a function of its module chooses a size of about 1024 x 1024 pixels in all. That
    function is replaced within the block. It also chooses the size for the text encoder, which stays as it is.
    """
    module = sys.modules[type(pipeline).__module__]
    choose = getattr(module, "calculate_dimensions", None)
    if choose is None:
        raise ModelError(
            f"the installed diffusers chooses {type(pipeline).__name__}'s sizes in a way that ip2p does not know: "
            "install the version of diffusers that ip2p names"
        )

    def calculate_dimensions(area: int, ratio: float) -> tuple[Any, ...]:
        chosen: tuple[Any, ...] = choose(area, ratio)
        return (width, height, *chosen[2:]) if area == 1024 * 1024 else chosen

    module.calculate_dimensions = calculate_dimensions  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.calculate_dimensions = choose  # type: ignore[attr-defined]


@torch.no_grad()
def through_vae(adapter: Adapter, pixels: torch.Tensor) -> torch.Tensor:
    """Encode and decode a picture (3, H, W) in [0, 1]."""
    vae = adapter.pipeline.vae
    scaled = (pixels[None] * 2 - 1).to(adapter.device, vae.dtype)
    if hasattr(vae, "temperal_downsample"):  # a VAE for videos, Qwen-Image's; diffusers spells it so
        scaled = scaled[:, :, None]
    decoded = _first_frame(vae.decode(vae.encode(scaled).latent_dist.mode()).sample)[0]
    return (decoded.float() / 2 + 0.5).clamp(0, 1)


def _first_frame(tensor: torch.Tensor) -> torch.Tensor:
    """(1, C, h, w) of a picture, or of a video (1, C, 1, h, w)."""
    return tensor[:, :, 0] if tensor.ndim == 5 else tensor
