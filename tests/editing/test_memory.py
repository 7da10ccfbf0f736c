"""Short of memory: one step down at a time, said, and with the same results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from PIL import Image

from ip2p_cli.editing.engine import Engine
from ip2p_cli.editing.memory import MemoryPlan, is_out_of_memory, ladder, vae_as, with_retries
from ip2p_cli.editing.tree_run import TreeRun
from ip2p_cli.errors import DeviceError
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.offload import offload
from ip2p_cli.models.registry import find_model
from ip2p_cli.types import OffloadName, ResolvedEditSettings
from tests.edits import Edited, edited, edited_together, engine_for, single_run
from tests.tiny import tiny_editor as make_tiny_editor
from tests.tiny_qwen import tiny_vae as tiny_qwen_vae

ALL = MemoryPlan()
ROWS = MemoryPlan(max_rows=1)
TILES = replace(ROWS, tiling=True)


def test_ladder_on_the_cpu() -> None:
    assert ladder(pixels=512 * 512, device="cpu") == (ALL, ROWS, TILES)
    assert ladder(pixels=512 * 512, device="cpu", can_tile=False) == (ALL, ROWS)


def test_large_pictures_are_tiled_from_the_start() -> None:
    assert ladder(pixels=1024 * 1024, device="mps")[0] == ALL
    assert ladder(pixels=1024 * 1088, device="mps") == (replace(ALL, tiling=True), TILES)
    assert not ladder(pixels=4096 * 4096, device="mps", can_tile=False)[0].tiling


@pytest.mark.parametrize(
    ("said", "offloads"),
    [
        ("none", ["none", "none", "none", "model", "sequential"]),
        ("model", ["model", "model", "model", "sequential"]),
        ("sequential", ["sequential"] * 3),
    ],
)
def test_only_cuda_moves_the_model_away(said: OffloadName, offloads: list[str]) -> None:
    assert [plan.offload for plan in ladder(pixels=1, device="cuda", offload=said)] == offloads


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_a_real_allocation_that_fails_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_other_errors_pass_at_once() -> None:
    tried: list[MemoryPlan] = []

    def run(plan: MemoryPlan) -> None:
        tried.append(plan)
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        with_retries(run, [ALL, ROWS], pytest.fail)
    assert tried == [ALL]


@pytest.fixture
def editor() -> Editor:
    """A tiny model of the test's own: these tests change how it runs."""
    return make_tiny_editor()


PHOTOS = [Image.effect_noise((96, 64), 80).convert("RGB") for _ in range(2)]


def some_runs(engine: Engine, editor: Editor) -> list[TreeRun]:
    settings = ResolvedEditSettings(
        steps=2, cfg_text=7.5, cfg_image=1.5, sampler="euler_a", seed=3, resolution=64, output_size="input"
    )
    texts = ("make it winter", "make it night")
    return [single_run(engine, editor.spec, photo, text, settings) for photo, text in zip(PHOTOS, texts, strict=True)]


def edit_together(editor: Editor) -> tuple[list[Edited], Engine]:
    """Two edits in one batch, and the engine that made them."""
    engine = engine_for(editor)
    return edited_together(engine, some_runs(engine, editor)), engine


def limit_rows(monkeypatch: pytest.MonkeyPatch, part: Any, name: str, rows: int) -> list[int]:
    """Let a model raise what CUDA raises, beyond `rows` rows; returns the rows of each call."""
    calls: list[int] = []
    forward: Callable[..., Any] = getattr(part, name)

    def limited(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        calls.append(len(sample))
        if len(sample) > rows:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate for {len(sample)} rows.")
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(part, name, limited)
    return calls


def assert_same(found: list[Edited], expected: list[Edited], atol: float) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.latent is not None
        assert other.latent is not None
        torch.testing.assert_close(one.latent, other.latent, atol=atol * float(other.latent.abs().max()), rtol=0)
        torch.testing.assert_close(one.edited, other.edited, atol=atol, rtol=0)
        torch.testing.assert_close(one.source, other.source, atol=atol, rtol=0)


def test_one_step_down_with_the_same_result(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = edit_together(editor)
    rows = limit_rows(monkeypatch, editor.unet, "forward", 2)
    pictures = limit_rows(monkeypatch, editor.vae.decoder, "forward", 1)
    found, engine = edit_together(editor)
    assert engine.memory == asdict(ROWS)
    assert rows == [6] + [1] * 12
    assert pictures == [1] * 4
    assert len(engine.notes) == 1
    assert "Tried to allocate for 6 rows" in engine.notes[0]
    assert "one prediction at a time" in engine.notes[0]
    assert_same(found, expected, 1e-5)


def test_nothing_is_said_where_memory_suffices(editor: Editor) -> None:
    found, engine = edit_together(editor)
    assert engine.notes == []
    assert engine.memory is None
    assert_same(found, edit_together(editor)[0], 0)


def test_the_next_group_begins_with_the_usual_way(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_for(editor)
    with monkeypatch.context() as patch:
        limit_rows(patch, editor.unet, "forward", 2)
        edited_together(engine, some_runs(engine, editor))
    assert engine.memory == asdict(ROWS)
    found = edited_together(engine, some_runs(engine, editor))
    assert (engine.memory, engine.notes) == (None, [])
    assert_same(found, edit_together(editor)[0], 0)


def test_a_recorded_way_is_where_it_begins(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = limit_rows(monkeypatch, editor.unet, "forward", 6)
    engine = engine_for(editor, memory=ROWS)
    edited_together(engine, some_runs(engine, editor))
    assert rows == [1] * 12
    assert (engine.memory, engine.notes) == (asdict(ROWS), [])


def short_of_memory_untiled(monkeypatch: pytest.MonkeyPatch, editor: Editor) -> None:
    """Let the autoencoder's decoding fail unless it works in tiles."""
    decode = editor.vae._decode

    def decoded(*args: Any, **kwargs: Any) -> Any:
        if not editor.vae.use_tiling:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return decode(*args, **kwargs)

    monkeypatch.setattr(editor.vae, "_decode", decoded)


def test_decoding_in_tiles_is_recorded(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows the sampling decides pixels too."""
    engine = engine_for(editor)
    run = some_runs(engine, editor)[0]
    short_of_memory_untiled(monkeypatch, editor)
    engine.begin_group()
    edited(run)
    assert engine.memory == asdict(TILES)
    assert run.record(run.tree.steps[0], (96, 64))["memory"] == asdict(TILES)


def test_a_shared_photo_is_not_that_of_another_way(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture is the same whether or not the photo was decoded before, in the usual way, for another variant."""
    engine = engine_for(editor)
    engine.begin_group()
    edited(some_runs(engine, editor)[0])
    short_of_memory_untiled(monkeypatch, editor)
    decoded: list[bool] = []
    editor.vae.decoder.register_forward_pre_hook(lambda *_: decoded.append(editor.vae.use_tiling))
    engine.begin_group()
    edited(some_runs(engine, editor)[0])
    assert decoded == [True, True]  # the edit and the photo


def test_the_end_of_the_ladder_names_the_fix(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = limit_rows(monkeypatch, editor.unet, "forward", 0)
    engine = engine_for(editor)
    with pytest.raises(DeviceError, match="smaller --resolution") as caught:
        edited_together(engine, some_runs(engine, editor))
    assert "\n" not in str(caught.value)
    assert rows == [6, 1, 1]
    notes = engine.notes
    assert ["one prediction" in notes[0], "tiles" in notes[1], len(notes)] == [True, True, 2]


def test_tiles_are_near_the_whole_and_leave_no_trace(editor: Editor) -> None:
    latent = torch.randn(1, 4, 72, 24, generator=torch.Generator().manual_seed(0))
    before = {**vars(editor.vae)}
    sizes: list[int] = []
    with torch.no_grad():
        whole = editor.vae.decode(latent).sample
        handle = editor.vae.decoder.register_forward_pre_hook(lambda _, args: sizes.append(max(args[0].shape[-2:])))
        with vae_as(editor.vae, TILES):
            tiled = editor.vae.decode(latent).sample
        handle.remove()
    assert sizes
    assert max(sizes) == 64
    assert whole.shape == tiled.shape
    # The picture's top left corner lies in one tile, far from the others.
    torch.testing.assert_close(tiled[..., :128, :128].mean(), whole[..., :128, :128].mean(), atol=0.05, rtol=0)
    assert {name: value for name, value in vars(editor.vae).items() if not name.startswith("_")} == {
        name: value for name, value in before.items() if not name.startswith("_")
    }


def test_nano_runs_down_the_ladder_too(monkeypatch: pytest.MonkeyPatch) -> None:
    editor = load_editor(find_model("nano"), device="cpu", dtype="fp32")
    settings = ResolvedEditSettings(
        steps=1, cfg_text=2.0, cfg_image=1.5, sampler="ddim", seed=3, resolution=64, output_size="input"
    )
    photo = Image.effect_noise((64, 64), 80).convert("RGB")

    def edit_alone() -> tuple[list[Edited], Engine]:
        engine = engine_for(editor)
        return edited_together(engine, [single_run(engine, editor.spec, photo, "make it winter", settings)]), engine

    expected, _ = edit_alone()
    limit_rows(monkeypatch, editor.unet, "forward", 1)
    found, engine = edit_alone()
    assert engine.memory is not None
    assert engine.memory["max_rows"] == 1
    assert_same(found, expected, 1e-5)


def test_offload_needs_a_gpu(editor: Editor) -> None:
    with pytest.raises(DeviceError, match="--offload model needs a GPU"):
        offload(editor, "model")


def test_a_recorded_way_that_this_device_lacks(editor: Editor) -> None:
    engine = engine_for(editor, memory=MemoryPlan(offload="model"))
    found = edited_together(engine, some_runs(engine, editor))
    assert_same(found, edit_together(editor)[0], 0)


def test_tiles_of_qwen_images_vae(monkeypatch: pytest.MonkeyPatch) -> None:
    vae = tiny_qwen_vae().eval()
    before = {name: value for name, value in vars(vae).items() if name.startswith(("tile_", "use_"))}
    widths: list[int] = []
    decoder = vae.decoder.forward
    monkeypatch.setattr(vae.decoder, "forward", lambda x, **kw: (widths.append(x.shape[-1]), decoder(x, **kw))[1])
    latent = torch.randn((1, 4, 1, 4, 80), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = vae.decode(latent).sample
        with vae_as(vae, TILES):
            tiled = vae.decode(latent).sample
    assert widths == [80, 64, 32]  # of 512 and what is left from 384 on, in latent pixels
    assert tiled.shape == whole.shape == (1, 3, 1, 32, 640)
    assert {name: getattr(vae, name) for name in before} == before
