"""The draw of a look that a seed's noise holds: what nano was trained to make of that noise."""

from __future__ import annotations

from dataclasses import replace

import torch

from ip2p_cli.diffusion.editing import make_generators
from ip2p_cli.looks.base import CELL, CHANNELS, Draw


def draw_of(seed: int, height: int, width: int, box: tuple[int, int, int, int] | None = None) -> Draw:
    """The draw of the initial noise that `editing.initial_noise` gives nano.

    Args:
        seed: The seed of the noise's generator.
        height: Of the padded picture at the model's size.
        width: The same.
        box: (left, top, right, bottom) of the photo in it.
    """
    generator = make_generators([seed])[0]
    fields = torch.randn((CHANNELS, height // CELL, width // CELL), generator=generator)
    draw = Draw(fields=fields.numpy(), numbers=torch.randn(CHANNELS, generator=generator).numpy())
    if box is None:
        return draw
    left, top, right, bottom = box
    rows, columns = slice(top // CELL, -(-bottom // CELL)), slice(left // CELL, -(-right // CELL))
    return replace(draw, fields=draw.fields[:, rows, columns])
