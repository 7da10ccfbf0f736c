"""The UNet and VAE on OpenVINO, against torch: the same results within a tolerance; exports are whole or not there.

Run by tests/test_openvino.py.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ip2p_cli.errors import ModelError
from ip2p_cli.models import openvino_export
from ip2p_cli.models.device import cpu_has_bf16
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.openvino_compile import openvino, try_in_another_process
from ip2p_cli.models.openvino_export import export
from ip2p_cli.models.openvino_parts import OpenVinoUNet, StaticModel, rows_at_once, with_openvino
from tests import tiny
from tests.tiny_xl import tiny_xl_editor

pytest.importorskip("openvino")
WEIGHTS = "0123456789abcdef"
TIME = torch.tensor(321)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of exports of this file's tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        root = openvino_export.exports_folder()
        assert root is not None
        yield root


@pytest.fixture(scope="module")
def exported(root: Path) -> tuple[Editor, Path]:
    """The tiny model on OpenVINO, and its export."""
    said: list[str] = []
    editor = with_openvino(tiny.tiny_editor(), WEIGHTS, tell=said.append)
    [folder] = root.iterdir()
    assert len(said) == 1
    assert str(folder) in said[0]
    return editor, folder


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize(("rows", "height", "width"), [(3, 8, 8), (4, 16, 8)])
def test_predictions(exported: tuple[Editor, Path], rows: int, height: int, width: int) -> None:
    sample, states = random(rows, 8, height, width), random(rows, 77, 32)
    with torch.no_grad():
        expected = tiny.tiny_editor().unet(sample, TIME, encoder_hidden_states=states)[0]
    [given] = exported[0].unet(sample, TIME, encoder_hidden_states=states)
    assert torch.allclose(given, expected, atol=1e-4)


def test_pictures(exported: tuple[Editor, Path]) -> None:
    vae, torch_vae = exported[0].vae, tiny.tiny_editor().vae
    pixels, latent = random(1, 3, 64, 96), random(1, 4, 8, 12)
    with torch.no_grad():
        modes = [one.encode(pixels).latent_dist.mode() for one in (vae, torch_vae)]
        decoded = [one.decode(latent).sample for one in (vae, torch_vae)]
    assert torch.allclose(*modes, atol=1e-4)
    assert torch.allclose(*decoded, atol=1e-4)
    assert vae.dtype is torch.float32


@pytest.mark.skipif(not cpu_has_bf16(), reason="this processor has no bf16 instructions")
def test_bf16_is_as_near_as_torch_is(exported: tuple[Editor, Path]) -> None:
    editor = tiny.tiny_editor()
    sample, states = random(3, 8, 8, 8), random(3, 77, 32)
    with torch.no_grad():
        exact = editor.unet(sample, TIME, encoder_hidden_states=states)[0]
        by_torch = editor.unet.bfloat16()(sample.bfloat16(), TIME, encoder_hidden_states=states.bfloat16())[0].float()
    unet = OpenVinoUNet(StaticModel(exported[1] / "unet.xml", torch.bfloat16), editor.unet)
    [given] = unet(sample, TIME, encoder_hidden_states=states)
    errors = [float((one - exact).square().mean().sqrt()) for one in (given, by_torch)]
    assert 0 < errors[0] < 3 * errors[1], errors


def test_predictions_of_sdxl(tmp_path: Path) -> None:
    editor = tiny_xl_editor()
    sizes = torch.tensor([[1024.0, 768, 0, 0, 1024, 768]]).expand(2, -1)
    width = editor.unet.config.projection_class_embeddings_input_dim - 6 * editor.unet.config.addition_time_embed_dim
    added = {"text_embeds": random(2, width), "time_ids": sizes}
    inputs = {
        "encoder_hidden_states": random(2, 77, editor.unet.config.cross_attention_dim),
        "added_cond_kwargs": added,
    }
    sample = random(2, 8, 16, 24)
    with torch.no_grad():
        expected = editor.unet(sample, TIME, **inputs, return_dict=False)[0]
    openvino_export._export_part(openvino_export._parts(editor)["unet"], tmp_path / "unet.xml", "none")
    [given] = OpenVinoUNet(StaticModel(tmp_path / "unet.xml", torch.float32), editor.unet)(sample, TIME, **inputs)
    assert torch.allclose(given, expected, atol=1e-4)


@pytest.mark.parametrize(("rows", "at_once"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 1), (24, 3)])
def test_few_numbers_of_rows_are_compiled(rows: int, at_once: int) -> None:
    assert rows_at_once(rows) == at_once


def test_the_last_shapes_are_kept(exported: tuple[Editor, Path]) -> None:
    model = StaticModel(exported[1] / "vae_decoder.xml", torch.float32, keep=1)
    first = model(random(1, 4, 8, 8))
    model(random(1, 4, 8, 16))
    assert len(model._compiled) == 1
    assert torch.equal(model(random(1, 4, 8, 8)), first)


def export_by_copying(monkeypatch: pytest.MonkeyPatch, whole: Path) -> list[str]:
    """Let exports be copies of a whole one; returns the names of parts as they are made."""
    made: list[str] = []

    def copy(part: Any, file: Path, quantize: str) -> None:
        made.append(file.stem)
        for path in whole.glob(f"{file.stem}.*"):
            shutil.copy(path, file.parent)

    monkeypatch.setattr(openvino_export, "_export_part", copy)
    monkeypatch.setattr(openvino_export, "_try", lambda *_: None)
    return made


def test_an_export_is_used_again(monkeypatch: pytest.MonkeyPatch, exported: tuple[Editor, Path]) -> None:
    made = export_by_copying(monkeypatch, exported[1])
    assert export(tiny.tiny_editor(), WEIGHTS) == exported[1]
    assert not made


@pytest.mark.parametrize("name", ["unet.bin", "vae_decoder.xml", "export.json"])
def test_a_broken_export_is_made_again(
    monkeypatch: pytest.MonkeyPatch, exported: tuple[Editor, Path], name: str
) -> None:
    made, said = export_by_copying(monkeypatch, exported[1]), []
    folder = export(tiny.tiny_editor(), "broken")
    with (folder / name).open("r+b") as file:
        file.truncate(100)
    made.clear()
    assert export(tiny.tiny_editor(), "broken", tell=said.append) == folder
    assert made == ["unet", "vae_encoder", "vae_decoder"]
    assert "broken; exporting it again" in said[0]
    openvino().Core().read_model(str(folder / "unet.xml"))


def test_an_interrupted_export_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, root: Path, exported: tuple[Editor, Path]
) -> None:
    def interrupt(part: Any, file: Path, quantize: str) -> None:
        file.write_text("half")
        raise KeyboardInterrupt

    before = sorted(root.iterdir())
    monkeypatch.setattr(openvino_export, "_export_part", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(tiny.tiny_editor(), "interrupted")
    assert sorted(root.iterdir()) == before


def test_what_a_killed_process_left_is_deleted(
    monkeypatch: pytest.MonkeyPatch, root: Path, exported: tuple[Editor, Path]
) -> None:
    export_by_copying(monkeypatch, exported[1])
    old, new = root / ".export-old", root / ".export-new"
    for folder in (old, new):
        folder.mkdir()
    monkeypatch.setattr(openvino_export, "_last_change", lambda folder: 0.0 if folder == old else 1e12)
    export(tiny.tiny_editor(), "after-a-kill")
    assert not old.exists()
    assert new.exists()


def test_a_crash_of_the_compiler_is_an_error(
    monkeypatch: pytest.MonkeyPatch, root: Path, exported: tuple[Editor, Path]
) -> None:
    file, shapes = exported[1] / "vae_decoder.xml", [(1, 4, 8, 8)]
    try_in_another_process(file, shapes, "f32", 2)
    with pytest.raises(ModelError, match="cannot compile vae_decoder on this machine"):
        try_in_another_process(file, [(1, 5, 8, 8)], "f32", 2)
    crash = "import os; os.kill(os.getpid(), 8)"
    program = root.parent / "python"
    program.write_text(f"#!{sys.executable}\n{crash}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(ModelError, match=r"ended by signal 8\): use --backend torch"):
        try_in_another_process(file, shapes, "f32", 2)


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(ModelError, match=r"0\.0 GB are free: make room"):
        export(tiny.tiny_editor(), "full")


def test_nano_is_refused() -> None:
    class ResidualUNet:
        pass

    with pytest.raises(ModelError, match="leave out --backend"):
        with_openvino(replace(tiny.tiny_editor(), unet=ResidualUNet()), WEIGHTS)


def test_weights_in_8_bits(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    layer = torch.nn.Linear(512, 512)
    part = openvino_export._Part(layer, (random(2, 512),), False)
    openvino_export._export_part(part, tmp_path / "layer.xml", "int8")
    assert (tmp_path / "layer.bin").stat().st_size < 1.1 * 512 * 512
    expected, given = layer(random(4, 512)).detach(), StaticModel(tmp_path / "layer.xml", torch.float32)(random(4, 512))
    assert 0 < float((given - expected).abs().max()) < 0.02
