"""The denoise loop: equal to diffusers' pipeline where that is right, and right where that is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.latents import ImageLatent, SampledLatent
from ip2p_cli.diffusion.samplers import SAMPLERS, make_scheduler
from ip2p_cli.diffusion.text import encode_condition
from ip2p_cli.errors import DeviceError
from ip2p_cli.models.loader import Editor
from tests.edits import edit
from tests.tiny import NANO_SCHEDULER, SD15_SCHEDULER, diffusers_pipeline, tiny_editor

pytestmark = pytest.mark.numeric

INSTRUCTIONS = ["make it winter", "turn the cat into a dog", ""]


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """Three pictures of 64 x 48, in [0, 1]."""
    return torch.rand(3, 3, 64, 48, generator=torch.Generator().manual_seed(5))


def edit_one(editor: Editor, pixels: torch.Tensor, cfg_text: float, cfg_image: float, **more: Any) -> torch.Tensor:
    return edit(editor, pixels[:1], INSTRUCTIONS[:1], [cfg_text], [cfg_image], [0], **{"sampler": "ddim", **more})


def test_hidden_states_alone_are_a_condition_too(tiny_editor: Editor, pixels: torch.Tensor) -> None:
    latent = editing.denoise(
        tiny_editor,
        editing.encode_image(tiny_editor, pixels[:1] * 2 - 1),
        editing.encode_text(tiny_editor, INSTRUCTIONS[:1]),
        steps=4,
        cfg_text=[7.5],
        cfg_image=[1.5],
        sampler="ddim",
        generators=editing.make_generators([0]),
    )
    torch.testing.assert_close(latent.tensor, edit_one(tiny_editor, pixels, 7.5, 1.5), atol=0, rtol=0)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("cfg_text", "cfg_image"), [(7.5, 1.5), (3.0, 1.0), (1.5, 1.5), (1.01, 4.0)])
def test_same_latents_as_diffusers(
    tiny_editor: Editor, pixels: torch.Tensor, sampler: str, cfg_text: float, cfg_image: float
) -> None:
    seeds = [11, 12, 13]
    pipeline = diffusers_pipeline(tiny_editor, make_scheduler(sampler, SD15_SCHEDULER, 5))
    expected = pipeline(
        prompt=INSTRUCTIONS,
        image=pixels,
        num_inference_steps=5,
        guidance_scale=cfg_text,
        image_guidance_scale=cfg_image,
        generator=editing.make_generators(seeds),
        output_type="latent",
    ).images
    found = edit(tiny_editor, pixels, INSTRUCTIONS, [cfg_text] * 3, [cfg_image] * 3, seeds, sampler, steps=5)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("cfg_text", "cfg_image"), [(7.5, 1.5), (3.0, 1.0)])
def test_a_negative_prompt_takes_the_place_of_the_null_text_as_in_diffusers(
    tiny_editor: Editor, pixels: torch.Tensor, cfg_text: float, cfg_image: float
) -> None:
    seeds, negatives = [11, 12, 13], ["blurry", "", "people"]
    pipeline = diffusers_pipeline(tiny_editor, make_scheduler("euler", SD15_SCHEDULER, 3))
    expected = pipeline(
        prompt=INSTRUCTIONS,
        negative_prompt=negatives,
        image=pixels,
        num_inference_steps=3,
        guidance_scale=cfg_text,
        image_guidance_scale=cfg_image,
        generator=editing.make_generators(seeds),
        output_type="latent",
    ).images
    negative = encode_condition(tiny_editor, negatives)
    found = edit(
        tiny_editor, pixels, INSTRUCTIONS, [cfg_text] * 3, [cfg_image] * 3, seeds, "euler", steps=3, negative=negative
    )
    torch.testing.assert_close(found, expected, atol=5e-4, rtol=1e-4)
    plain = edit(tiny_editor, pixels, INSTRUCTIONS, [cfg_text] * 3, [cfg_image] * 3, seeds, "euler", steps=3)
    assert difference(found[0], plain[0]) > 1e-3
    torch.testing.assert_close(found[1], plain[1], atol=1e-5, rtol=1e-5)


def test_same_pixels_as_diffusers(tiny_editor: Editor, pixels: torch.Tensor) -> None:
    pipeline = diffusers_pipeline(tiny_editor, make_scheduler("euler_a", SD15_SCHEDULER, 3))
    [generator] = editing.make_generators([4])
    expected = pipeline(
        prompt=INSTRUCTIONS[0], image=pixels[:1], num_inference_steps=3, generator=generator, output_type="pt"
    ).images
    latent = edit(tiny_editor, pixels[:1], INSTRUCTIONS[:1], [7.5], [1.5], [4], "euler_a", steps=3)
    found = editing.decode(tiny_editor, SampledLatent(latent))
    assert found.shape == (1, 3, 64, 48)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("scheduler_config", [SD15_SCHEDULER, NANO_SCHEDULER], ids=["sd15", "nano"])
def test_batch_equals_single_runs(
    tiny_editor: Editor, pixels: torch.Tensor, sampler: str, scheduler_config: dict[str, Any]
) -> None:
    editor = replace(tiny_editor, scheduler_config=scheduler_config)
    cfg_text, cfg_image, seeds = [7.5, 1.0, 0.0], [1.5, 1.0, 0.9], [7, 2**63 - 1, 7]
    together = edit(editor, pixels, INSTRUCTIONS, cfg_text, cfg_image, seeds, sampler)
    for i in range(3):
        one = slice(i, i + 1)
        alone = edit(
            editor, pixels[one], INSTRUCTIONS[one], cfg_text[one], cfg_image[one], seeds[one], sampler, max_rows=1
        )
        torch.testing.assert_close(together[one], alone, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("size", [(64, 48), (72, 104)])
def test_a_batch_is_encoded_and_decoded_to_the_bit_as_single_items(
    dtype: torch.dtype, count: int, size: tuple[int, int]
) -> None:
    editor = tiny_editor_in(dtype)
    batch = torch.rand(count, *size, 3, generator=torch.Generator().manual_seed(5)).permute(0, 3, 1, 2) * 2 - 1
    latents = editing.encode_image(editor, batch)
    pictures = editing.decode(editor, latents)
    states = editing.encode_text(editor, INSTRUCTIONS)
    for i in range(count):
        alone = editing.encode_image(editor, batch[i : i + 1].contiguous())
        assert torch.equal(alone.tensor, latents.tensor[i : i + 1])
        assert torch.equal(editing.decode(editor, alone), pictures[i : i + 1])
    for i, instruction in enumerate(INSTRUCTIONS):
        assert torch.equal(editing.encode_text(editor, [instruction])[0], states[i])


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def test_low_image_scale_still_follows_the_text(tiny_editor: Editor, pixels: torch.Tensor) -> None:
    ours = [edit_one(tiny_editor, pixels, cfg_text, 0.9) for cfg_text in (2.0, 7.5)]
    assert difference(*ours) > 1e-3

    def theirs(cfg_text: float) -> torch.Tensor:
        pipeline = diffusers_pipeline(tiny_editor, make_scheduler("ddim", SD15_SCHEDULER, 4))
        result: torch.Tensor = pipeline(
            prompt=INSTRUCTIONS[0],
            image=pixels[:1],
            num_inference_steps=4,
            guidance_scale=cfg_text,
            image_guidance_scale=0.9,
            generator=editing.make_generators([0]),
            output_type="latent",
        ).images
        return result

    # The reason for a loop of our own: once this fails, diffusers has lost its gate.
    assert difference(theirs(2.0), theirs(7.5)) == 0


def test_without_text_scale_the_instruction_does_not_matter(tiny_editor: Editor, pixels: torch.Tensor) -> None:
    one, other = (edit(tiny_editor, pixels[:1], [text], [0.0], [1.5], [0]) for text in INSTRUCTIONS[:2])
    assert difference(one, other) == 0
    assert difference(one, edit_one(tiny_editor, pixels, 5.0, 1.5)) > 1e-3


@pytest.mark.parametrize(("cfg_text", "cfg_image"), [(7.5, 1.0), (1.5, 1.5), (0.0, 1.5), (1.0, 1.0)])
def test_fewer_evaluations_change_nothing(
    tiny_editor: Editor, pixels: torch.Tensor, cfg_text: float, cfg_image: float
) -> None:
    fewer = edit_one(tiny_editor, pixels, cfg_text, cfg_image)
    # A hair beside, all three predictions are needed.
    three = edit_one(tiny_editor, pixels, cfg_text + 1e-6, cfg_image + 2e-6)
    torch.testing.assert_close(fewer, three, atol=1e-4, rtol=1e-4)


def test_seeds_and_given_noise(tiny_editor: Editor, pixels: torch.Tensor) -> None:
    [generator] = editing.make_generators([21])
    noise = editing.initial_noise((4, 8, 6), [generator])
    drawn = edit(tiny_editor, pixels[:1], ["x"], [1.0], [1.0], [21])
    given = edit(tiny_editor, pixels[:1], ["x"], [1.0], [1.0], [99], noise=noise)
    other = edit(tiny_editor, pixels[:1], ["x"], [1.0], [1.0], [22])
    assert difference(drawn, given) == 0
    assert difference(drawn, other) > 1e-2


def test_on_step_and_no_gradients(tiny_editor: Editor, pixels: torch.Tensor) -> None:
    seen: list[tuple[int, int]] = []
    latent = edit_one(tiny_editor, pixels, 7.5, 1.5, on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert not latent.requires_grad
    assert not latent.is_inference()


def test_image_latent_is_the_unscaled_mode(tiny_editor: Editor, pixels: torch.Tensor) -> None:
    found = editing.encode_image(tiny_editor, pixels * 2 - 1)
    with torch.no_grad():
        expected = tiny_editor.vae.encode(pixels * 2 - 1).latent_dist.mean
    torch.testing.assert_close(found.tensor, expected)
    with pytest.raises(ValueError, match="multiples of 8"):
        editing.encode_image(tiny_editor, torch.zeros(1, 3, 64, 60))


def test_both_latents_decode_to_the_same_picture(tiny_editor: Editor, pixels: torch.Tensor) -> None:
    image = editing.encode_image(tiny_editor, pixels * 2 - 1)
    sampled = SampledLatent(image.tensor * tiny_editor.scaling_factor)
    chained = sampled.as_condition(tiny_editor.scaling_factor)
    assert isinstance(chained, ImageLatent)
    torch.testing.assert_close(chained.tensor, image.tensor)
    found = editing.decode(tiny_editor, sampled)
    torch.testing.assert_close(found, editing.decode(tiny_editor, image))
    assert found.min() >= 0
    assert found.max() <= 1


def test_text_states_and_what_is_cut(tiny_editor: Editor) -> None:
    assert editing.encode_text(tiny_editor, INSTRUCTIONS).shape == (3, 77, 32)
    torch.testing.assert_close(editing.null_text(tiny_editor), editing.encode_text(tiny_editor, [""]))
    # The tiny vocabulary has a token for each letter: 75 of them fit between the marks.
    words = ["abcde"] * 15
    assert editing.truncated_words(tiny_editor, " ".join(words)) == []
    assert editing.truncated_words(tiny_editor, " ".join([*words, "last", "ones"])) == ["last", "ones"]
    assert editing.truncated_words(tiny_editor, "x" * 200) == ["x" * 200]
    torch.testing.assert_close(
        editing.encode_text(tiny_editor, [" ".join([*words, "last"])]),
        editing.encode_text(tiny_editor, [" ".join(words)]),
    )


def test_bf16_stays_near_fp32(tiny_editor: Editor, pixels: torch.Tensor) -> None:
    half = tiny_editor_in(torch.bfloat16)
    for config in (SD15_SCHEDULER, NANO_SCHEDULER):
        for sampler in SAMPLERS:
            exact, rough = (
                edit_one(replace(editor, scheduler_config=config), pixels, 1.0, 1.0, sampler=sampler)
                for editor in (tiny_editor, half)
            )
            assert rough.dtype == torch.float32
            assert difference(exact, rough) < 0.05 * float(exact.abs().max()), sampler


def tiny_editor_in(dtype: torch.dtype) -> Editor:
    editor = tiny_editor()
    for part in (editor.unet, editor.vae, editor.text_encoder):
        part.to(dtype)
    return replace(editor, dtype=dtype)


def test_overflow_is_told() -> None:
    editor = tiny_editor()
    editor.unet.conv_out.bias.fill_(float("inf"))
    with pytest.raises(DeviceError, match="--dtype fp32"):
        edit_one(editor, torch.zeros(1, 3, 64, 64), 1.0, 1.0)


def test_one_generator_per_item(tiny_editor: Editor, pixels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="one each per item"):
        edit(tiny_editor, pixels, INSTRUCTIONS, [1.0] * 3, [1.0] * 3, [1, 2])
