"""FLUX.1 Kontext through its adapter: diffusers' own result, at our size, and no setting ignored."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from PIL import Image

from ip2p_cli.diffusion import editing
from ip2p_cli.errors import DeviceError, ModelError, UsageError
from ip2p_cli.models.adapters import KINDS, Adapter, load_adapter
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.registry import find_model
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditRequest, EditSettings, OffloadName
from ip2p_cli.workflows.edit import edit, edit_batch, edit_batch_in_memory, noise_seed, prepare
from tests.tiny_kontext import save_kontext, tiny_kontext


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_kontext(tmp_path_factory.mktemp("kontext") / "model")


@pytest.fixture(scope="module")
def adapter(folder: Path) -> Adapter:
    return load_adapter(find_model(str(folder)), device="cpu", dtype="fp32")


def request(
    adapter: Adapter, instruction: str = "make it winter", size: tuple[int, int] = (100, 64), **said: float
) -> EditRequest:
    photo = Image.linear_gradient("L").resize(size).convert("RGB")
    settings = resolve(EditSettings(**({"steps": 2, "seed": 3, "resolution": 64} | said)), adapter.spec)  # type: ignore[arg-type]
    return EditRequest(source=photo, instruction=instruction, settings=settings)


def test_the_same_as_diffusers(adapter: Adapter) -> None:
    asked = request(adapter)
    prepared = prepare(asked, adapter.spec)
    assert prepared.pixels.shape == (3, 64, 112)  # 100 padded to a multiple of 16
    pipeline = tiny_kontext()
    pipeline.set_progress_bar_config(disable=True)
    [generator] = editing.make_generators([noise_seed(asked)])
    expected = pipeline(
        image=prepared.pixels[None],
        prompt=asked.instruction,
        height=64,
        width=112,
        max_area=64 * 112,
        _auto_resize=False,
        num_inference_steps=2,
        guidance_scale=asked.settings.cfg_text,
        generator=generator,
        output_type="pt",
    ).images[0]
    [small] = edit_batch(adapter, [prepared])
    torch.testing.assert_close(small.edited, expected[:, :, 6:106], atol=1e-4, rtol=0)
    assert small.source.shape == small.edited.shape == (3, 64, 100)
    assert small.latent.shape == (1, 4, 8, 14)
    decoded = pipeline.vae.decode(small.latent / 0.3611 + 0.1159).sample[0] / 2 + 0.5
    torch.testing.assert_close(decoded.clamp(0, 1), expected, atol=1e-4, rtol=0)


def test_result_has_the_photos_size_and_steps_are_told(adapter: Adapter) -> None:
    seen: list[tuple[int, int]] = []
    asked = request(adapter, size=(150, 90))
    result = edit(adapter, asked, on_step=lambda done, total: seen.append((done, total)))
    assert result.image.size == (150, 90)
    assert result.request is asked
    assert result.model == "model"
    assert seen == [(1, 2), (2, 2)]


def test_settings_reach_the_model(adapter: Adapter) -> None:
    def latent(instruction: str = "make it winter", **said: float) -> torch.Tensor:
        return edit(adapter, request(adapter, instruction, **said)).latent

    first = latent()
    torch.testing.assert_close(latent(), first, atol=0, rtol=0)
    others = (latent(seed=4), latent(cfg_text=9.0), latent(steps=3), latent("add a hat"))
    assert all(float((other - first).abs().max()) > 1e-4 for other in others)


def test_batch_is_one_after_the_other(adapter: Adapter) -> None:
    prepared = [prepare(request(adapter, text), adapter.spec) for text in ("make it winter", "add a hat")]
    together, plan = edit_batch_in_memory(adapter, prepared, say=pytest.fail)
    assert (plan.max_rows, plan.tiling) == (None, False)
    for one, small in zip(prepared, together, strict=True):
        torch.testing.assert_close(edit_batch(adapter, [one])[0].edited, small.edited, atol=0, rtol=0)


@pytest.mark.parametrize(("name", "value"), [("cfg_image", 1.5), ("sampler", "ddim"), ("cfg_image", 1.0)])
def test_a_setting_that_it_lacks_is_refused(adapter: Adapter, name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} .* no such setting") as caught:
        resolve(EditSettings(**{name: value}), adapter.spec)  # type: ignore[arg-type]
    assert "--cfg-text" in str(caught.value)


def test_unsaid_settings_are_the_models(adapter: Adapter) -> None:
    settings = resolve(EditSettings(seed=1), adapter.spec)
    wanted = KINDS["FluxKontextPipeline"].defaults
    assert asdict(settings) == asdict(wanted.or_else(EditSettings(seed=1, output_size="input", fit="pad")))


def test_tiles_where_the_vae_runs_out(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    tiled: list[bool] = []
    decode = adapter.pipeline.vae._decode

    def short_of_memory(*args: object, **kwargs: object) -> object:
        tiled.append(adapter.pipeline.vae.use_tiling)
        if not tiled[-1]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return decode(*args, **kwargs)

    monkeypatch.setattr(adapter.pipeline.vae, "_decode", short_of_memory)
    said: list[str] = []
    _, plan = edit_batch_in_memory(adapter, [prepare(request(adapter), adapter.spec)], say=said.append)
    assert plan.tiling
    assert tiled == [False, True, True]
    assert "tiles" in said[0]


def test_incomplete_folders(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_adapter(find_model(str(copy)), device="cpu", dtype="fp32")
    assert "\n" not in str(caught.value)


def test_guidance_that_would_do_nothing(tmp_path: Path) -> None:
    folder = save_kontext(tmp_path / "model", guidance_embeds=False)
    with pytest.raises(ModelError, match="cfg_text would do nothing"):
        load_adapter(find_model(str(folder)), device="cpu", dtype="fp32")


@pytest.mark.parametrize("how", ["model", "sequential"])
def test_offload_needs_a_gpu(adapter: Adapter, how: OffloadName) -> None:
    with pytest.raises(DeviceError, match=f"--offload {how} needs a GPU"):
        load_adapter(adapter.spec, device="cpu", dtype="fp32", offload=how)


def test_the_loop_refuses_it(adapter: Adapter) -> None:
    with pytest.raises(ModelError, match="FluxKontextPipeline"):
        load_editor(adapter.spec, device="cpu", dtype="fp32")


def test_loading_is_silent(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    load_adapter(find_model(str(folder)), device="cpu", dtype="fp32")
    assert capfd.readouterr().err == ""
