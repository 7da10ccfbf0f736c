"""SDXL's shape and CosXL-edit through our loop: equal to diffusers' pipeline, where that is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.samplers import SAMPLERS, make_scheduler
from ip2p_cli.diffusion.text import encode_condition, null_condition, size_condition
from ip2p_cli.errors import UsageError
from ip2p_cli.models.loader import Editor
from ip2p_cli.models.sdxl import COSXL_SCHEDULER
from tests.edits import edit
from tests.tiny_xl import XL_SCHEDULER, diffusers_xl_pipeline, tiny_xl_editor

pytestmark = pytest.mark.numeric

INSTRUCTIONS = ["make it winter", "turn the cat into a dog", "add a hat"]
SCALES = [(5.0, 1.5), (3.0, 1.0), (1.5, 1.5), (1.01, 4.0)]


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """Three pictures of 64 x 96, in [0, 1]."""
    return torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def xl() -> Editor:
    return tiny_xl_editor()


@pytest.fixture(scope="module")
def cosxl() -> Editor:
    return tiny_xl_editor(cosxl=True)


def theirs(
    editor: Editor, pixels: torch.Tensor, scheduler: Any, cfg_text: float, cfg_image: float, seeds: Sequence[int]
) -> torch.Tensor:
    latents: torch.Tensor = diffusers_xl_pipeline(editor, scheduler)(
        prompt=INSTRUCTIONS,
        # Only where nothing is said the null text is zeros.
        negative_prompt=None if editor.zero_null_text else [""] * 3,
        image=pixels,
        height=pixels.shape[-2],
        width=pixels.shape[-1],
        num_inference_steps=4,
        guidance_scale=cfg_text,
        image_guidance_scale=cfg_image,
        generator=editing.make_generators(seeds),
        output_type="latent",
    ).images
    return latents


@pytest.mark.parametrize(("cfg_text", "cfg_image"), SCALES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_same_latents_as_diffusers(
    xl: Editor, pixels: torch.Tensor, sampler: str, cfg_text: float, cfg_image: float
) -> None:
    seeds = [11, 12, 13]
    expected = theirs(xl, pixels, make_scheduler(sampler, XL_SCHEDULER, 4), cfg_text, cfg_image, seeds)
    found = edit(xl, pixels, INSTRUCTIONS, [cfg_text] * 3, [cfg_image] * 3, seeds, sampler)
    # Latents are of the size of 10; kernels of old processors add in another order.
    torch.testing.assert_close(found, expected, atol=5e-4, rtol=1e-4)


@pytest.mark.parametrize("schedule", ["exponential", "karras"])
@pytest.mark.parametrize(("cfg_text", "cfg_image"), SCALES)
def test_cosxl_gives_the_same_latents_as_diffusers(
    cosxl: Editor, pixels: torch.Tensor, schedule: str, cfg_text: float, cfg_image: float
) -> None:
    from diffusers import EDMEulerScheduler

    config = {**COSXL_SCHEDULER, "sigma_schedule": schedule}
    editor = replace(cosxl, scheduler_config=config)
    theirs_own = EDMEulerScheduler.from_config({key: value for key, value in config.items() if key[0] != "_"})
    seeds = [11, 12, 13]
    expected = theirs(editor, pixels, theirs_own, cfg_text, cfg_image, seeds)
    found = edit(editor, pixels, INSTRUCTIONS, [cfg_text] * 3, [cfg_image] * 3, seeds)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    unscaled = edit(
        replace(editor, scaled_condition=False), pixels, INSTRUCTIONS, [cfg_text] * 3, [cfg_image] * 3, seeds
    )
    assert float((found - unscaled).abs().max()) > 1e-3


@pytest.mark.parametrize("cosxl_edit", [False, True])
def test_batch_with_its_own_scales_equals_single_runs(pixels: torch.Tensor, cosxl_edit: bool) -> None:
    editor = tiny_xl_editor(cosxl=cosxl_edit)
    cfg_text, cfg_image, seeds = [7.5, 1.0, 0.0], [1.5, 1.0, 0.9], [7, 8, 7]
    together = edit(editor, pixels, INSTRUCTIONS, cfg_text, cfg_image, seeds)
    for i in range(3):
        one = slice(i, i + 1)
        alone = edit(editor, pixels[one], INSTRUCTIONS[one], cfg_text[one], cfg_image[one], seeds[one], max_rows=1)
        torch.testing.assert_close(together[one], alone, atol=2e-4, rtol=1e-4)


def test_conditions(xl: Editor, pixels: torch.Tensor) -> None:
    condition = encode_condition(xl, ["make it winter", ""])
    assert condition.states.shape == (2, 77, 64)
    assert condition.pooled is not None
    assert condition.pooled.shape == (2, 24)
    assert condition.states[0].abs().max() > 0
    null = null_condition(xl)
    assert null.pooled is not None
    for found in (condition.states[1], condition.pooled[1], null.states, null.pooled):
        assert not found.any()
    encoded = null_condition(replace(xl, zero_null_text=False))
    assert encoded.states.any()
    image = editing.encode_image(xl, pixels * 2 - 1)
    size = size_condition(xl, image)
    assert size is not None
    assert size.tolist() == [64, 96, 0, 0, 64, 96]


def test_encoded_null_text_as_in_diffusers(xl: Editor, pixels: torch.Tensor) -> None:
    editor = replace(xl, zero_null_text=False)
    expected = theirs(editor, pixels, make_scheduler("euler", XL_SCHEDULER, 4), 5.0, 1.5, [1, 2, 3])
    found = edit(editor, pixels, INSTRUCTIONS, [5.0] * 3, [1.5] * 3, [1, 2, 3])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_bare_states_are_not_enough(xl: Editor, pixels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="pooled"):
        editing.denoise(
            xl,
            editing.encode_image(xl, pixels[:1] * 2 - 1),
            editing.encode_text(xl, INSTRUCTIONS[:1]),
            steps=2,
            cfg_text=[2.0],
            cfg_image=[1.0],
            sampler="euler",
            generators=editing.make_generators([0]),
        )


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"euler"}))
def test_edm_noise_levels_want_euler(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} does not work .* use euler"):
        make_scheduler(name, COSXL_SCHEDULER, 4)


@pytest.mark.parametrize("steps", [0, 1, 1000])
def test_edm_steps(steps: int) -> None:
    with pytest.raises(UsageError, match="between 2 and 999"):
        make_scheduler("euler", COSXL_SCHEDULER, steps)
    assert len(make_scheduler("euler", COSXL_SCHEDULER, 2).timesteps) == 2
