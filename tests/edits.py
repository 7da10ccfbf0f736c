"""Edits of random pictures by small models, for comparing what two ways of getting there give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.latents import SampledLatent
from ip2p_cli.diffusion.text import encode_condition
from ip2p_cli.models.loader import Editor


def edit(
    editor: Editor,
    pixels: torch.Tensor,
    instructions: Sequence[str],
    cfg_text: Sequence[float],
    cfg_image: Sequence[float],
    seeds: Sequence[int],
    sampler: str = "euler",
    steps: int = 4,
    **more: Any,
) -> torch.Tensor:
    """Sampled latents of pixels (N, 3, H, W) in [0, 1]."""
    return editing.denoise(
        editor,
        editing.encode_image(editor, pixels * 2 - 1),
        encode_condition(editor, instructions),
        steps=steps,
        cfg_text=cfg_text,
        cfg_image=cfg_image,
        sampler=sampler,
        generators=editing.make_generators(seeds),
        **more,
    ).tensor


def one_edit(editor: Editor, instruction: str = "make it winter", sampler: str = "euler") -> torch.Tensor:
    """Pixels (1, 3, 64, 64) in [0, 1]: the same for the same weights, however they were loaded or placed."""
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    latent = edit(editor, pixels, [instruction], [5.0], [1.5], [0], sampler=sampler, steps=2)
    return editing.decode(editor, SampledLatent(latent))
