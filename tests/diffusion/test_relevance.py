"""Where a model would edit: the difference of its predictions, and what is local in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
import torch

from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.diffusion.relevance import noises_for, relevance, where_relevant
from ip2p_cli.diffusion.text import encode_condition
from ip2p_cli.models.editor import Editor


def latent(height: int = 8, width: int = 12) -> ImageLatent:
    return ImageLatent(torch.randn(1, 4, height, width, generator=torch.Generator().manual_seed(3)))


def test_two_evaluations_a_noise(tiny_editor: Editor) -> None:
    rows: list[int] = []

    class Counted:
        dtype, config = tiny_editor.unet.dtype, tiny_editor.unet.config

        def __call__(self, sample: torch.Tensor, *args: Any, **options: Any) -> Any:
            rows.append(len(sample))
            return tiny_editor.unet(sample, *args, **options)

    counted: Any = replace(tiny_editor, unet=cast("Any", Counted()))
    text = encode_condition(tiny_editor, ["make it winter"])
    found = relevance(counted, latent(), text, noises=3, seed=1)
    assert found.shape == (8, 12)
    assert sum(rows) == 6
    assert torch.equal(found, relevance(tiny_editor, latent(), text, noises=3, seed=1))
    assert not torch.equal(found, relevance(tiny_editor, latent(), text, noises=3, seed=2))
    torch.testing.assert_close(found, relevance(tiny_editor, latent(), text, noises=3, seed=1, max_rows=2))


def test_no_instruction_edits_nothing(tiny_editor: Editor) -> None:
    found = relevance(tiny_editor, latent(), encode_condition(tiny_editor, [""]), noises=2, seed=1)
    assert float(found.max()) < 1e-5


@pytest.mark.parametrize("steps", [20, 21, 50, 100, 1000])
def test_it_costs_at_most_a_tenth(steps: int) -> None:
    assert 2 * noises_for(steps) <= 0.1 * 3 * steps  # three predictions a step


def noisy(difference: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return difference * (1 + 0.15 * torch.randn(difference.shape, generator=generator)).clamp_min(0)


def test_a_local_edit_is_found() -> None:
    difference = torch.full((32, 48), 0.05)
    difference[8:24, 4:20] = 1
    where = where_relevant(noisy(difference))
    assert where is not None
    truth = difference > 0.5
    assert float((where & truth).sum() / (where | truth).sum()) > 0.85
    difference[0, 47] = 50  # an outlier
    where = where_relevant(noisy(difference))
    assert where is not None
    assert float((where & truth).sum() / truth.sum()) > 0.85


def test_a_small_edit_is_no_outlier() -> None:
    difference = torch.full((32, 48), 0.05)
    difference[10:16, 20:26] = 1
    where = where_relevant(noisy(difference))
    assert where is not None
    assert where[11:15, 21:25].all()
    assert float(where.float().mean()) < 0.06


def test_a_global_edit_is_recognised() -> None:
    even = torch.full((32, 48), 0.7)
    assert where_relevant(noisy(even)) is None
    most = torch.full((32, 48), 1.0)
    most[:8] = 0.05
    assert where_relevant(noisy(most)) is None
    half = torch.full((32, 48), 1.0)  # everywhere, but more so in a half
    half[:, 24:] = 0.45
    assert where_relevant(noisy(half)) is None
    assert where_relevant(torch.zeros(32, 48)) is None
