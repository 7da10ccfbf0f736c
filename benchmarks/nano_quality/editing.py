"""Photos at nano's resolution, and their edits by a model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from ip2p_cli.datagen.look_pairs import read_photo
from ip2p_cli.diffusion import editing
from ip2p_cli.models.loader import Editor

SIDE = 256
ROWS = 12  # edits in one call


def prepared(path: Path) -> np.ndarray:
    """A photo at nano's resolution, both sides multiples of 32, the longer at most 384."""
    return _cropped(read_photo(path, SIDE))


def prepared_mask(path: Path, photo_path: Path) -> np.ndarray:
    """A mask as `prepared` gives its photo, (H, W)."""
    photo = read_photo(photo_path, SIDE)
    mask = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), photo.shape[1::-1], interpolation=cv2.INTER_AREA)
    return _cropped(mask.astype(np.float32) / 255)


def _cropped(picture: np.ndarray) -> np.ndarray:
    height, width = (min(384, side // 32 * 32) for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def run(
    editor: Editor, photo: np.ndarray, instructions: Sequence[str], args: argparse.Namespace, first_seed: int = 0
) -> list[np.ndarray]:
    """The photo's edits, (H, W, 3) in [0, 1] each; edit i has the seed `first_seed` + i."""
    image = editing.encode_image(editor, torch.from_numpy(photo).permute(2, 0, 1)[None] * 2 - 1)
    edits: list[np.ndarray] = []
    for start in range(0, len(instructions), ROWS):
        part = list(instructions[start : start + ROWS])
        latent = editing.denoise(
            editor,
            type(image)(image.tensor.repeat(len(part), 1, 1, 1)),
            editing.encode_text(editor, part),
            steps=args.steps,
            cfg_text=[args.cfg_text] * len(part),
            cfg_image=[args.cfg_image] * len(part),
            sampler=args.sampler,
            generators=editing.make_generators([first_seed + start + i for i in range(len(part))]),
        )
        edits += [edit.permute(1, 2, 0).numpy() for edit in editing.decode(editor, latent)]
    return edits
