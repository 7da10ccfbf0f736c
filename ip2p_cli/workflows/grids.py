"""A picture of where training stands: fixed photos, instructions and seeds, one row a photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from ..datagen.looks.stream import read_photo
from ..diffusion.editing import decode, denoise, encode_image, encode_text, make_generators
from ..io.train_recipes import TrainRecipe
from ..models.loader import Editor

ROWS = 4


def draw_grid(editor: Editor, recipe: TrainRecipe, photos: Sequence[Path], folder: Path, step: int) -> Path:
    """Write `folder/grids/step-NNNNNNN.png`: each row a photo, then its edit by every grid instruction."""
    side = recipe.stages[-1].side
    instructions = recipe.grid_instructions
    rows = []
    for path in photos[:: max(1, len(photos) // ROWS)][:ROWS]:
        photo = torch.from_numpy(read_photo(path, side)[:side, :side].copy()).permute(2, 0, 1)[None]
        image = encode_image(editor, photo.repeat(len(instructions), 1, 1, 1) * 2 - 1)
        latent = denoise(
            editor,
            image,
            encode_text(editor, instructions),
            steps=8,
            cfg_text=[1.0] * len(instructions),
            cfg_image=[1.0] * len(instructions),
            sampler="ddim",
            generators=make_generators([0] * len(instructions)),
        )
        rows.append(torch.cat([photo, decode(editor, latent).cpu()]))
    grid = torch.stack(rows).permute(0, 3, 1, 4, 2).reshape(len(rows) * side, -1, 3)
    target = folder / "grids" / f"step-{step:07d}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((grid * 255).round().byte().numpy()).save(target)
    return target
