"""Whether the autoencoder works in tiles follows from the picture's size alone: in Python, in a job, from a cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_cli.api import Editor
from ip2p_cli.editing import memory
from ip2p_cli.types import EditSettings
from tests.cli.ip2p import Run, pixels, some_photo

SETTINGS = EditSettings(seed=1, steps=2, resolution=64)


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of 64 pixels a side are large, and tiles small."""
    monkeypatch.setattr(memory, "TILING_PIXELS", 64 * 64 - 1)
    monkeypatch.setattr(memory, "_TILE", 32)


@pytest.fixture
def ip2p(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_folder: Path) -> Run:
    from tests.cli.ip2p import runner

    monkeypatch.chdir(tmp_path)
    some_photo(96, 96).save("photo.png")
    return runner(monkeypatch, capsys, tmp_path / "home", tiny_folder)


def test_python_and_the_command_tile_alike(ip2p: Run, tiny_folder: Path, tiles: None) -> None:
    assert ip2p("edit", "photo.png", "winter", "-o", "out.png", "--seed", 1, "--dtype", "fp32").code == 0
    editor = Editor.load(str(tiny_folder), device="cpu", dtype="fp32")
    tiled = np.asarray(editor.edit("photo.png", "winter", SETTINGS).image)
    assert (tiled == pixels("out.png")).all()


def test_tiles_change_pixels_here(tiny_folder: Path, tiles: None, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = some_photo(96, 96)
    tiled = Editor.load(str(tiny_folder), device="cpu", dtype="fp32").edit(photo, "winter", SETTINGS)
    monkeypatch.setattr(memory, "TILING_PIXELS", 1024 * 1024)
    whole = Editor.load(str(tiny_folder), device="cpu", dtype="fp32").edit(photo, "winter", SETTINGS)
    assert tiled.image.tobytes() != whole.image.tobytes()


def test_a_chain_from_its_cache_tiles_as_a_fresh_one(ip2p: Run, tiles: None) -> None:
    words = ("chain", "photo.png", "--edit", "winter", "--edit", "night", "--seed", 1, "--dtype", "fp32")
    assert ip2p(*words, "-o", "fresh").code == 0
    assert ip2p(*words, "-o", "again").code == 0
    for name in ("final.png", "02-night.png"):
        Path("again/photo", name).unlink()
    assert ip2p(*words, "-o", "again").code == 0
    with Image.open("again/photo/final.png") as again, Image.open("fresh/photo/final.png") as fresh:
        assert again.tobytes() == fresh.tobytes()
