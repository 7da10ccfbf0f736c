"""Keeping a model's parts in main memory while they are not needed, so that a smaller GPU will do."""

from __future__ import annotations

from typing import Any

import torch

from ip2p_cli.errors import DeviceError
from ip2p_cli.models.loader import Editor
from ip2p_cli.types import OffloadName

# In the order of use: what runs sends away what ran before it, and the VAE, which runs first and last, the UNet.
_PARTS = ("text_encoder", "text_encoder_2", "unet", "vae")


def offload(editor: Editor, how: OffloadName) -> None:
    """Place the parts of `editor`, whose `device` is where they compute, in main memory as `how` says.

    "none": all stay on the device. "model": each part is moved there when it is used, and back when the next one is.
    "sequential": each layer is: least memory, many times slower. Results do not change.
    Raises DeviceError for "model" and "sequential" where `editor.device` is no accelerator.
    """
    check_offload(how, editor.device.type)
    if how != placement(editor):
        place(editor, how)


def check_offload(how: OffloadName, device: str) -> None:
    """DeviceError where there is no accelerator to move parts to."""
    if how != "none" and device == "cpu":
        raise DeviceError(f"--offload {how} needs a GPU to move the model to, and this runs on the CPU; leave it out")


def placement(editor: Editor) -> OffloadName:
    """How the parts of `editor` are placed now."""
    from accelerate.hooks import CpuOffload

    hook = getattr(editor.unet, "_hf_hook", None)
    if hook is None:
        return "none"
    return "model" if isinstance(hook, CpuOffload) else "sequential"


def place(editor: Editor, how: OffloadName) -> None:
    """`offload` without its checks: also computes on the CPU, which saves nothing there."""
    from accelerate import cpu_offload
    from accelerate.hooks import remove_hook_from_module

    named = [getattr(editor, name) for name in _PARTS if getattr(editor, name) is not None]
    # nano's autoencoder has no weights to speak of, and no hooks: it stays on the device.
    parts = [part for part in named if any(True for _ in part.parameters())]
    for part in named:
        if part not in parts:
            part.to(editor.device)
    for part in parts:
        # Brings back the weights that "sequential" keeps apart.
        remove_hook_from_module(part, recurse=True)
        part.to("cpu" if how != "none" else editor.device)
    if how == "model":
        _take_turns(parts, _numbered(editor.device))
    elif how == "sequential":
        for part in parts:
            cpu_offload(part, _numbered(editor.device), offload_buffers=bool(part._parameters))


def _take_turns(parts: list[Any], device: torch.device) -> None:
    from accelerate import cpu_offload_with_hook

    hooks: list[Any] = []
    for part in parts:
        _, hook = cpu_offload_with_hook(part, device, prev_module_hook=hooks[-1] if hooks else None)
        hooks.append(hook)
    # accelerate chains them in a line, for a VAE that runs last only; ours has encoded the photo before.
    hooks[0].hook.prev_module_hook = hooks[-1]


def _numbered(device: torch.device) -> torch.device:
    """With its index, as tensors there have it: accelerate compares the two."""
    return device if device.type == "cpu" or device.index is not None else torch.device(device.type, 0)
