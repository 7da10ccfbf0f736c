"""Models through their adapters: diffusers' own result, at our size, and no setting ignored."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    FluxKontextInpaintPipeline,
    QwenImageEditInpaintPipeline,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
)
from PIL import Image

from ip2p_cli.api import Editor
from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.adapted import edit_adapted
from ip2p_cli.editing.batch import Row
from ip2p_cli.editing.memory import MemoryPlan
from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.model_size import Prepared, cut, prepare
from ip2p_cli.editing.tree_run import TreeRun
from ip2p_cli.errors import DeviceError, ModelError, UsageError
from ip2p_cli.models.adapters import Adapter, load_adapter
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.pipelines import PIPELINES
from ip2p_cli.models.registry import find_model
from ip2p_cli.settings import resolve
from ip2p_cli.types import NO_SAVINGS, EditRequest, EditResult, EditSettings, MaskSettings, OffloadName
from tests.edits import edited, engine_for, single_run
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


SAMPLES = Path(__file__).parents[2] / "samples"
PHOTO_SIZE = (100, 64)


def photo(size: tuple[int, int] = PHOTO_SIZE) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert("RGB")


def settings(**given: float) -> EditSettings:
    return EditSettings(**({"steps": 2, "seed": 3, "resolution": 64} | given))  # type: ignore[arg-type]


def run_of(
    adapter: Adapter, instruction: str = "make it winter", size: tuple[int, int] = PHOTO_SIZE, **given: float
) -> TreeRun:
    """An edit, by an engine of its own."""
    resolved = resolve(settings(**given), adapter.spec)
    return single_run(engine_for(adapter), adapter.spec, photo(size), instruction, resolved)


def prepared_for(run: TreeRun, adapter: Adapter) -> Prepared:
    return prepare(run.request(run.tree.steps[0]), adapter.spec)


def edit(adapter: Adapter, instruction: str = "make it winter", **given: float) -> EditResult:
    return Editor(adapter).edit(photo(), instruction, settings(**given))


def in_floats(
    adapter: Adapter, prepared: Prepared, may_change: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The edit (3, H, W), padding and all, before it becomes a picture of 8 bits; and the latent."""
    [generator] = editing.make_generators([prepared.noise_seed])
    chosen = prepared.request.settings
    return edit_adapted(
        adapter,
        prepared.pixels,
        prepared.request.instruction,
        steps=chosen.steps,
        cfg_text=chosen.cfg_text,
        generator=generator,
        may_change=may_change,
    )


def assert_engine_agrees(run: TreeRun, prepared: Prepared, expected: torch.Tensor) -> None:
    """The engine's edit is the photo's part of `expected` (3, H, W), as a picture of 8 bits."""
    small = edited(run)
    part = cut(expected, prepared.fit)
    assert small.latent is None
    assert small.source.shape == small.edited.shape == part.shape
    torch.testing.assert_close(small.edited, part, atol=0.5 / 255 + 1e-4, rtol=0)


def test_kontext_as_in_diffusers(adapters: dict[str, Adapter]) -> None:
    adapter = adapters["kontext"]
    run = run_of(adapter)
    prepared = prepared_for(run, adapter)
    request = prepared.request
    assert prepared.pixels.shape == (3, 64, 112)  # 100 padded to a multiple of 16
    pipeline = tiny_kontext()
    pipeline.set_progress_bar_config(disable=True)
    [generator] = editing.make_generators([prepared.noise_seed])
    expected = pipeline(
        image=prepared.pixels[None],
        prompt=request.instruction,
        height=64,
        width=112,
        max_area=64 * 112,
        _auto_resize=False,
        num_inference_steps=2,
        guidance_scale=request.settings.cfg_text,
        generator=generator,
        output_type="pt",
    ).images[0]
    ours, latent = in_floats(adapter, prepared)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
    assert_engine_agrees(run, prepared, expected)
    assert prepared.fit.box == (6, 0, 106, 64)
    assert latent.shape == (1, 4, 8, 14)
    decoded = pipeline.vae.decode(latent / 0.3611 + 0.1159).sample[0] / 2 + 0.5
    torch.testing.assert_close(decoded.clamp(0, 1), expected, atol=1e-4, rtol=0)


def by_diffusers(kind: type, prepared: Prepared, **more: Any) -> torch.Tensor:
    """The picture (1, 3, h, w) by Qwen-Image-Edit's pipeline, called as its users do."""
    pipeline = tiny_qwen(kind)
    pipeline.set_progress_bar_config(disable=True)
    [generator] = editing.make_generators([prepared.noise_seed])
    request = prepared.request
    height, width = prepared.pixels.shape[-2:]
    pixels = (prepared.pixels * 255).round().byte().permute(1, 2, 0).numpy()
    picture: torch.Tensor = pipeline(
        image=Image.fromarray(pixels),
        prompt=request.instruction,
        height=height,
        width=width,
        num_inference_steps=request.settings.steps,
        true_cfg_scale=request.settings.cfg_text,
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
    run = run_of(adapter, cfg_text=cfg_text)
    prepared = prepared_for(run, adapter)
    assert prepared.pixels.shape == (3, 64, 128)  # 100 padded to a multiple of 32
    ours, latent = in_floats(adapter, prepared)
    engines = edited(run)
    assert engines.source.shape == engines.edited.shape == (3, 64, 100)
    assert latent.shape == (1, 4, 8, 16)
    module = sys.modules[QWEN[name].__module__]
    theirs = module.calculate_dimensions

    def kept(area: int, ratio: float) -> tuple[Any, ...]:
        return (128, 64, None)[: len(theirs(area, ratio))] if area == 1024 * 1024 else theirs(area, ratio)

    monkeypatch.setattr(module, "calculate_dimensions", kept)
    negative = {} if cfg_text == 1 else {"negative_prompt": " "}
    expected = by_diffusers(QWEN[name], prepared, **negative)
    torch.testing.assert_close(ours, expected[0], atol=1e-4, rtol=0)
    assert prepared.fit.box == (14, 0, 114, 64)
    assert_engine_agrees(run, prepared, expected[0])
    vae = adapter.pipeline.vae
    mean, deviation = (torch.tensor(vae.config[of]).view(1, 4, 1, 1) for of in ("latents_mean", "latents_std"))
    decoded = vae.decode((latent * deviation + mean)[:, :, None]).sample[:, :, 0] / 2 + 0.5
    torch.testing.assert_close(decoded.clamp(0, 1), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["kontext", "qwen"])
def test_masked_edits_as_in_diffusers(adapters: dict[str, Adapter], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapters[name]
    kinds = {"kontext": FluxKontextInpaintPipeline, "qwen": QwenImageEditInpaintPipeline}
    run = run_of(adapter)
    prepared = prepared_for(run, adapter)
    height, width = prepared.pixels.shape[-2:]
    may_change = torch.zeros(height, width, dtype=torch.bool)
    may_change[20:40, 30:61] = True
    pipeline = kinds[name](**(tiny_kontext() if name == "kontext" else tiny_qwen()).components)
    pipeline.set_progress_bar_config(disable=True)
    cells = torch.zeros(height, width)
    cells[16:40, 24:64] = 1  # whole cells of the latents
    picture = Image.fromarray((prepared.pixels * 255).round().byte().permute(1, 2, 0).numpy())
    given: dict[str, Any] = {"image": prepared.pixels[None], "guidance_scale": 2.5, "max_area": height * width}
    given["_auto_resize"] = False
    if name == "qwen":
        monkeypatch.setattr(
            sys.modules[QwenImageEditInpaintPipeline.__module__], "calculate_dimensions", lambda *_: (width, height, 0)
        )
        given = {"image": picture, "true_cfg_scale": 4.0, "negative_prompt": " "}
    expected = pipeline(
        prompt="make it winter",
        mask_image=Image.fromarray((cells * 255).byte().numpy()),
        strength=1.0,
        height=height,
        width=width,
        num_inference_steps=2,
        generator=editing.make_generators([prepared.noise_seed])[0],
        output_type="pt",
        **given,
    ).images[0]
    ours, latent = in_floats(adapter, prepared, may_change)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
    other = edit_adapted(
        adapter,
        prepared.pixels,
        "add a hat",
        steps=2,
        cfg_text=prepared.request.settings.cfg_text,
        generator=editing.make_generators([prepared.noise_seed])[0],
        may_change=may_change,
    )[1]
    moved = (latent - other).abs().amax((0, 1)) > 1e-4
    assert moved[2:5, 3:8].all()
    moved[2:5, 3:8] = False
    assert not moved.any()  # elsewhere the photo, whatever the instruction
    everywhere = torch.ones(height, width, dtype=torch.bool)
    torch.testing.assert_close(
        in_floats(adapter, prepared, everywhere)[1], in_floats(adapter, prepared)[1], atol=0, rtol=0
    )


def test_outside_a_mask_the_photo_stays(adapter: Adapter) -> None:
    source = photo()
    mask = Image.new("L", source.size)
    mask.paste(255, (30, 20, 60, 40))
    result = Editor(adapter).edit(source, "make it winter", settings(), mask=mask)
    changed = (np.asarray(result.image) != np.asarray(source)).any(2)
    assert changed[20:40, 30:60].any()
    changed[20:40, 30:60] = False
    assert not changed.any()
    white = Image.new("L", source.size, 255)
    assert (
        edit(adapter).image.tobytes()
        == Editor(adapter).edit(source, "make it winter", settings(), mask=white).image.tobytes()
    )


def test_masks_in_the_last_steps_are_refused(adapter: Adapter) -> None:
    mask = MaskSettings(box=("0,0,50%,50%",), mask_steps="last")
    with pytest.raises(UsageError, match="--mask-steps last: model cannot do that"):
        Editor(adapter).edit(photo(), "make it winter", settings(), mask=mask)


@pytest.mark.slow
def test_qwen_at_its_own_size_as_in_diffusers_untouched(adapters: dict[str, Adapter]) -> None:
    adapter = adapters["qwen"]
    run = run_of(adapter, size=(1184, 896), steps=1, cfg_text=1.0, resolution=896)
    prepared = prepared_for(run, adapter)
    expected = by_diffusers(QWEN["qwen"], prepared)
    torch.testing.assert_close(in_floats(adapter, prepared)[0], expected[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", QWEN)
def test_qwen_photos_are_not_stretched(
    adapters: dict[str, Adapter], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, seen = adapters[name], []
    encode = adapter.pipeline.vae.encode
    monkeypatch.setattr(adapter.pipeline.vae, "encode", lambda x: (seen.append(x), encode(x))[1])
    run = run_of(adapter, size=(200, 64))
    prepared = prepared_for(run, adapter)
    edited(run)
    assert [x.shape for x in seen] == [(1, 3, 1, 64, 224)] * 2  # by the pipeline, then for the photo's detail
    torch.testing.assert_close(seen[0][0, :, 0], prepared.pixels * 2 - 1, atol=1e-6, rtol=0)


def test_a_diffusers_whose_sizes_are_unknown(adapters: dict[str, Adapter], monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapters["qwen"]

    class Other(QwenImageEditPipeline):  # type: ignore[misc]
        def __call__(self) -> None: ...

    monkeypatch.setattr(adapter.pipeline, "__class__", Other)
    with pytest.raises(ModelError, match="Other's sizes"):
        edit(adapter)


def test_a_scale_that_the_pipeline_would_take_for_1(adapters: dict[str, Adapter]) -> None:
    with pytest.raises(UsageError, match=r"--cfg-text 0\.5 is not possible: give a number from 1 to 100"):
        resolve(settings(cfg_text=0.5), adapters["qwen"].spec)
    assert resolve(settings(cfg_text=0.5), adapters["kontext"].spec).cfg_text == 0.5


def test_result_has_the_photos_size_and_steps_are_told(adapter: Adapter) -> None:
    seen: list[tuple[int, int]] = []
    result = Editor(adapter).edit(
        photo((150, 90)), "make it winter", settings(), on_step=lambda done, total: seen.append((done, total))
    )
    assert result.image.size == result.request.source.size == (150, 90)
    assert result.request.instruction == "make it winter"
    assert result.request.settings == resolve(settings(), adapter.spec)
    assert result.model == "model"
    assert seen == [(1, 2), (2, 2)]


def test_settings_reach_the_model(adapter: Adapter) -> None:
    def latent(instruction: str = "make it winter", **given: float) -> torch.Tensor:
        run = run_of(adapter, instruction, **given)
        return in_floats(adapter, prepared_for(run, adapter))[1]

    first = latent()
    torch.testing.assert_close(latent(), first, atol=0, rtol=0)
    others = (latent(seed=4), latent(cfg_text=9.0), latent(steps=3), latent("add a hat"))
    assert all(float((other - first).abs().max()) > 1e-4 for other in others)


def test_the_engine_runs_one_after_the_other(adapter: Adapter) -> None:
    texts = ("make it winter", "add a hat")
    engine = engine_for(adapter)
    resolved = resolve(settings(), adapter.spec)
    encoded: list[int] = []
    handle = adapter.pipeline.vae.encoder.register_forward_pre_hook(lambda _, args: encoded.append(len(args[0])))
    engine.begin_group()
    together = [edited(single_run(engine, adapter.spec, photo(), text, resolved)) for text in texts]
    handle.remove()
    assert (engine.memory, engine.notes) == (None, [])
    assert encoded == [1] * (2 + 1)  # by the pipeline for each edit, and once for the photo's detail
    for text, small in zip(texts, together, strict=True):
        alone = edited(run_of(adapter, text))
        torch.testing.assert_close(alone.edited, small.edited, atol=0, rtol=0)
        torch.testing.assert_close(alone.source, small.source, atol=0, rtol=0)


@pytest.mark.parametrize(("name", "value"), [("cfg_image", 1.5), ("sampler", "ddim"), ("cfg_image", 1.0)])
def test_a_setting_that_it_lacks_is_refused(adapter: Adapter, name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} .* no such setting") as caught:
        resolve(EditSettings(**{name: value}), adapter.spec)  # type: ignore[arg-type]
    assert "--cfg-text" in str(caught.value)


def test_unsaid_settings_are_the_models(adapter: Adapter) -> None:
    resolved = resolve(EditSettings(seed=1), adapter.spec)
    wanted = PIPELINES[str(adapter.spec.pipeline)].defaults
    others = EditSettings(seed=1, output_size="input", resize_mode="pad", negative_prompt="", **NO_SAVINGS)
    assert asdict(resolved) == asdict(wanted.or_else(others))


def test_tiles_where_the_vae_runs_out(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    tiled: list[bool] = []
    decode = adapter.pipeline.vae._decode

    def short_of_memory(*args: object, **kwargs: object) -> object:
        tiled.append(adapter.pipeline.vae.use_tiling)
        if not tiled[-1]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return decode(*args, **kwargs)

    monkeypatch.setattr(adapter.pipeline.vae, "_decode", short_of_memory)
    engine = engine_for(adapter)
    engine.begin_group()
    edited(single_run(engine, adapter.spec, photo(), "make it winter", resolve(settings(), adapter.spec)))
    assert engine.memory == asdict(MemoryPlan(tiling=True))
    assert tiled == [False, True, True]  # the edit, and the photo as the autoencoder gives it back
    assert len(engine.notes) == 1
    assert "tiles" in engine.notes[0]


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


def test_an_edit_that_comes_back_shifted_is_put_over_its_photo(
    adapters: dict[str, Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Editing models of the DiT kind may move everything by some per cent."""
    adapter = adapters["kontext"]
    photo = Image.open(SAMPLES / "palace.jpg").convert("RGB").resize((320, 256))

    def shifting(_: Adapter, pixels: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
        return torch.roll(pixels, (6, 9), dims=(1, 2))[None] * 0.9

    monkeypatch.setattr("ip2p_cli.editing.engine.edit_adapted", shifting)
    settings = resolve(EditSettings(seed=1, resolution=256), adapter.spec)
    prepared = prepare(EditRequest(source=photo, instruction="x", settings=settings, digest="0" * 64), adapter.spec)
    choice = ModelChoice(spec=adapter.spec, device="cpu", dtype="fp32", known_weights="whichever")
    found = engine_for(adapter).edit_adapted(choice, Row(prepared=prepared))
    before = cut(prepared.pixels, prepared.fit)
    inside = (slice(None), slice(24, -24), slice(24, -24))
    left, moved = ((edit - before * 0.9)[inside].abs().mean() for edit in (found, shifting(adapter, before)[0]))
    assert left < 0.4 * moved
