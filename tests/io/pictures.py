"""Pictures for the tests of reading and writing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ip2p_cli.io.files import write_whole
from ip2p_cli.io.output import check_output, encode_picture

CLOSE = 16  # levels that a lossy format may be off by, on smooth content


def smooth(width: int = 48, height: int = 32) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 255 / (width - 1), y * 255 / (height - 1), 255 - x * 255 / (width - 1)], axis=-1)
    return Image.fromarray(rgb.astype(np.uint8))


def saved(tmp_path: Path, image: Image.Image, name: str, **options: Any) -> Path:
    path = tmp_path / name
    image.save(path, **options)
    return path


def difference(a: Image.Image, b: Image.Image) -> int:
    assert a.size == b.size
    assert a.mode == b.mode
    return int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max())


def pixels(image: Image.Image) -> list[Any]:
    array = np.asarray(image)
    return array.reshape(-1, *array.shape[2:]).tolist()  # type: ignore[no-any-return]


def write_image(image: Image.Image, path: Path, *, overwrite: bool, **options: Any) -> None:
    """Write a picture as every command does: checked, encoded, written whole."""
    check_output(path, overwrite)
    write_whole(path, encode_picture(image, path, **options), overwrite=overwrite)
