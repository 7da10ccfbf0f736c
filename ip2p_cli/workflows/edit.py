"""Editing: to the model's size, through the denoise loop, and back to the photo's own size."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.adapted import edit_adapted, through_vae
from ip2p_cli.diffusion.detail import return_to_full_size
from ip2p_cli.diffusion.latents import ImageLatent, SampledLatent
from ip2p_cli.diffusion.text import TextCondition, encode_condition
from ip2p_cli.io.sizes import Fit, fit_for, to_model
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.loader import Editor
from ip2p_cli.models.offload import offload, placement
from ip2p_cli.types import EditRequest, EditResult, ModelSpec
from ip2p_cli.workflows.memory import MemoryPlan, can_tile, ladder, tile_ladder, vae_as, with_retries
from ip2p_cli.workflows.seeds import item_seed

OnStep = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Small:
    """An edit at the model's size: photo and edit (3, h, w) in [0, 1], on the CPU; the latent (1, C, h', w').

    The photo is as the autoencoder gives it back: what is lost there is the photo's detail, not the edit's doing.
    """

    source: Tensor
    edited: Tensor
    latent: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A request with its photo at the model's size: pixels (3, h, w) in [0, 1], on the CPU."""

    request: EditRequest
    fit: Fit
    pixels: Tensor


def prepare(request: EditRequest, spec: ModelSpec) -> Prepared:
    """Bring a photo to the size at which the model `spec` sees it."""
    fit = fit_for(request.source.size, request.settings, spec.multiple)
    return Prepared(request=request, fit=fit, pixels=as_tensor(to_model(request.source, fit)))


def edit_batch(
    editor: Editor | Adapter,
    batch: Sequence[Prepared],
    *,
    memory: MemoryPlan | None = None,
    on_step: OnStep | None = None,
) -> list[Small]:
    """The edits as the model makes them, before they are carried back to the photos' sizes.

    batch: photos of one padded size, with one sampler and step count; instructions, scales and seeds may differ.
    memory: how to run it; all at once where it is None. on_step: called as (steps done, steps). An empty instruction
    is the null text: an edit that asks for nothing.
    """
    if isinstance(editor, Adapter):
        return [_edit_adapted(editor, one, memory or MemoryPlan(), on_step) for one in batch]
    memory = memory or MemoryPlan(offload=placement(editor))
    offload(editor, memory.offload)
    with vae_as(editor.vae, memory):
        image = editing.encode_image(editor, torch.stack([one.pixels for one in batch]) * 2 - 1)
    text = encode_condition(editor, [one.request.instruction for one in batch])
    latent = sample(editor, image, text, [one.request for one in batch], max_rows=memory.max_rows, on_step=on_step)
    with vae_as(editor.vae, memory):
        before, after = (editing.decode(editor, z).cpu() for z in (image, latent))
    return cut_batch(batch, before, after, latent)


def sample(
    editor: Editor,
    image: ImageLatent,
    text: TextCondition,
    requests: Sequence[EditRequest],
    *,
    max_rows: int | None = None,
    on_step: OnStep | None = None,
) -> SampledLatent:
    """What the model makes of encoded pictures, one a request: a photo, or what an edit before it left."""
    settings = [request.settings for request in requests]
    return editing.denoise(
        editor,
        image,
        text,
        steps=settings[0].steps,
        cfg_text=[s.cfg_text for s in settings],
        cfg_image=[s.cfg_image for s in settings],
        sampler=settings[0].sampler,
        generators=editing.make_generators([noise_seed(request) for request in requests]),
        on_step=on_step,
        max_rows=max_rows,
    )


def cut_batch(batch: Sequence[Prepared], before: Tensor, after: Tensor, latent: SampledLatent) -> list[Small]:
    """The edits out of decoded pixels (N, 3, H, W), on the CPU, padding and all."""
    return [
        Small(source=cut(before[i], one.fit), edited=cut(after[i], one.fit), latent=latent.tensor[i : i + 1])
        for i, one in enumerate(batch)
    ]


class EditBatch(Protocol):
    """What `edit_batch` is: a way to make the edits of a batch."""

    def __call__(
        self,
        editor: Editor | Adapter,
        batch: Sequence[Prepared],
        *,
        memory: MemoryPlan | None = None,
        on_step: OnStep | None = None,
    ) -> list[Small]:
        """The edits, one for each of `batch`."""


def edit_batch_in_memory(
    editor: Editor | Adapter,
    batch: Sequence[Prepared],
    *,
    say: Callable[[str], None],
    on_step: OnStep | None = None,
    run: EditBatch = edit_batch,
    first: MemoryPlan | None = None,
) -> tuple[list[Small], MemoryPlan]:
    """`edit_batch`, or another `run`, with as little memory as it turns out to need; and how it was run in the end.

    say: told of each step down. first: the way to begin with. Raises DeviceError where none is small enough.
    """
    height, width = batch[0].pixels.shape[-2:]
    plans = memory_plans(editor, height * width)
    plans = plans[plans.index(first) :] if first in plans else plans
    return with_retries(lambda plan: run(editor, batch, memory=plan, on_step=on_step), plans, say)


def memory_plans(editor: Editor | Adapter, pixels: int) -> tuple[MemoryPlan, ...]:
    """The ways to run a model on pictures of `pixels` = width x height, from the fastest to the smallest."""
    if isinstance(editor, Adapter):
        return tile_ladder(pixels=pixels, can_tile=can_tile(editor.pipeline.vae))
    return ladder(
        pixels=pixels,
        device=editor.device.type,
        offload=placement(editor),
        can_tile=can_tile(editor.vae),
    )


def _edit_adapted(adapter: Adapter, one: Prepared, memory: MemoryPlan, on_step: OnStep | None) -> Small:
    """One edit by a model's own way. Its pipeline sees to guidance and to where its parts are."""
    settings = one.request.settings
    with vae_as(adapter.pipeline.vae, memory):
        edited, latent = edit_adapted(
            adapter,
            one.pixels,
            one.request.instruction,
            steps=settings.steps,
            cfg_text=settings.cfg_text,
            generator=editing.make_generators([noise_seed(one.request)])[0],
            on_step=on_step,
        )
        source = through_vae(adapter, one.pixels)
    return Small(source=cut(source.cpu(), one.fit), edited=cut(edited.cpu(), one.fit), latent=latent)


def noise_seed(request: EditRequest) -> int:
    """The seed of the request's own generator."""
    return item_seed(request.settings.seed, request.digest, request.instruction, request.position)


def edit_small(editor: Editor | Adapter, request: EditRequest, *, on_step: OnStep | None = None) -> Small:
    """`edit_batch` of one."""
    return edit_batch(editor, [prepare(request, editor.spec)], on_step=on_step)[0]


def edit(editor: Editor | Adapter, request: EditRequest, *, on_step: OnStep | None = None) -> EditResult:
    """Edit one photo. The picture has the photo's size, or the model's where the settings say "model"."""
    began = time.monotonic()
    prepared = prepare(request, editor.spec)
    small = edit_batch(editor, [prepared], on_step=on_step)[0]
    return EditResult(
        request=request,
        image=finish(prepared, small),
        latent=small.latent,
        model=editor.spec.name,
        seconds=time.monotonic() - began,
    )


def finish(prepared: Prepared, small: Small) -> Image.Image:
    """The picture that the user gets: at the photo's size, or the model's where the settings say "model"."""
    request = prepared.request
    if request.settings.output_size == "model":
        return as_image(small.edited)
    full = return_to_full_size(_bytes(request.source), small.source, small.edited, seen=prepared.fit.seen)
    return as_image(full)


def _bytes(image: Image.Image) -> Tensor:
    """(3, H, W) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def as_tensor(image: Image.Image) -> Tensor:
    """(3, H, W) in [0, 1]."""
    return _bytes(image).float() / 255


def cut(pixels: Tensor, fit: Fit) -> Tensor:
    """The photo's part of padded pixels (3, H, W)."""
    left, top, right, bottom = fit.box
    return pixels[:, top:bottom, left:right]


def as_image(pixels: Tensor) -> Image.Image:
    """An image from (3, H, W), uint8 or float in [0, 1]."""
    if pixels.is_floating_point():
        pixels = (pixels.clamp(0, 1) * 255).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
