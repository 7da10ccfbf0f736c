"""Settings of a loaded model that make CUDA faster. Attention needs none: diffusers takes torch's own (SDPA)."""

from __future__ import annotations

from typing import Any

import torch

from ip2p_cli.models.editor import Editor


def tune(editor: Editor, *, compiled: bool) -> None:
    """Lay out a model's convolutions as tensor cores want them and, if asked for, compile the UNet.

    Args:
        editor: A model on a CUDA device.
        compiled: Compile the UNet's transformer blocks; the first edits of a size then take a minute longer.
    """
    for part in (editor.unet, editor.vae):
        part.to(memory_format=torch.channels_last)
    if compiled:
        compile_blocks(editor.unet)


def compile_blocks(unet: Any, backend: str = "inductor") -> None:
    """Compile the blocks that a UNet repeats, for fixed shapes: each shape of a block once, not the whole UNet.

    Args:
        unet: A UNet2DConditionModel.
        backend: torch.compile's.
    """
    # Not fullgraph: where memory is short, `offload.place` adds hooks to the layers, which the compiler leaves out.
    unet.compile_repeated_blocks(backend=backend, dynamic=False, fullgraph=False)
