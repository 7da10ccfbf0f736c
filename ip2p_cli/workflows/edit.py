"""Editing one photo: to the model's size, through the denoise loop, and back to the photo's own size."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..diffusion import editing
from ..diffusion.detail import return_to_full_size
from ..diffusion.text import encode_condition
from ..io.sizes import Fit, model_size, to_model
from ..models.loader import Editor
from ..types import EditRequest, EditResult

OnStep = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Small:
    """An edit at the model's size: photo and edit (3, h, w) in [0, 1], on the CPU; the latent (1, C, h', w').

    The photo is as the autoencoder gives it back: what is lost there is the photo's detail, not the edit's doing.
    """

    source: Tensor
    edited: Tensor
    latent: Tensor


def edit_small(editor: Editor, request: EditRequest, *, on_step: OnStep | None = None) -> Small:
    """The edit as the model makes it, before it is carried back to the photo's size.

    on_step: called as (steps done, steps). An empty instruction is the null text: an edit that asks for nothing.
    """
    settings, source = request.settings, request.source
    fit = model_size(source.width, source.height, resolution=settings.resolution, multiple=editor.spec.multiple)
    padded = to_model(source, fit)
    image = editing.encode_image(editor, _tensor(padded)[None] * 2 - 1)
    latent = editing.denoise(
        editor,
        image,
        encode_condition(editor, [request.instruction]),
        steps=settings.steps,
        cfg_text=[settings.cfg_text],
        cfg_image=[settings.cfg_image],
        sampler=settings.sampler,
        generators=editing.make_generators([settings.seed]),
        on_step=on_step,
    )
    before, after = (_cut(editing.decode(editor, z)[0].cpu(), fit) for z in (image, latent))
    return Small(source=before, edited=after, latent=latent.tensor)


def edit(editor: Editor, request: EditRequest, *, on_step: OnStep | None = None) -> EditResult:
    """Edit one photo. The picture has the photo's size, or the model's where the settings say "model"."""
    began = time.monotonic()
    small = edit_small(editor, request, on_step=on_step)
    if request.settings.output_size == "model":
        pixels = small.edited
    else:
        pixels = return_to_full_size(_bytes(request.source), small.source, small.edited)
    return EditResult(
        request=request,
        image=_image(pixels),
        latent=small.latent,
        model=editor.spec.name,
        seconds=time.monotonic() - began,
    )


def _bytes(image: Image.Image) -> Tensor:
    """(3, H, W) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _tensor(image: Image.Image) -> Tensor:
    """(3, H, W) in [0, 1]."""
    return _bytes(image).float() / 255


def _cut(pixels: Tensor, fit: Fit) -> Tensor:
    """The photo's part of padded pixels (3, H, W)."""
    left, top, right, bottom = fit.box
    return pixels[:, top:bottom, left:right]


def _image(pixels: Tensor) -> Image.Image:
    """An image from (3, H, W), uint8 or float in [0, 1]."""
    if pixels.is_floating_point():
        pixels = (pixels.clamp(0, 1) * 255).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
