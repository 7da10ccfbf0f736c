"""Holding a part of the latents to the photo: at the noise of the right timestep, and exactly at the end."""

from __future__ import annotations

import pytest
import torch

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.latents import SampledLatent
from ip2p_cli.diffusion.masking import Hold, free_cells, hold_after_step, mixed
from ip2p_cli.diffusion.samplers import SAMPLERS, make_scheduler
from ip2p_cli.models.editor import Editor
from tests.edits import edit

SIZE = (16, 16)


@pytest.fixture
def photo() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def hold_of(*halves: bool, only_last: bool = False) -> Hold:
    """For each item: whether only the left half may change."""
    free = torch.ones(len(halves), 1, 8, 8, dtype=torch.bool)
    for item, is_half in enumerate(halves):
        free[item, :, :, 4:] = not is_half
    return Hold(free=free, only_last=[only_last] * len(halves))


def edited(editor: Editor, photo: torch.Tensor, hold: Hold | None, sampler: str, steps: int) -> torch.Tensor:
    return edit(editor, photo, ["winter"] * 2, [5.0] * 2, [1.5] * 2, [1, 2], sampler=sampler, steps=steps, hold=hold)


@pytest.mark.parametrize("only_last", [False, True])
@pytest.mark.parametrize(("sampler", "steps"), [*((name, 3) for name in SAMPLERS), ("ddim", 1), ("euler", 12)])
def test_what_is_held_is_the_photo(
    tiny_editor: Editor, photo: torch.Tensor, sampler: str, steps: int, only_last: bool
) -> None:
    factor = tiny_editor.vae_factor
    assert photo.shape[-1] // factor == 8, "the masks here are for 8 x 8 cells"
    plain = edited(tiny_editor, photo, None, sampler, steps)
    held = edited(tiny_editor, photo, hold_of(True, False, only_last=only_last), sampler, steps)
    known = editing.encode_image(tiny_editor, photo * 2 - 1).tensor * tiny_editor.scaling_factor
    assert torch.equal(held[0, :, :, 4:], known[0, :, :, 4:])
    assert not torch.equal(held[0, :, :, :4], known[0, :, :, :4])
    assert torch.equal(held[1], plain[1]), "an item that may change everywhere is not touched"
    everywhere = edited(tiny_editor, photo, hold_of(False, False, only_last=only_last), sampler, steps)
    assert torch.equal(everywhere, plain)


@pytest.mark.parametrize("sampler", ["euler", "ddim", "dpmpp_2m", "unipc"])
def test_the_photo_has_the_noise_of_the_next_step(tiny_editor: Editor, sampler: str) -> None:
    """With the exact prediction, sampling from the noised photo stays on its line: holding it changes nothing."""
    generator = torch.Generator().manual_seed(0)
    known, noise = (torch.randn(1, 4, 8, 8, generator=generator) for _ in range(2))

    def sampled(*, is_held: bool) -> list[torch.Tensor]:
        scheduler = make_scheduler(sampler, tiny_editor.scheduler_config, 6)
        hold = Hold(free=torch.zeros(1, 1, 8, 8, dtype=torch.bool), only_last=[False])
        put_back = hold_after_step(scheduler, SampledLatent(known), noise, hold)
        seen: list[torch.Tensor] = []

        def after_step(latent: torch.Tensor, done: int) -> torch.Tensor:
            seen.append(put_back(latent, done) if is_held else latent)
            return seen[-1]

        begin = editing.SDEditStart(latent=SampledLatent(known), step=0)
        editing.run(scheduler, lambda latent, timestep: noise, noise, after_step=after_step, begin=begin)
        return seen

    for held, free in zip(sampled(is_held=True), sampled(is_held=False), strict=True):
        torch.testing.assert_close(held, free, rtol=2e-3, atol=2e-3)


def test_a_cell_is_free_where_any_pixel_is() -> None:
    pixels = torch.zeros(*SIZE, dtype=torch.bool)
    pixels[7, 8] = True
    assert free_cells(pixels, 8).tolist() == [[[False, True], [False, False]]]


def test_soft_masks_mix() -> None:
    ones, zeros = torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)
    mask = torch.zeros(*SIZE)
    mask[:, 8:] = 0.5
    assert mixed(ones, zeros, mask)[0, 0].tolist() == [[0, 0.5], [0, 0.5]]
    assert torch.equal(mixed(ones / 3, zeros, torch.ones(*SIZE)), ones / 3)
