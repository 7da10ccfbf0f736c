"""What variants share is made once, and their pixels are those of single edits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ip2p_cli.workflows.edit import Prepared, edit_batch, prepare
from ip2p_cli.workflows.variants import SharedWork, Sweep, around, draw_scale, spread_out

from ip2p_cli.errors import UsageError
from ip2p_cli.models.loader import Editor
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditRequest, EditSettings, ResolvedEditSettings
from tests.cli.ip2p import some_photo
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


def prepared(editor: Editor, seed: int, cfg_text: float, cfg_image: float, instruction: str = "winter") -> Prepared:
    said = EditSettings(seed=seed, cfg_text=cfg_text, cfg_image=cfg_image, steps=2, resolution=64, sampler="euler_a")
    settings = resolve(said, editor.spec)
    return prepare(
        EditRequest(source=some_photo(65, 65), instruction=instruction, settings=settings, digest="d"), editor.spec
    )


SCALES = [(7.5, 1.5), (5.0, 1.2), (7.5, 1.2)]


def test_one_at_a_time_the_same_to_the_bit_and_fewer_rows(tiny_editor: Editor) -> None:
    items = [prepared(tiny_editor, seed, *scales) for seed in (1, 2) for scales in SCALES]
    alone = [edit_batch(tiny_editor, [one])[0] for one in items]
    work = SharedWork()
    with CountRows(tiny_editor.unet) as rows, CountRows(tiny_editor.text_encoder) as texts:
        shared = [work(tiny_editor, [one])[0] for one in items]
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one.latent, other.latent)
        assert torch.equal(one.edited, other.edited)
        assert torch.equal(one.source, other.source)
    # Second steps of all six; first steps of two seeds.
    assert sum(rows) == 6 * 3 + 2 * 3
    assert len(texts) == 1 + 6  # the instruction once; the null text is denoise's own


def test_in_batches_the_same_to_rounding_and_fewer_rows(tiny_editor: Editor) -> None:
    items = [prepared(tiny_editor, seed, *scales) for seed in (1, 2) for scales in SCALES]
    alone = [edit_batch(tiny_editor, [one])[0] for one in items]
    with CountRows(tiny_editor.unet) as rows:
        shared = SharedWork()(tiny_editor, items)
    for one, other in zip(alone, shared, strict=True):
        torch.testing.assert_close(one.edited, other.edited, atol=1e-5, rtol=0)
    assert rows == [6, 18]


def test_different_noise_shares_nothing(tiny_editor: Editor) -> None:
    items = [prepared(tiny_editor, 1, 7.5, 1.5, text) for text in ("winter", "night")]
    with CountRows(tiny_editor.unet) as rows:
        SharedWork()(tiny_editor, items)
    assert rows == [6, 6]


def test_what_was_made_before_does_not_change_a_bit(tiny_editor: Editor) -> None:
    """Fewer branches (s_I = 1) first: its predictions came from calls of another shape."""
    work = SharedWork()
    work(tiny_editor, [prepared(tiny_editor, 1, 7.5, 1.0)])
    item = prepared(tiny_editor, 1, 7.5, 1.5)
    assert torch.equal(work(tiny_editor, [item])[0].edited, edit_batch(tiny_editor, [item])[0].edited)


def resolved(said: EditSettings) -> ResolvedEditSettings:
    return resolve(said, SPEC)


def test_the_full_product_has_names_of_its_own() -> None:
    sweep = Sweep(
        instructions=("winter", "Winter!"),
        axes={"seed": (1, 2), "cfg_text": (5.0, 7.5), "sampler": ("ddim", "euler_a"), "steps": (2, 3)},
        drawn={},
    )
    wanted = spread_out(sweep, Path("in.jpg"), resolved)
    assert len(wanted) == len(sweep) == 32
    names = [one.output for one in wanted]
    assert len(set(names)) == 32
    assert names[0] == "winter-seed-1-text-5-image-1.5-steps-2-sampler-ddim.png"
    assert [one.settings.seed for one in wanted[:16]] == [1] * 8 + [2] * 8


def test_too_many_are_refused_before_they_are_made() -> None:
    sweep = Sweep(instructions=("x",), axes={"seed": tuple(range(101)), "steps": tuple(range(1, 11))}, drawn={})
    with pytest.raises(UsageError, match="1010 variants: at most 1000"):
        spread_out(sweep, Path("in.jpg"), resolved)


def test_drawn_scales_follow_from_the_seed() -> None:
    assert around(SPEC, "cfg_text") == (6.0, 9.0)
    assert around(SPEC, "cfg_image") == pytest.approx((1.2, 1.8))
    drawn = [draw_scale(seed, "cfg_text", 6.0, 9.0) for seed in range(200)]
    assert drawn == [draw_scale(seed, "cfg_text", 6.0, 9.0) for seed in range(200)]
    assert min(drawn) < 6.3
    assert max(drawn) > 8.7
    assert all(6 <= value <= 9 and value == round(value, 2) for value in drawn)
    assert [draw_scale(s, "cfg_image", 6.0, 9.0) for s in range(200)] != drawn
    sweep = Sweep(instructions=("x",), axes={"seed": (3, 4)}, drawn={"cfg_text": (6.0, 9.0)})
    assert [one.settings.cfg_text for one in spread_out(sweep, Path("in.jpg"), resolved)] == drawn[3:5]
