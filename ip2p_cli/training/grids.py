"""A picture of where training stands: fixed photos, instructions and seeds, one row a photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ip2p_cli.datagen.dataset.stream import Photo
from ip2p_cli.diffusion.editing import decode, denoise, encode_image, encode_text, make_generators
from ip2p_cli.io.train_recipes import TrainRecipe
from ip2p_cli.models.loader import Editor
from ip2p_cli.models.registry import PAPER_DEFAULTS

ROWS = 4


def draw_grid(editor: Editor, recipe: TrainRecipe, photos: Sequence[Photo], folder: Path, step: int) -> Path:
    """Write `folder/grids/step-NNNNNNN.png`: each row a photo, then its edit by every grid instruction.

    With the model's own default steps, scales and sampler.
    """
    side = max(1, recipe.stages[-1].side // editor.spec.multiple) * editor.spec.multiple
    rows = [
        _row(editor, photo, side, recipe.grid_instructions) for photo in photos[:: max(1, len(photos) // ROWS)][:ROWS]
    ]
    grid = torch.stack(rows).permute(0, 3, 1, 4, 2).reshape(len(rows) * side, -1, 3)
    target = folder / "grids" / f"step-{step:07d}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((grid * 255).round().byte().numpy()).save(target)
    return target


def _row(editor: Editor, photo: Photo, side: int, instructions: Sequence[str]) -> Tensor:
    """(1 + instructions, 3, side, side) in [0, 1]."""
    defaults, count = editor.spec.defaults.or_else(PAPER_DEFAULTS), len(instructions)
    picture = torch.from_numpy(photo(side)[:side, :side].copy()).permute(2, 0, 1)[None]
    latent = denoise(
        editor,
        encode_image(editor, picture.repeat(count, 1, 1, 1) * 2 - 1),
        encode_text(editor, instructions),
        steps=defaults.steps or 1,
        cfg_text=[defaults.cfg_text or 0.0] * count,
        cfg_image=[defaults.cfg_image or 0.0] * count,
        sampler=defaults.sampler or "ddim",
        generators=make_generators([0] * count),
    )
    return torch.cat([picture, decode(editor, latent).cpu()])
