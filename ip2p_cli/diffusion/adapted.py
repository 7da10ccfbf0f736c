"""Editing with an adapter: the same tensors in and out as our own loop, but the pipeline's way in between."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import torch

from ip2p_cli.errors import DeviceError, ModelError
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
    on_step: OnStep | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Edit one picture (3, H, W) in [0, 1], H and W multiples of the model's grid: (edited (3, H, W), latent).

    generator: a CPU generator, the only source of noise. The size is kept: the pipelines would change the photo's,
    FLUX.1 Kontext's its own too, to one that they prefer. The latent is (1, C, h, w), as sampled.
    Raises DeviceError where a number format overflows, ModelError where this diffusers cannot be told to keep the size.
    """
    height, width = pixels.shape[-2:]
    pipeline = adapter.pipeline
    last: dict[str, torch.Tensor] = {}

    def after_step(_: Any, done: int, __: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        last.update(state)
        if on_step is not None:
            on_step(done + 1, steps)
        return {}

    call, arguments = _WAYS[adapter.spec.pipeline or ""](pipeline, pixels, cfg_text)
    result = call(
        prompt=instruction,
        height=height,
        width=width,
        **arguments,
        num_inference_steps=steps,
        generator=generator,
        callback_on_step_end=after_step,
        output_type="pt",
    ).images
    if not torch.isfinite(last["latents"]).all():
        raise DeviceError(f"the model overflowed in {adapter.dtype} on {adapter.device}; try again with --dtype fp32")
    latent = pipeline._unpack_latents(last["latents"], height, width, pipeline.vae_scale_factor)
    edited: torch.Tensor = result[0].float().clamp(0, 1)
    if edited.shape != pixels.shape:
        raise ValueError(f"the pipeline changed the size from {tuple(pixels.shape)} to {tuple(edited.shape)}")
    return edited, _one_frame(latent).float()


_Call = Callable[..., Any]


def _kontext(pipeline: Any, pixels: torch.Tensor, cfg_text: float) -> tuple[_Call, dict[str, Any]]:
    height, width = pixels.shape[-2:]
    return pipeline, {
        "image": pixels[None],
        "max_area": height * width,
        "_auto_resize": False,
        "guidance_scale": cfg_text,
    }


def _qwen(pipeline: Any, pixels: torch.Tensor, cfg_text: float) -> tuple[_Call, dict[str, Any]]:
    """It takes the photo as an image only; guidance is away from the text " ", as in the pipeline's description."""
    processor = pipeline.image_processor
    [image] = processor.numpy_to_pil(processor.pt_to_numpy(pixels[None]))
    height, width = pixels.shape[-2:]
    return _at_size(pipeline, width, height), {
        "image": image,
        "true_cfg_scale": cfg_text,
        # At 1 the guided prediction is the one with the instruction: the other is spared.
        "negative_prompt": " " if cfg_text != 1 else None,
    }


_WAYS: Mapping[str, Callable[[Any, torch.Tensor, float], tuple[_Call, dict[str, Any]]]] = {
    "FluxKontextPipeline": _kontext,
    "QwenImageEditPipeline": _qwen,
    "QwenImageEditPlusPipeline": _qwen,
}


def _at_size(pipeline: Any, width: int, height: int) -> _Call:
    """A Qwen-Image-Edit pipeline's call that takes the photo at `width` x `height`.

    It stretches photos to about 1024 x 1024 pixels in all, with no argument against it: the size comes from its
    module's `calculate_dimensions(area, ratio)`. The call is given one of its own; the module stays as it is. Other
    areas are those of what the text encoder sees, and stay too.
    """
    call = inspect.unwrap(type(pipeline).__call__)
    if "calculate_dimensions" not in call.__code__.co_names:
        raise ModelError(
            f"the installed diffusers chooses {type(pipeline).__name__}'s sizes in a way that ip2p does not know: "
            "install the version of diffusers that ip2p names"
        )
    chosen = call.__globals__["calculate_dimensions"]

    def dimensions(area: int, ratio: float) -> tuple[Any, ...]:
        found: tuple[Any, ...] = chosen(area, ratio)
        return (width, height, *found[2:]) if area == 1024 * 1024 else found

    names = {**call.__globals__, "calculate_dimensions": dimensions}
    ours = FunctionType(call.__code__, names, call.__name__, call.__defaults__, call.__closure__)
    ours.__kwdefaults__ = call.__kwdefaults__
    return ours.__get__(pipeline)


@torch.no_grad()
def through_vae(adapter: Adapter, pixels: torch.Tensor) -> torch.Tensor:
    """A picture (3, H, W) in [0, 1] as the autoencoder gives it back."""
    vae = adapter.pipeline.vae
    scaled = (pixels[None] * 2 - 1).to(adapter.device, vae.dtype)
    if hasattr(vae, "temperal_downsample"):  # Qwen-Image's is one for videos, so spelled
        scaled = scaled[:, :, None]
    decoded = _one_frame(vae.decode(vae.encode(scaled).latent_dist.mode()).sample)[0]
    return (decoded.float() / 2 + 0.5).clamp(0, 1)


def _one_frame(tensor: torch.Tensor) -> torch.Tensor:
    """(1, C, h, w), also of a video (1, C, 1, h, w)."""
    return tensor[:, :, 0] if tensor.ndim == 5 else tensor
