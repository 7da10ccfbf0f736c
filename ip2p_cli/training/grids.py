"""Pictures of a training run's progress: always the same photos, instructions and seeds, one row a photo."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ip2p_cli.datagen.dataset.stream import Photo
from ip2p_cli.diffusion.editing import decode, denoise, encode_image, encode_text, make_generators
from ip2p_cli.errors import InputError
from ip2p_cli.io.train_recipes import TrainRecipe
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.registry import PAPER_DEFAULTS

ROWS = 4


def draw_grid(editor: Editor, recipe: TrainRecipe, photos: Sequence[Photo], folder: Path, step: int) -> Path | None:
    """Edit some photos with the model's default settings, and write them as a grid.

    Returns:
        `folder/grids/step-NNNNNNN.png`: in each row one of `photos`, then its edit by every instruction. Photos that
        cannot be read are passed over; None where none can.
    """
    side = max(1, recipe.stages[-1].side // editor.spec.multiple) * editor.spec.multiple
    chosen = photos[:: max(1, len(photos) // ROWS)][:ROWS]
    rows = [_row(editor, picture, recipe.grid_instructions) for picture in _read(chosen, side)]
    if not rows:
        return None
    grid = torch.stack(rows).permute(0, 3, 1, 4, 2).reshape(len(rows) * side, -1, 3)
    target = folder / "grids" / f"step-{step:07d}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((grid * 255).round().byte().numpy()).save(target)
    return target


def _read(photos: Sequence[Photo], side: int) -> Iterator[Tensor]:
    """Read photos as (1, 3, side, side) in [0, 1]."""
    for photo in photos:
        with contextlib.suppress(InputError):
            yield torch.from_numpy(photo(side)[:side, :side].copy()).permute(2, 0, 1)[None]


def _row(editor: Editor, picture: Tensor, instructions: Sequence[str]) -> Tensor:
    """Edit one picture by every instruction: (1 + instructions, 3, side, side) in [0, 1]."""
    defaults, count = editor.spec.defaults.or_else(PAPER_DEFAULTS), len(instructions)
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
