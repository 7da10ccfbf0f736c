"""The hash follows the bytes of what is loaded, and large files are read once."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ip2p_cli.errors import ModelError
from ip2p_cli.models import fingerprint as module
from ip2p_cli.models.fingerprint import fingerprint, memory_path
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.model_files import weight_files
from ip2p_cli.models.registry import MODELS, find_model
from ip2p_cli.types import Lora
from tests import original

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "user_folder", lambda purpose: tmp_path / purpose)
    return tmp_path / "cache"


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def test_it_follows_the_bytes(folder: Path, tmp_path: Path) -> None:
    spec = find_model(str(folder))
    first = fingerprint(spec)
    assert len(first) == 16
    assert int(first, 16) >= 0
    assert fingerprint(load_editor(spec, device="cpu", dtype="fp32")) == first
    moved = Path(shutil.copytree(folder, tmp_path / "elsewhere" / "other-name"))
    assert fingerprint(find_model(str(moved))) == first
    weights = load_file(folder / UNET)
    weights["conv_in.bias"] += 1e-3
    save_file(weights, folder / UNET, {"format": "pt"})
    assert fingerprint(spec) != first


def test_it_covers_the_variant_that_is_loaded(folder: Path) -> None:
    spec = find_model(str(folder))
    full = fingerprint(spec)
    halves = {name: tensor.half() for name, tensor in load_file(folder / UNET).items()}
    save_file(halves, folder / UNET.replace(".safetensors", ".fp16.safetensors"), {"format": "pt"})
    assert fingerprint(load_editor(spec, device="cpu", dtype="fp16")) != full
    assert fingerprint(load_editor(spec, device="cpu", dtype="fp32")) == full


def test_it_covers_loras_and_the_vae(folder: Path, tmp_path: Path) -> None:
    spec = find_model(str(folder))
    paths = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for number, path in enumerate(paths):
        save_file({"x": torch.full((2,), float(number))}, path)
    a, b = (Lora(path=path) for path in paths[:2])
    original.make_vae().save_pretrained(tmp_path / "vae")
    all_of_them = [
        fingerprint(spec),
        fingerprint(spec, [a]),
        fingerprint(spec, [Lora(path=a.path, weight=0.5)]),
        fingerprint(spec, [a, b]),
        fingerprint(spec, [b, a]),
        fingerprint(spec, vae=str(paths[2])),
        fingerprint(spec, vae=str(tmp_path / "vae")),
        fingerprint(find_model(str(paths[0]))),
    ]
    assert len(set(all_of_them)) == len(all_of_them)
    with pytest.raises(ModelError, match="no such file"):
        fingerprint(spec, [Lora(path=tmp_path / "gone.safetensors")])


def test_nano() -> None:
    assert [path.parent.name for path in weight_files(MODELS["nano"], dtype="fp32")] == ["unet", "vae", "text_encoder"]
    assert len(fingerprint(MODELS["nano"])) == 16


def test_shards_are_found_through_their_index(folder: Path) -> None:
    part = folder / "unet"
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name in shards:
        save_file({name: torch.zeros(1)}, part / name)
    (folder / UNET).unlink()
    index = {"weight_map": {"a": shards[0], "b": shards[1], "c": shards[0]}}
    (part / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert [path.name for path in weight_files(find_model(str(folder)), dtype="fp32")][:2] == shards


def test_files_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_model(str(folder))
    read: list[str] = []
    digest = module.hashlib.file_digest
    monkeypatch.setattr(module.hashlib, "file_digest", lambda f, name: read.append(f.name) or digest(f, name))
    first = fingerprint(spec)
    assert len(read) == 3
    assert fingerprint(spec) == first
    assert len(read) == 3
    status = (folder / UNET).stat()
    os.utime(folder / UNET, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert fingerprint(spec) == first
    assert len(read) == 4
    assert [path.name for path in memory_path().parent.iterdir()] == ["fingerprints.json"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a": 3}', "\x00\xff"])
def test_a_damaged_memory_is_replaced(folder: Path, home: Path, damage: str) -> None:
    spec = find_model(str(folder))
    first = fingerprint(spec)
    memory_path().write_bytes(damage.encode("latin-1"))
    assert fingerprint(spec) == first
    assert len(json.loads(memory_path().read_text())) == 3


def test_a_home_that_cannot_be_written_to(folder: Path, home: Path) -> None:
    home.write_text("a file where the folder should be")
    assert len(fingerprint(find_model(str(folder)))) == 16
