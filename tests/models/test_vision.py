"""DINO, safety checkers and CLIP's four scores, on tiny random models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ip2p_cli.errors import ModelError
from ip2p_cli.models.clip import load_clip, pair_scores, similarities, square
from ip2p_cli.models.vision import likeness, load_dino, load_safety, unsafe
from tests.tiny_clip import save_checker, save_classifier, save_clip, save_dino

PICTURES = list(torch.rand(3, 3, 40, 52, generator=torch.Generator().manual_seed(1)))


def test_dino(tmp_path: Path) -> None:
    dino = load_dino(save_dino(tmp_path))
    alike = likeness(dino, [PICTURES[0], PICTURES[0]], [PICTURES[0], PICTURES[1][:, :30]])
    assert alike[0] == pytest.approx(1.0, abs=1e-5)
    assert -1 <= alike[1] < 0.9999


def test_classifier(tmp_path: Path) -> None:
    checker = load_safety(save_classifier(tmp_path / "a"))
    found = unsafe(checker, PICTURES)
    pixels = checker.pixels(PICTURES)
    assert found == pytest.approx(checker.model(pixel_values=pixels).logits.softmax(1)[:, 1].tolist())
    with pytest.raises(ModelError, match="none of its labels"):
        load_safety(save_classifier(tmp_path / "b", ("cat", "dog")))


@pytest.mark.parametrize("strict", [True, False])
def test_checker(tmp_path: Path, strict: bool) -> None:
    assert unsafe(load_safety(save_checker(tmp_path, strict=strict)), PICTURES) == [float(strict)] * 3


def test_wrong_folders(tmp_path: Path) -> None:
    for load in (load_dino, load_safety):
        with pytest.raises(ModelError, match="cannot be loaded"):
            load(tmp_path / "none")


def test_four_scores(tmp_path: Path) -> None:
    """As one pair at a time, and as the plain formulas; without captions what needs them is None."""
    clip = load_clip(save_clip(tmp_path))
    before, after = square(torch.stack(PICTURES[:2]), clip.side), square(torch.stack(PICTURES[1:]), clip.side)
    captions = ("a lake", "a lake in winter")
    scores = pair_scores(clip, before, after, [captions, None])
    alone = similarities(clip, before[:1], after[:1], "", captions)[0]
    assert scores[0]["clip_image"] == pytest.approx(alone["image"], abs=1e-5)
    assert scores[0]["clip_direction"] == pytest.approx(alone["direction"], abs=1e-4)
    text = (clip.images(after[:1]) @ clip.texts([captions[1]]).T).item()
    assert scores[0]["clip_text_edited"] == pytest.approx(text, abs=1e-5)
    assert scores[1]["clip_image"] is not None
    assert scores[1]["clip_direction"] is scores[1]["clip_text_original"] is scores[1]["clip_text_edited"] is None
