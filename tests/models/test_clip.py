"""CLIP from a local folder, on a tiny random one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ip2p_cli.errors import ModelError
from ip2p_cli.models.clip import find_clip, load_clip, similarities
from tests.tiny_clip import save_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


def test_the_same_as_the_library_and_of_unit_length(folder: Path) -> None:
    clip = load_clip(folder)
    pixels = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    images, texts = clip.images(pixels), clip.texts(["winter", "a much longer sentence " * 20])
    torch.testing.assert_close(images.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(2))
    tokens = clip.tokenizer(["winter"], padding="max_length", max_length=77, return_tensors="pt")
    both = clip.model(input_ids=tokens.input_ids, pixel_values=torch.zeros(1, 3, 32, 32))
    torch.testing.assert_close(both.text_embeds[0], texts[0])


def test_similarities(folder: Path) -> None:
    clip = load_clip(folder)
    before, after = torch.rand(2, 1, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    words = similarities(clip, before, torch.cat([before, after]), "winter")
    assert words[0] == {"image": pytest.approx(1.0, abs=1e-5), "text": pytest.approx(0.0, abs=1e-5)}
    assert words[1]["image"] < 1
    there = similarities(clip, before, after, "", ("a lake", "a lake in winter"))[0]["direction"]
    back = similarities(clip, before, after, "", ("a lake in winter", "a lake"))[0]["direction"]
    assert there == pytest.approx(-back, abs=1e-5)


def test_wrong_folders(folder: Path, tmp_path: Path) -> None:
    assert find_clip(str(folder)) == folder
    with pytest.raises(ModelError, match="--clip"):
        find_clip(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="cannot be loaded as CLIP"):
        load_clip(tmp_path)
