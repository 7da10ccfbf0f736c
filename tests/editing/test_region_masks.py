"""Masks from words: along the photo's edges, at its size; what is not there, or cannot be found here, is said."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ip2p_cli.editing.guided_filter import refined
from ip2p_cli.editing.region_masks import found_region, region_finder
from ip2p_cli.errors import InputError, ModelError
from ip2p_cli.io.images import Picture, picture_from_image
from ip2p_cli.models import clipseg
from ip2p_cli.models.subject import finding
from tests.tiny_clip import save_clipseg

SIZE = (300, 240)


def horizon(width: int = SIZE[0]) -> np.ndarray:
    """The height of the ground in each column."""
    return (110 + 25 * np.sin(np.arange(width) / 40)).astype(int)


def scene(*, sky: bool = True) -> Picture:
    """A blue sky over rough dark ground."""
    rng = np.random.default_rng(0)
    values = rng.normal((60, 55, 40), 18, (SIZE[1], SIZE[0], 3))
    if sky:
        above = np.arange(SIZE[1])[:, None] < horizon()
        values[above] = (120, 165, 225)
    return picture_from_image(Image.fromarray(values.clip(0, 255).astype(np.uint8)))


def mask_of(words: str, picture: Picture, model: Path | None = None) -> np.ndarray:
    return np.asarray(found_region(region_finder(words, model), picture)).astype(int)


def test_the_sky_ends_at_the_horizon() -> None:
    mask = mask_of("the sky", scene())
    rows = np.arange(SIZE[1])[:, None]
    assert mask.shape == (SIZE[1], SIZE[0])
    assert (mask[rows < horizon() - 3] > 200).mean() > 0.97
    assert (mask[rows > horizon() + 3] < 55).mean() > 0.97
    assert (mask[rows > horizon() + 60] == 0).all()
    rest = mask_of("everything but the sky", scene())
    assert np.abs(rest + mask - 255).mean() < 6


def test_places_depend_on_the_frame_alone() -> None:
    left = mask_of("the left half", scene())
    assert (left[:, :100] == 255).all()
    assert (left[:, 200:] == 0).all()
    assert (left == mask_of("left", scene(sky=False))).all()
    corners = mask_of("everything but the corners", scene())
    assert (corners[0, 0], corners[120, 150]) == (0, 255)


def test_a_region_that_the_photo_lacks_is_one_line() -> None:
    with pytest.raises(
        InputError, match=r"^the photo: “the sky” was not found in it: name another part, or give --mask"
    ):
        mask_of("the sky", scene(sky=False))
    with pytest.raises(InputError, match="“red” was not found"):
        mask_of("red", scene())


def test_a_rough_mask_is_drawn_to_the_edge_of_the_photo() -> None:
    photo = np.full((200, 300, 3), 0.2, np.float32)
    photo[:, 150:] = 0.8
    rough = np.zeros((200, 300), np.float32)
    rough[:, 158:] = 1
    full = Image.fromarray((photo * 255).astype(np.uint8)).resize((900, 600), Image.Resampling.NEAREST)
    exact = np.asarray(refined(rough, photo, full, radius=24, reach=12)) > 128
    assert (exact[:, :449] == 0).all()
    assert exact[:, 451:].all()
    even = Image.new("RGB", full.size, "grey")  # without edges the mask stays, softly
    kept = np.asarray(refined(rough, np.full_like(photo, 0.5), even, radius=24, reach=0)).astype(int)
    assert (kept[:, : 3 * 100] == 0).all()
    assert (kept[:, 3 * 215 :] == 255).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (1300, 2)])
def test_any_shape(size: tuple[int, int]) -> None:
    photo = picture_from_image(Image.new("RGB", size, (230, 30, 30)))
    assert mask_of("red", photo).shape == size[::-1]
    assert mask_of("the top", photo).shape == size[::-1]


def test_other_words_are_found_by_clipseg(tmp_path: Path) -> None:
    some = save_clipseg(tmp_path / "some", 0.3)
    finder = region_finder("the car", some)
    assert finder.made_by.startswith("clipseg ")
    assert finder.made_by != region_finder("the car", save_clipseg(tmp_path / "other", 9)).made_by
    mask = mask_of("the car", scene(), tmp_path / "other")
    assert (mask == 255).all()
    with pytest.raises(InputError, match="“the car” was not found in it"):
        mask_of("the car", scene(), save_clipseg(tmp_path / "nothing", -9))
    assert (mask_of("everything but the car", scene(), tmp_path / "other") == 0).all()


def test_clipseg_reads_the_photo_and_the_words(tmp_path: Path) -> None:
    import torch

    model = clipseg.load_clipseg(save_clipseg(tmp_path))
    photo = torch.rand(3, 40, 56, generator=torch.Generator().manual_seed(0))
    answer = model.mask(photo, "the car")
    assert answer.shape == (40, 56)
    assert not torch.equal(answer, model.mask(photo, "a house"))
    assert not torch.equal(answer, model.mask(photo.flip(2), "the car"))


def test_without_weights_it_is_said_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipseg, "find_cached", lambda source: None)
    with pytest.raises(ModelError, match=r"“the car” needs CLIPSeg, .*hf download CIDAS/clipseg-rd64-refined"):
        region_finder("the car")
    with pytest.raises(ModelError, match=r"Did you mean sky"):
        region_finder("the skyy")
    with pytest.raises(ModelError, match=r"--region-model .*: no folder with a config.json and a model.safetensors"):
        region_finder("the car", tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="cannot be loaded as CLIPSeg"):
        mask_of("the car", scene(), tmp_path)


def without_rembg(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rembg", "rembg.sessions", "rembg.sessions.u2net"):
        monkeypatch.setitem(sys.modules, name, None)


def test_the_subject_needs_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_rembg(monkeypatch)
    monkeypatch.setattr(finding, "WEIGHTS", tmp_path / "none")
    for words in ("subject", "the background", "everything but the subject"):
        with pytest.raises(ModelError, match=r"needs a network .*: give --mask, or pip install 'ip2p\[subject\]'"):
            region_finder(words)


def test_the_subject_by_the_package_s_own_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_rembg(monkeypatch)
    monkeypatch.setattr(finding, "WEIGHTS", tmp_path / "weights")
    (tmp_path / "weights").write_bytes(b"weights")
    monkeypatch.setattr(finding, "find_subject", lambda photo: (photo[..., 2] - photo[..., 0] > 0.2).astype(np.float32))
    assert region_finder("subject").made_by.startswith("subject ")
    rows = np.arange(SIZE[1])[:, None]
    assert (mask_of("subject", scene())[rows < horizon() - 3] > 200).mean() > 0.97


def test_the_subject_by_rembg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a stand-in for rembg that answers where the photo is blue."""
    weights: list[Path] = []

    def remove(image: Image.Image, **options: Any) -> Image.Image:
        assert options == {"session": "session", "only_mask": True}
        red, _, blue = (np.asarray(band).astype(int) for band in image.split())
        return Image.fromarray(((blue - red > 60) * 255).astype(np.uint8))

    rembg, module = ModuleType("rembg"), ModuleType("rembg.sessions.u2net")
    vars(rembg).update(remove=remove, new_session=lambda name, providers: "session")
    found = SimpleNamespace(resolve_existing=lambda name: str(weights[0]) if weights else None)
    vars(module).update(U2netSession=found)
    for name, part in (("rembg", rembg), ("rembg.sessions", ModuleType("s")), ("rembg.sessions.u2net", module)):
        monkeypatch.setitem(sys.modules, name, part)
    monkeypatch.setattr(finding, "WEIGHTS", tmp_path / "none")
    with pytest.raises(ModelError, match=r"fetch its weights once .* with python -c 'import rembg"):
        region_finder("subject")
    weights.append(tmp_path / "u2net.onnx")
    weights[0].write_bytes(b"weights")
    assert region_finder("subject").made_by.startswith("u2net ")
    mask = mask_of("subject", scene())
    rows = np.arange(SIZE[1])[:, None]
    assert (mask[rows < horizon() - 3] > 200).mean() > 0.97
    assert (mask[rows > horizon() + 3] < 55).mean() > 0.97
    assert np.abs(mask_of("the background", scene()) + mask - 255).mean() < 6
    with pytest.raises(InputError, match="“subject” was not found in it"):
        mask_of("subject", scene(sky=False))
