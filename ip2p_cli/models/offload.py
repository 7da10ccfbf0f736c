"""Keeping the parts of a model in main memory while they are not needed, for smaller GPUs."""

from __future__ import annotations

from typing import Any

import torch

from ip2p_cli.errors import DeviceError
from ip2p_cli.models.editor import Editor
from ip2p_cli.types import OffloadName

# In the order of use: a part that runs moves the part before it away, and the VAE, which runs first and last, the UNet.
_PARTS = ("text_encoder", "text_encoder_2", "unet", "vae")


def offload(editor: Editor, how: OffloadName) -> None:
    """Place the parts of `editor` as `how` says. Results do not change.

    Args:
        editor: The model; `editor.device` is where it computes.
        how: "none": all parts stay on the device. "model": a part moves there when it is used, and back when the next
            one is. "sequential": so does each layer; this needs least memory and is many times slower.

    Raises:
        DeviceError: `how` is not "none", and `editor.device` is no accelerator.
    """
    check_offload(how, editor.device.type)
    if how != placement(editor):
        place(editor, how)


def check_offload(how: OffloadName, device: str) -> None:
    """Raise DeviceError where `device` is no accelerator to move parts to."""
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
    """Do what `offload` does, without its checks; works on the CPU too, where it saves nothing."""
    from accelerate import cpu_offload
    from accelerate.hooks import remove_hook_from_module

    present = [getattr(editor, name) for name in _PARTS if getattr(editor, name) is not None]
    # nano's autoencoder has buffers only, which hooks do not move: it stays on the device.
    movable = [part for part in present if any(True for _ in part.parameters())]
    for part in present:
        # Also restores weights that "sequential" keeps elsewhere.
        remove_hook_from_module(part, recurse=True)
        part.to("cpu" if how != "none" and part in movable else editor.device)
    if how == "model":
        _offload_in_turns(movable, _with_index(editor.device))
    elif how == "sequential":
        for part in movable:
            cpu_offload(part, _with_index(editor.device), offload_buffers=bool(part._parameters))


def _offload_in_turns(parts: list[Any], device: torch.device) -> None:
    from accelerate import cpu_offload_with_hook

    hooks: list[Any] = []
    for part in parts:
        _, hook = cpu_offload_with_hook(part, device, prev_module_hook=hooks[-1] if hooks else None)
        hooks.append(hook)
    # accelerate expects a VAE that only runs last; ours runs first too, and the text encoder must move it away.
    hooks[0].hook.prev_module_hook = hooks[-1]


def _with_index(device: torch.device) -> torch.device:
    """The device with an index, as tensors on it report it; accelerate compares the two."""
    return device if device.type == "cpu" or device.index is not None else torch.device(device.type, 0)
