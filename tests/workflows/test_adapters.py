"""Models through their adapters: diffusers' own result, at our size, and no setting ignored."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import QwenImageEditPipeline, QwenImageEditPlusPipeline
from PIL import Image

from ip2p_cli.diffusion import editing
from ip2p_cli.errors import DeviceError, ModelError, UsageError
from ip2p_cli.models.adapters import Adapter, load_adapter
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.pipelines import PIPELINES
from ip2p_cli.models.registry import find_model
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditRequest, EditSettings, OffloadName
from ip2p_cli.workflows.edit import Prepared, edit, edit_batch, edit_batch_in_memory, noise_seed, prepare
from tests.tiny_kontext import save_kontext, tiny_kontext
from tests.tiny_qwen import save_qwen, tiny_qwen

QWEN = {"qwen": QwenImageEditPipeline, "qwen-plus": QwenImageEditPlusPipeline}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("models")
    written = {name: save_qwen(parent / name / "model", kind) for name, kind in QWEN.items()}
    return written | {"kontext": save_kontext(parent / "kontext" / "model")}


@pytest.fixture(scope="module")
def adapters(folders: dict[str, Path]) -> dict[str, Adapter]:
    return {name: load_adapter(find_model(str(at)), device="cpu", dtype="fp32") for name, at in folders.items()}


@pytest.fixture(params=["kontext", *QWEN])
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    return folders[request.param]


@pytest.fixture(params=["kontext", *QWEN])
def adapter(request: pytest.FixtureRequest, adapters: dict[str, Adapter]) -> Adapter:
    return adapters[request.param]


def request(
    adapter: Adapter, instruction: str = "make it winter", size: tuple[int, int] = (100, 64), **said: float
) -> EditRequest:
    photo = Image.linear_gradient("L").resize(size).convert("RGB")
    settings = resolve(EditSettings(**({"steps": 2, "seed": 3, "resolution": 64} | said)), adapter.spec)  # type: ignore[arg-type]
    return EditRequest(source=photo, instruction=instruction, settings=settings)


def test_kontext_as_in_diffusers(adapters: dict[str, Adapter]) -> None:
    adapter = adapters["kontext"]
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


def by_diffusers(kind: type, asked: EditRequest, prepared: Prepared, **more: Any) -> torch.Tensor:
    """The picture (1, 3, h, w) by Qwen-Image-Edit's pipeline, called as its users do."""
    pipeline = tiny_qwen(kind)
    pipeline.set_progress_bar_config(disable=True)
    [generator] = editing.make_generators([noise_seed(asked)])
    height, width = prepared.pixels.shape[-2:]
    pixels = (prepared.pixels * 255).round().byte().permute(1, 2, 0).numpy()
    picture: torch.Tensor = pipeline(
        image=Image.fromarray(pixels),
        prompt=asked.instruction,
        height=height,
        width=width,
        num_inference_steps=asked.settings.steps,
        true_cfg_scale=asked.settings.cfg_text,
        generator=generator,
        output_type="pt",
        **more,
    ).images
    return picture


@pytest.mark.parametrize("name", QWEN)
@pytest.mark.parametrize("cfg_text", [1.0, 4.0])
def test_qwen_as_in_diffusers(
    adapters: dict[str, Adapter], name: str, cfg_text: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = adapters[name]
    asked = request(adapter, cfg_text=cfg_text)
    prepared = prepare(asked, adapter.spec)
    assert prepared.pixels.shape == (3, 64, 128)  # 100 padded to a multiple of 32
    [small] = edit_batch(adapter, [prepared])
    assert small.source.shape == small.edited.shape == (3, 64, 100)
    assert small.latent.shape == (1, 4, 8, 16)
    module = sys.modules[QWEN[name].__module__]
    theirs = module.calculate_dimensions

    def kept(area: int, ratio: float) -> tuple[Any, ...]:
        return (128, 64, None)[: len(theirs(area, ratio))] if area == 1024 * 1024 else theirs(area, ratio)

    monkeypatch.setattr(module, "calculate_dimensions", kept)
    negative = {} if cfg_text == 1 else {"negative_prompt": " "}
    expected = by_diffusers(QWEN[name], asked, prepared, **negative)
    torch.testing.assert_close(small.edited, expected[0, :, :, 14:114], atol=1e-4, rtol=0)
    vae = adapter.pipeline.vae
    mean, deviation = (torch.tensor(vae.config[of]).view(1, 4, 1, 1) for of in ("latents_mean", "latents_std"))
    decoded = vae.decode((small.latent * deviation + mean)[:, :, None]).sample[:, :, 0] / 2 + 0.5
    torch.testing.assert_close(decoded.clamp(0, 1), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_qwen_at_its_own_size_as_in_diffusers_untouched(adapters: dict[str, Adapter]) -> None:
    adapter = adapters["qwen"]
    asked = request(adapter, size=(1184, 896), steps=1, cfg_text=1.0, resolution=896)
    prepared = prepare(asked, adapter.spec)
    expected = by_diffusers(QWEN["qwen"], asked, prepared)
    [small] = edit_batch(adapter, [prepared])
    torch.testing.assert_close(small.edited, expected[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", QWEN)
def test_qwen_photos_are_not_stretched(
    adapters: dict[str, Adapter], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, seen = adapters[name], []
    encode = adapter.pipeline.vae.encode
    monkeypatch.setattr(adapter.pipeline.vae, "encode", lambda x: (seen.append(x), encode(x))[1])
    prepared = prepare(request(adapter, size=(200, 64)), adapter.spec)
    edit_batch(adapter, [prepared])
    assert [x.shape for x in seen] == [(1, 3, 1, 64, 224)] * 2  # by the pipeline, then for the photo's detail
    torch.testing.assert_close(seen[0][0, :, 0], prepared.pixels * 2 - 1, atol=1e-6, rtol=0)


def test_a_diffusers_whose_sizes_are_unknown(adapters: dict[str, Adapter], monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapters["qwen"]

    class Other(QwenImageEditPipeline):  # type: ignore[misc]
        def __call__(self) -> None: ...

    monkeypatch.setattr(adapter.pipeline, "__class__", Other)
    with pytest.raises(ModelError, match="Other's sizes"):
        edit(adapter, request(adapter))


def test_a_scale_that_the_pipeline_would_take_for_1(adapters: dict[str, Adapter]) -> None:
    with pytest.raises(UsageError, match=r"--cfg-text 0\.5 is not possible: give a number from 1 to 100"):
        request(adapters["qwen"], cfg_text=0.5)
    assert request(adapters["kontext"], cfg_text=0.5).settings.cfg_text == 0.5


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
    wanted = PIPELINES[str(adapter.spec.pipeline)].defaults
    assert asdict(settings) == asdict(wanted.or_else(EditSettings(seed=1, output_size="input", resize_mode="pad")))


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
    without = save_kontext(tmp_path / "kontext", guidance_embeds=False)
    with pytest.raises(ModelError, match="cfg_text would do nothing"):
        load_adapter(find_model(str(without)), device="cpu", dtype="fp32")
    distilled = save_qwen(tmp_path / "qwen", guidance_embeds=True)
    with pytest.raises(ModelError, match="distilled"):
        load_adapter(find_model(str(distilled)), device="cpu", dtype="fp32")


@pytest.mark.parametrize("how", ["model", "sequential"])
def test_offload_needs_a_gpu(adapter: Adapter, how: OffloadName) -> None:
    with pytest.raises(DeviceError, match=f"--offload {how} needs a GPU"):
        load_adapter(adapter.spec, device="cpu", dtype="fp32", offload=how)


def test_the_loop_refuses_it(adapter: Adapter) -> None:
    with pytest.raises(ModelError, match=str(adapter.spec.pipeline)):
        load_editor(adapter.spec, device="cpu", dtype="fp32")


def test_loading_is_silent(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    load_adapter(find_model(str(folder)), device="cpu", dtype="fp32")
    assert capfd.readouterr().err == ""
