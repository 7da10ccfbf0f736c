"""A photo at the model's size and back: resized and padded for the model, the edit returned to the photo's own size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ip2p_cli.diffusion.detail import full_size_parts
from ip2p_cli.editing.masks import at_model_size, composite
from ip2p_cli.editing.seeds import item_seed
from ip2p_cli.io.sizes import Fit, fit_for, from_model, to_model
from ip2p_cli.types import EditRequest, ModelSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A request with its photo at the model's size.

    Attributes:
        fit: How the photo became the model's picture.
        pixels: (3, h, w) in [0, 1], on the CPU, padded.
    """

    request: EditRequest
    fit: Fit
    pixels: Tensor

    @property
    def noise_seed(self) -> int:
        """The seed of the request's own generator."""
        request = self.request
        return item_seed(request.settings.seed, request.digest, request.instruction, request.position)

    @property
    def size(self) -> int:
        """Pixels of the padded picture."""
        return self.pixels.shape[-2] * self.pixels.shape[-1]


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelSizeEdit:
    """An edit at the model's size, without padding.

    Attributes:
        source: The photo, (3, h, w) in [0, 1], on the CPU, as the autoencoder gives it back. What is lost there is
            detail of the photo and not the edit's doing.
        edited: The edit, likewise.
        mask: Makes the mask of what the edit may change, at the photo's size; None where it may change everything.
        below: What lies under the mask: the result of the step before; None for the photo.
    """

    source: Tensor
    edited: Tensor
    mask: Callable[[], Image.Image] | None = None
    below: tuple[Fit, ModelSizeEdit] | None = None


def prepare(request: EditRequest, spec: ModelSpec) -> Prepared:
    """Bring a photo to the size at which the model `spec` sees it."""
    fit = fit_for(request.source.size, request.settings, spec.multiple)
    return Prepared(request=request, fit=fit, pixels=as_tensor(to_model(request.source, fit)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Finished:
    """A picture that `finish` made, and what of."""

    edit: ModelSizeEdit
    image: Image.Image


def finish(request: EditRequest, fit: Fit, edit: ModelSizeEdit, done: Finished | None = None) -> Image.Image:
    """Return the picture that the user gets: at the photo's size, or the model's if the settings say "model".

    Args:
        request: The photo and the settings.
        fit: How the photo became the model's picture.
        edit: The edit at that size.
        done: A result of a step before, so that it need not be made again.
    """
    is_small = request.settings.output_size == "model"
    size = fit.resized if is_small else request.source.size
    if done is not None and done.edit is edit and done.image.size == size:
        return done.image
    below = None
    if edit.mask is not None:
        if edit.below is not None:
            below = finish(request, edit.below[0], edit.below[1], done)
            below = below if below.size == size else below.resize(size, Image.Resampling.LANCZOS)
        else:
            below = from_model(to_model(request.source, fit), fit) if is_small else request.source
    mask = edit.mask() if edit.mask is not None else None
    if not is_small:
        return _full_size(request.source, fit, edit, below, mask)
    picture = as_image(edit.edited)
    return picture if mask is None or below is None else composite(picture, below, at_model_size(mask, fit))


def _full_size(
    photo: Image.Image, fit: Fit, edit: ModelSizeEdit, below: Image.Image | None, mask: Image.Image | None
) -> Image.Image:
    """An edit at the photo's size, made in strips: a picture of 100 megapixels has 0.4 GB."""
    picture = Image.new("RGB", photo.size)

    def read(rows: slice, columns: slice) -> Tensor:
        return _bytes(photo.crop(_box(rows, columns)))

    for rows, columns, part in full_size_parts(read, photo.size[::-1], edit.source, edit.edited, seen=fit.seen):
        box, strip = _box(rows, columns), as_image(part)
        if below is not None and mask is not None:
            strip = composite(strip, below.crop(box), mask.crop(box))
        picture.paste(strip, box)
    return picture


def _box(rows: slice, columns: slice) -> tuple[int, int, int, int]:
    return columns.start, rows.start, columns.stop, rows.stop


def cut(pixels: Tensor, fit: Fit) -> Tensor:
    """Return the photo's part of padded pixels (3, H, W)."""
    left, top, right, bottom = fit.box
    return pixels[:, top:bottom, left:right]


def as_tensor(image: Image.Image) -> Tensor:
    """Return a picture as (3, H, W) in [0, 1]."""
    return _bytes(image).float() / 255


def as_image(pixels: Tensor) -> Image.Image:
    """Return (3, H, W), uint8 or float in [0, 1], as a picture."""
    if pixels.is_floating_point():
        pixels = (pixels.clamp(0, 1) * 255).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def _bytes(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
