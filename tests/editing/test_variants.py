"""What variants share is made once, and their pixels are those of single edits."""

from __future__ import annotations

import pytest
import torch

from ip2p_cli.editing.batch import run_batch
from ip2p_cli.editing.engine import Engine
from ip2p_cli.editing.sweep import Sweep, default_range, draw_scale, variants_of
from ip2p_cli.editing.tree_run import TreeRun
from ip2p_cli.errors import UsageError
from ip2p_cli.models.loader import Editor
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditSettings, ResolvedEditSettings
from tests.cli.ip2p import some_photo
from tests.edits import Edited, edited, edited_together, engine_for, single_run
from tests.tiny import SPEC


class CountRows:
    """Counts the rows of every call of a module, through a forward hook."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.calls: list[int] = []
        self._handle = module.register_forward_hook(lambda _module, args, _output: self.calls.append(len(args[0])))

    def __enter__(self) -> list[int]:
        return self.calls

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


def variant(
    engine: Engine, seed: int, cfg_text: float, cfg_image: float, instruction: str = "winter", **more: str
) -> TreeRun:
    given = EditSettings(
        seed=seed,
        cfg_text=cfg_text,
        cfg_image=cfg_image,
        steps=2,
        resolution=64,
        sampler="euler_a",
        **more,  # type: ignore[arg-type]
    )
    return single_run(engine, SPEC, some_photo(65, 65), instruction, resolve(given, SPEC))


SCALES = [(7.5, 1.5), (5.0, 1.2), (7.5, 1.2)]
VARIANTS = [(seed, *scales) for seed in (1, 2) for scales in SCALES]


def alone(editor: Editor, *of: float, instruction: str = "winter") -> Edited:
    """A variant made by an engine that made nothing before."""
    seed, *scales = of
    return edited(variant(engine_for(editor), int(seed), *scales, instruction=instruction))


def test_one_at_a_time_the_same_to_the_bit_and_fewer_rows(tiny_editor: Editor) -> None:
    expected = [alone(tiny_editor, *of) for of in VARIANTS]
    engine = engine_for(tiny_editor)
    with (
        CountRows(tiny_editor.unet) as rows,
        CountRows(tiny_editor.text_encoder) as texts,
        CountRows(tiny_editor.vae.encoder) as encoded,
        CountRows(tiny_editor.vae.decoder) as decoded,
    ):
        shared = [edited(variant(engine, *of)) for of in VARIANTS]
    for one, other in zip(expected, shared, strict=True):
        assert one.latent is not None
        assert other.latent is not None
        assert torch.equal(one.latent, other.latent)
        assert torch.equal(one.edited, other.edited)
        assert torch.equal(one.source, other.source)
    # Second steps of all six; first steps of two seeds.
    assert sum(rows) == 6 * 3 + 2 * 3
    assert len(texts) == 1 + 6  # the instruction once; the null text is denoise's own
    assert encoded == [1]
    assert decoded == [1] * (6 + 1)  # each variant, and the photo once


def test_in_batches_the_same_to_rounding_and_fewer_rows(tiny_editor: Editor) -> None:
    expected = [alone(tiny_editor, *of) for of in VARIANTS]
    engine = engine_for(tiny_editor)
    with (
        CountRows(tiny_editor.unet) as rows,
        CountRows(tiny_editor.text_encoder) as texts,
        CountRows(tiny_editor.vae.encoder) as encoded,
        CountRows(tiny_editor.vae.decoder) as decoded,
    ):
        shared = edited_together(engine, [variant(engine, *of) for of in VARIANTS], is_one_photo=True)
    for one, other in zip(expected, shared, strict=True):
        torch.testing.assert_close(one.edited, other.edited, atol=1e-5, rtol=0)
        assert torch.equal(one.source, other.source)
    assert rows == [6, 18]
    assert len(texts) == 2
    assert encoded == [1]
    assert decoded == [1] * (6 + 1)


def test_different_noise_shares_nothing(tiny_editor: Editor) -> None:
    engine = engine_for(tiny_editor)
    with CountRows(tiny_editor.unet) as rows:
        edited_together(engine, [variant(engine, 1, 7.5, 1.5, text) for text in ("winter", "night")])
    assert rows == [6, 6]


def test_what_was_made_before_does_not_change_a_bit(tiny_editor: Editor) -> None:
    """Fewer branches (s_I = 1) first: its predictions came from calls of another shape."""
    engine = engine_for(tiny_editor)
    edited(variant(engine, 1, 7.5, 1.0))
    assert torch.equal(edited(variant(engine, 1, 7.5, 1.5)).edited, alone(tiny_editor, 1, 7.5, 1.5).edited)


def test_a_missing_place_of_a_batch_changes_no_other(tiny_editor: Editor) -> None:
    """A variant that is done keeps its place: the others get the pixels of the whole batch."""
    engine = engine_for(tiny_editor)
    whole = edited_together(engine, [variant(engine, *of) for of in VARIANTS], is_one_photo=True)
    engine = engine_for(tiny_editor)
    runs = [variant(engine, *of) for of in VARIANTS]
    engine.begin_group()
    missing = [None if place in (0, 4) else run for place, run in enumerate(runs)]
    run_batch(engine, [run.tree for run in runs], missing, lambda done: None, is_one_photo=True)
    found = {place: edited(run) for place, run in enumerate(missing) if run is not None}
    assert sorted(found) == [1, 2, 3, 5]
    for place, one in found.items():
        assert torch.equal(one.edited, whole[place].edited)
        run = missing[place]
        assert run is not None
        assert run.batch == f"{place + 1}/6"


def test_a_missing_photo_of_a_batch_changes_no_other(tiny_editor: Editor) -> None:
    """Likewise for different photos, of which the missing one may not even be readable."""

    def photos(engine: Engine) -> list[TreeRun]:
        settings = resolve(EditSettings(seed=1, steps=2, resolution=64, sampler="euler_a"), SPEC)
        return [single_run(engine, SPEC, some_photo(65, 65, shift), f"edit {shift}", settings) for shift in range(3)]

    engine = engine_for(tiny_editor)
    whole = edited_together(engine, photos(engine))
    engine = engine_for(tiny_editor)
    runs = photos(engine)
    engine.begin_group()
    run_batch(engine, [run.tree for run in runs], [runs[0], None, runs[2]], lambda done: None)
    found = [edited(runs[0]), edited(runs[2])]
    for one, other in zip(found, [whole[0], whole[2]], strict=True):
        assert torch.equal(one.edited, other.edited)


def test_the_photo_is_not_decoded_for_results_at_the_models_size(tiny_editor: Editor) -> None:
    engine = engine_for(tiny_editor)
    with CountRows(tiny_editor.vae.decoder) as decoded:
        found = edited(variant(engine, 1, 7.5, 1.5, output_size="model"))
    assert decoded == [1]
    assert torch.equal(found.edited, alone(tiny_editor, 1, 7.5, 1.5).edited)


def resolved(said: EditSettings) -> ResolvedEditSettings:
    return resolve(said, SPEC)


def test_the_full_product_has_names_of_its_own() -> None:
    sweep = Sweep(
        instructions=("winter", "Winter!"),
        axes={"seed": (1, 2), "cfg_text": (5.0, 7.5), "sampler": ("ddim", "euler_a"), "steps": (2, 3)},
        drawn={},
    )
    variants = variants_of(sweep, resolved)
    assert len(variants) == len(sweep) == 32
    names = [variant.name for variant in variants]
    assert len(set(names)) == 32
    assert names[0] == "winter-seed-1-text-5-image-1.5-steps-2-sampler-ddim"
    assert [one.settings.seed for one in variants[:16]] == [1] * 8 + [2] * 8


def test_too_many_are_refused_before_they_are_made() -> None:
    sweep = Sweep(instructions=("x",), axes={"seed": tuple(range(101)), "steps": tuple(range(1, 11))}, drawn={})
    with pytest.raises(UsageError, match="1010 variants: at most 1000"):
        variants_of(sweep, resolved)


def test_drawn_scales_follow_from_the_seed() -> None:
    assert default_range(SPEC, "cfg_text") == (6.0, 9.0)
    assert default_range(SPEC, "cfg_image") == pytest.approx((1.2, 1.8))
    drawn = [draw_scale(seed, "cfg_text", 6.0, 9.0) for seed in range(200)]
    assert drawn == [draw_scale(seed, "cfg_text", 6.0, 9.0) for seed in range(200)]
    assert min(drawn) < 6.3
    assert max(drawn) > 8.7
    assert all(6 <= value <= 9 and value == round(value, 2) for value in drawn)
    assert [draw_scale(s, "cfg_image", 6.0, 9.0) for s in range(200)] != drawn
    sweep = Sweep(instructions=("x",), axes={"seed": (3, 4)}, drawn={"cfg_text": (6.0, 9.0)})
    assert [one.settings.cfg_text for one in variants_of(sweep, resolved)] == drawn[3:5]
