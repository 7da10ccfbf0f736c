"""Fewer evaluations: what is left out, what stays exact, and what the settings mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.branch_plan import BranchPlan
from ip2p_cli.diffusion.branches import Branch
from ip2p_cli.diffusion.feature_reuse import ReusingUNet
from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.diffusion.savings import Savings, parse_interval
from ip2p_cli.errors import UsageError
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import MODELS

pytestmark = pytest.mark.numeric

NEITHER, IMAGE, TEXT = Branch.NEITHER, Branch.IMAGE, Branch.IMAGE_TEXT
TEXTS = ["make it winter", "a drawing", "at night"]


class CountedUNet:
    """Counts the rows of every call, and the calls that ran the UNet's middle."""

    def __init__(self, unet: Any) -> None:
        self.rows: list[int] = []
        self.whole: list[bool] = []
        self._unet = unet

    def __enter__(self) -> CountedUNet:
        def begin(_module: Any, args: tuple[torch.Tensor, ...]) -> None:
            self.rows.append(len(args[0]))
            self.whole.append(False)

        def middle(*_: Any) -> None:
            self.whole[-1] = True

        self._handles = [
            self._unet.register_forward_pre_hook(begin),
            self._unet.mid_block.resnets[0].register_forward_pre_hook(middle),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()


def sampled(
    editor: Editor,
    *,
    steps: int = 10,
    cfg_text: Sequence[float] = (7.5,),
    cfg_image: Sequence[float] = (1.5,),
    sampler: str = "euler",
    **saved: Any,
) -> tuple[torch.Tensor, CountedUNet]:
    count = len(cfg_text)
    image = torch.randn(count, editor.latent_channels, 8, 8, generator=torch.Generator().manual_seed(1))
    with CountedUNet(editor.unet) as counted:
        latent = editing.denoise(
            editor,
            ImageLatent(image),
            editing.encode_text(editor, TEXTS[:count]),
            steps=steps,
            cfg_text=cfg_text,
            cfg_image=cfg_image,
            sampler=sampler,
            generators=editing.make_generators(range(count)),
            **saved,
        )
    return latent.tensor, counted


@pytest.mark.parametrize(
    ("text", "wanted"), [("0-1", (0, 1)), ("0.2-0.8", (0.2, 0.8)), (" .5 - 1.0", (0.5, 1)), ("0-0.55", (0, 0.55))]
)
def test_intervals(text: str, wanted: tuple[float, float]) -> None:
    assert parse_interval(text) == wanted


@pytest.mark.parametrize("text", ["", "0.5", "1-0", "0.5-0.5", "0-2", "-1-0", "a-b", "0-nan", "20-60"])
def test_impossible_intervals(text: str) -> None:
    with pytest.raises(UsageError, match=r"--guidance-interval .*two shares"):
        parse_interval(text)


def test_an_interval_holds_its_share_of_the_steps() -> None:
    for steps in (1, 4, 10, 30, 100):
        for first in range(10):
            guided = [Savings(interval=(first / 10, 1.0)).is_guided(step, steps) for step in range(steps)]
            before = [Savings(interval=(0.0, first / 10)).is_guided(step, steps) for step in range(steps)]
            assert [not one for one in guided] == before  # two parts make the whole, whatever the rounding
    assert [Savings(interval=(0.2, 0.6)).is_guided(step, 10) for step in range(10)].count(True) == 4


def test_outside_the_interval_only_the_full_condition_is_evaluated(tiny_editor: Editor) -> None:
    _, counted = sampled(tiny_editor, savings=[Savings(interval=(0.2, 0.6))])
    assert counted.rows == [1, 1, 3, 3, 3, 3, 1, 1, 1, 1]


def test_each_item_has_its_own_savings(tiny_editor: Editor) -> None:
    scales: dict[str, Any] = {"cfg_text": (7.5, 3.0, 2.0), "cfg_image": (1.5, 1.0, 1.2), "steps": 4}
    savings = [Savings(interval=(0.0, 0.5)), Savings(), Savings(interval=(0.75, 1.0))]
    together, counted = sampled(tiny_editor, savings=savings, **scales)
    assert counted.rows == [3 + 2 + 1, 6, 1 + 2 + 1, 1 + 2 + 3]
    in_turn, counted = sampled(tiny_editor, savings=savings, max_rows=2, **scales)
    assert max(counted.rows) == 2
    torch.testing.assert_close(together, in_turn, atol=2e-4, rtol=1e-4)
    plain, _ = sampled(tiny_editor, **scales)
    torch.testing.assert_close(together[1], plain[1], atol=2e-4, rtol=1e-4)
    assert (together[0] - plain[0]).abs().max() > 1e-3


def test_what_saves_nothing_changes_nothing(tiny_editor: Editor) -> None:
    plain, all_rows = sampled(tiny_editor)
    for saved in ({"savings": [Savings()]}, {"savings": [Savings(interval=(0.0, 1.0))]}, {"reuse": 1}):
        same, counted = sampled(tiny_editor, **saved)
        assert counted.rows == all_rows.rows
        assert torch.equal(same, plain)


def test_a_prediction_that_agrees_is_left_out_and_its_weight_moves() -> None:
    plan = BranchPlan(7.5, 1.5, Savings(agreement=0.01), steps=10)
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    plan.finish_step({NEITHER: one, IMAGE: other, TEXT: one})
    assert plan.weights == {NEITHER: -0.5, IMAGE: -6.0, TEXT: 7.5}
    plan.finish_step({NEITHER: one, IMAGE: one + 0.01 * other, TEXT: other})
    assert plan.weights == {IMAGE: -6.5, TEXT: 7.5}
    plan.finish_step({IMAGE: other, TEXT: other})
    assert plan.weights == {TEXT: 1.0}
    plan.finish_step({TEXT: one})
    assert plan.weights == {TEXT: 1.0}
    both = BranchPlan(7.5, 1.5, Savings(agreement=0.01), steps=10)
    both.finish_step({NEITHER: one, IMAGE: one, TEXT: one})
    assert both.weights == {TEXT: 1.0}
    never = BranchPlan(7.5, 1.5, Savings(), steps=10)
    never.finish_step({NEITHER: one, IMAGE: one, TEXT: one})
    assert never.weights == {NEITHER: -0.5, IMAGE: -6.0, TEXT: 7.5}


def test_agreement_is_measured_in_the_run(tiny_editor: Editor) -> None:
    """A model whose prediction hardly depends on its text: the smallest threshold that can be met drops branches."""
    _, counted = sampled(tiny_editor, savings=[Savings(agreement=2.0)])  # anything agrees
    assert counted.rows == [3] + [1] * 9
    _, counted = sampled(tiny_editor, savings=[Savings(agreement=1e-12)])
    assert counted.rows == [3] * 10


@pytest.mark.parametrize("interval", [2, 3])
def test_deep_features_are_reused(tiny_editor: Editor, interval: int) -> None:
    plain, _ = sampled(tiny_editor)
    found, counted = sampled(tiny_editor, reuse=interval)
    assert counted.whole == [step % interval == 0 for step in range(10)]
    difference = (found - plain).abs().mean() / plain.abs().mean()
    assert 1e-6 < difference < 0.5
    in_turn, counted = sampled(tiny_editor, reuse=interval, max_rows=1)
    assert counted.whole == [step % interval == 0 for step in range(10) for _ in range(3)]
    torch.testing.assert_close(in_turn, found, atol=2e-4, rtol=1e-3)


def test_features_are_not_reused_for_other_rows(tiny_editor: Editor) -> None:
    """Where guidance leaves out rows, the features of the step before belong to others."""
    found, counted = sampled(tiny_editor, reuse=3, savings=[Savings(interval=(0.0, 0.4))])
    assert counted.whole == [True, False, False, True, True, False, True, False, False, True]
    in_turn, _ = sampled(tiny_editor, reuse=3, savings=[Savings(interval=(0.0, 0.4))], max_rows=100)
    assert torch.equal(found, in_turn)


@torch.no_grad()
def test_reused_features_of_the_same_input_are_exact(tiny_editor: Editor) -> None:
    """All that differs between two steps is the timestep and the latent: with the same ones nothing does."""
    unet = tiny_editor.unet
    draw = torch.Generator().manual_seed(4)
    sample, states = torch.randn(2, 8, 8, 8, generator=draw), torch.randn(2, 77, 32, generator=draw)
    plain = unet(sample, torch.tensor(500.0), encoder_hidden_states=states, return_dict=False)[0]
    reusing = ReusingUNet(unet, 2)
    with CountedUNet(unet) as counted:
        first = reusing(sample, torch.tensor(500.0), encoder_hidden_states=states)[0]
        second = reusing(sample, torch.tensor(499.999), encoder_hidden_states=states)[0]
    assert counted.whole == [True, False]
    assert torch.equal(first, plain)
    torch.testing.assert_close(second, plain, atol=1e-4, rtol=1e-4)
    after = unet(sample, torch.tensor(500.0), encoder_hidden_states=states, return_dict=False)[0]
    assert torch.equal(after, plain)  # the UNet is as it was


def test_nano_can_reuse_too() -> None:
    editor = load_editor(MODELS["nano"], device="cpu", dtype="fp32")
    scales: dict[str, Any] = {"cfg_text": (2.0,), "cfg_image": (1.0,), "sampler": "ddim", "steps": 4}
    plain, _ = sampled(editor, **scales)
    found, counted = sampled(editor, reuse=2, **scales)
    assert counted.whole == [True, False, True, False]
    assert (found - plain).abs().mean() < 0.3 * plain.abs().mean()
