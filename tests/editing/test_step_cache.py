"""What steps left is read back as it was written, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from ip2p_cli.editing.choose import Chosen
from ip2p_cli.editing.memory import MemoryPlan
from ip2p_cli.editing.step_cache import StepCache, StepResult
from ip2p_cli.editing.tuning import Tuned
from ip2p_cli.io.sizes import Fit

FIT = Fit(resized=(64, 48), padded=(64, 64), seen=(0.0, 1.5, 64.0, 49.5))


def test_a_latent_comes_back_to_the_bit(tmp_path: Path) -> None:
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    chosen = Chosen(index=1, scores=(0.25, 0.5), measure="offline")
    memory = vars(MemoryPlan(max_rows=1, tiling=True))
    tuned = Tuned(kept=0, tries=({"steps": 1, "cfg_text": 1.0, "cfg_image": 1.0, "seed": 3, "verdict": "ok"},))
    result = StepResult(fit=FIT, model="nano abc", latent=latent, chosen=chosen, memory=memory, tuned=tuned)
    StepCache(tmp_path / "cache").write("key", result)
    found = StepCache(tmp_path / "cache").read("key")
    assert found is not None
    assert found.latent is not None
    assert torch.equal(found.latent, latent)
    assert (found.fit, found.model, found.chosen, found.memory) == (FIT, "nano abc", chosen, memory)
    assert found.tuned == tuned
    assert found.picture is None


def test_a_picture_comes_back_to_the_bit(tmp_path: Path) -> None:
    picture = Image.effect_noise((64, 48), 80).convert("RGB")
    StepCache(tmp_path).write("key", StepResult(fit=FIT, model="kontext abc", picture=picture))
    found = StepCache(tmp_path).read("key")
    assert found is not None
    assert found.picture is not None
    assert found.picture.tobytes() == picture.tobytes()
    assert (found.latent, found.chosen, found.memory) == (None, None, None)


@pytest.mark.parametrize("keep", [0, 1, 10, 200])
def test_a_broken_file_is_none(tmp_path: Path, keep: int) -> None:
    cache = StepCache(tmp_path)
    cache.write("key", StepResult(fit=FIT, model="nano abc", latent=torch.zeros(1, 4, 8, 8)))
    path = tmp_path / "key.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert cache.read("key") is None
    assert cache.read("other") is None


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = StepCache(None)
    cache.write("key", StepResult(fit=FIT, model="nano abc", latent=torch.zeros(1, 4, 8, 8)))
    assert cache.read("key") is None
    assert cache.prune([]) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_unused_go_first(tmp_path: Path) -> None:
    cache = StepCache(tmp_path)
    for time, key in enumerate("abcd"):
        cache.write(key, StepResult(fit=FIT, model="nano abc", latent=torch.zeros(1, 4, 8, 8)))
        os.utime(tmp_path / f"{key}.safetensors", (time, time))
    size = (tmp_path / "a.safetensors").stat().st_size
    assert cache.prune({"a"}, most=2 * size) == 1
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["a", "c", "d"]
    assert cache.prune({"a"}, most=0) == 2
    assert [path.stem for path in tmp_path.iterdir()] == ["a"]


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    left = tmp_path / ".ip2p-old.tmp"
    left.touch()
    os.utime(left, (1, 1))
    StepCache(tmp_path).prune([])
    assert not left.exists()
