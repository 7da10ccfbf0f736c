"""Prompt-to-Prompt equals its plain form, in which attention logits and maps are written out and replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.blend import LocalBlend
from ip2p_cli.diffusion.guidance import TextGuidedDenoiser
from ip2p_cli.diffusion.latents import ImageLatent, SampledLatent
from ip2p_cli.diffusion.prompt2prompt import Control, CrossEdit, controlled, shares
from ip2p_cli.diffusion.samplers import make_scheduler
from ip2p_cli.diffusion.text import encode_condition, null_condition, size_condition
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import find_model
from tests.tiny import tiny_painter, tiny_sd2_painter
from tests.tiny_xl import tiny_xl_painter

STEPS = 4
CAPTIONS = ["a cat on a mat", "a dog on a mat"]
SHAPE = (4, 8, 12)


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def editor(request: pytest.FixtureRequest) -> Editor:
    painter = tiny_painter() if request.param == "sd" else tiny_xl_painter()
    painter.unet.double()  # so that what differs is not rounding
    return painter


def guided(editor: Editor, pairs: int, cfg: Sequence[float]) -> TextGuidedDenoiser:
    time_ids = size_condition(editor, ImageLatent(torch.zeros(1, *SHAPE)))
    text = encode_condition(editor, CAPTIONS * pairs)
    return TextGuidedDenoiser(
        editor.unet, text, null_condition(editor), [s for one in cfg for s in (one, one)], time_ids=time_ids
    )


def sample(
    editor: Editor, denoiser: Any, seeds: Sequence[int], after_step: Any = None, shape: tuple[int, ...] = SHAPE
) -> torch.Tensor:
    """Latents of pairs, both pictures of a pair with the same noise, ancestral noise included."""
    both = [seed for seed in seeds for _ in range(2)]
    generators = editing.make_generators(both)
    noise = editing.initial_noise(shape, generators)
    scheduler = make_scheduler("euler_a", editor.scheduler_config, STEPS)
    return editing.run(scheduler, denoiser, noise, generators=generators, after_step=after_step)


def paint(
    editor: Editor,
    controls: Sequence[Control],
    seeds: Sequence[int],
    cfg: Sequence[float] | None = None,
    shape: tuple[int, ...] = SHAPE,
) -> torch.Tensor:
    denoiser = guided(editor, len(controls), cfg or [5.0] * len(controls))
    with controlled(denoiser, controls, STEPS) as inside:
        return sample(editor, inside, seeds, inside.after_step, shape)


@dataclass
class Plain:
    """The authors' way: an attention layer that writes out its logits and replaces the second pictures' by the first's.

    Rows are (without text: first, second), (with text: first, second). cross: (steps, edit), Google's way.
    """

    share: float
    is_self: bool
    steps: int
    edit: CrossEdit | None = None
    calls: int = 0

    def __call__(self, attn: Any, hidden: torch.Tensor, encoder_hidden_states: Any = None, **_: Any) -> torch.Tensor:
        step, self.calls = self.calls, self.calls + 1
        seen = hidden if encoder_hidden_states is None else encoder_hidden_states

        def heads(x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        q, k, v = heads(attn.to_q(hidden)), heads(attn.to_k(seen)), heads(attn.to_v(seen))
        logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if self.is_self and step / (self.steps - 1) < self.share:
            logits = torch.stack([logits[0], logits[0], logits[2], logits[2]])
        weights = logits.softmax(dim=-1)
        if self.edit is not None and not self.is_self and step / self.steps < self.edit.until:
            mapper, take, weight = (x.to(v) for x in (self.edit.mapper, self.edit.take, self.edit.weight))
            mixed = weights[2] @ mapper * take + weights[3] * (1 - take)
            weights = torch.stack([*weights[:3], mixed * weight])
        out = (weights @ v).transpose(1, 2).flatten(2)
        return attn.to_out[0](out)


def plainly(editor: Editor, share: float, seed: int, edit: CrossEdit | None = None) -> torch.Tensor:
    before = editor.unet.attn_processors
    editor.unet.set_attn_processor(
        {name: Plain(share, name.endswith("attn1.processor"), STEPS, edit) for name in before}
    )
    try:
        return sample(editor, guided(editor, 1, [5.0]), [seed])
    finally:
        editor.unet.set_attn_processor(before)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_self_attention_equals_replaced_logits(editor: Editor, share: float) -> None:
    ours = paint(editor, [Control(share=share)], [3])
    torch.testing.assert_close(ours, plainly(editor, share, 3), atol=2e-5, rtol=1e-4)


def test_the_shares_of_steps() -> None:
    def shared(share: float) -> list[bool]:
        return [shares(share, step, 5) for step in range(5)]

    assert shared(0.0) == [False] * 5
    assert shared(0.5) == [True, True, False, False, False]
    assert shared(1.0) == [True] * 4 + [False]
    assert shares(0.5, 0, 1)


def test_the_first_picture_does_not_know_of_the_second(editor: Editor) -> None:
    alone = sample(editor, guided(editor, 1, [5.0]), [3])
    for share in (0.0, 1.0):
        torch.testing.assert_close(paint(editor, [Control(share=share)], [3])[0], alone[0], atol=2e-5, rtol=1e-4)
    assert not torch.allclose(paint(editor, [Control(share=1.0)], [3])[1], alone[1], atol=1e-3)


def test_pairs_of_one_batch_each_as_alone(editor: Editor) -> None:
    shares_, seeds, scales = [0.0, 0.4, 1.0], [3, 4, 5], [3.0, 7.5, 12.0]
    together = paint(editor, [Control(share=share) for share in shares_], seeds, scales)
    for pair, (share, seed, cfg) in enumerate(zip(shares_, seeds, scales, strict=True)):
        alone = paint(editor, [Control(share=share)], [seed], [cfg])
        torch.testing.assert_close(together[2 * pair : 2 * pair + 2], alone, atol=2e-5, rtol=1e-4)


def test_afterwards_all_is_as_before(editor: Editor) -> None:
    before, processors = sample(editor, guided(editor, 1, [5.0]), [3]), editor.unet.attn_processors
    paint(editor, [Control(share=0.7)], [3])
    assert editor.unet.attn_processors == processors
    assert torch.equal(sample(editor, guided(editor, 1, [5.0]), [3]), before)
    with pytest.raises(RuntimeError, match="stop"), controlled(guided(editor, 1, [5.0]), [Control(share=1)], STEPS):
        raise RuntimeError("stop")
    assert editor.unet.attn_processors == processors


LENGTH = 77
SWAPPED = torch.eye(LENGTH)[[0, 2, 1, *range(3, LENGTH)]]
HALF = torch.linspace(0, 1, LENGTH)
EDITS = {
    "replace": CrossEdit(mapper=SWAPPED, take=torch.ones(LENGTH), weight=torch.ones(LENGTH), until=1.0),
    "refine": CrossEdit(mapper=SWAPPED, take=HALF, weight=torch.ones(LENGTH), until=0.6),
    "refine, reweight": CrossEdit(mapper=SWAPPED, take=HALF, weight=2 - HALF, until=0.6),
    "reweight": CrossEdit(mapper=torch.eye(LENGTH), take=torch.ones(LENGTH), weight=1 + HALF, until=0.8),
}


@pytest.mark.parametrize("name", EDITS)
def test_cross_attention_equals_edited_maps(editor: Editor, name: str) -> None:
    edit = EDITS[name]
    ours = paint(editor, [Control(share=0.5, cross=edit)], [3])
    torch.testing.assert_close(ours, plainly(editor, 0.5, 3, edit), atol=5e-5, rtol=1e-3)
    assert not torch.allclose(ours, paint(editor, [Control(share=0.5)], [3]), atol=1e-3)


def test_cross_attention_of_one_pair_leaves_the_others(editor: Editor) -> None:
    together = paint(editor, [Control(share=0.5, cross=EDITS["replace"]), Control(share=0.5)], [3, 4])
    torch.testing.assert_close(together[2:], paint(editor, [Control(share=0.5)], [4]), atol=2e-5, rtol=1e-4)


def words(*places: int) -> torch.Tensor:
    return F.one_hot(torch.tensor(places), LENGTH).sum(dim=0).float()


def test_local_blend_keeps_the_rest(editor: Editor) -> None:
    def painted(blend: LocalBlend | None) -> torch.Tensor:
        return paint(editor, [Control(share=0.0, blend=blend)], [3], shape=(4, 32, 48))

    blend = LocalBlend(first=words(3), second=words(3), threshold=0.999)
    first, second = painted(blend)
    same = (first == second).all(dim=0)
    assert 0 < same.sum() < same.numel()  # the places of the largest values are left to differ
    torch.testing.assert_close(painted(replace(blend, threshold=-1.0)), painted(None))
    torch.testing.assert_close(painted(replace(blend, begin=2.0)), painted(None))


def test_word_maps_are_the_columns_of_the_maps() -> None:
    from ip2p_cli.diffusion.blend import WordMaps

    torch.manual_seed(0)
    query, key = torch.randn(4, 2, 6, 8), torch.randn(4, 2, 5, 8)
    blend = LocalBlend(first=torch.tensor([0, 1, 0, 0, 1.0]), second=torch.tensor([0, 0, 0, 1.0, 0]))
    maps = WordMaps([blend], first_row=2)
    maps.measure(torch.zeros(2, 4, 8, 12))
    maps.take(query, key)
    weights = (query @ key.transpose(-1, -2) / 8**0.5).softmax(dim=-1)[2:].sum(dim=1)
    expected = torch.stack([weights[0, :, 1] + weights[0, :, 4], weights[1, :, 3]])
    torch.testing.assert_close(maps.sums(0), expected)


def test_a_start_from_a_picture(editor: Editor) -> None:
    """SDEdit's start at the last step stays near the picture, at the first it is noise as of the whole way."""
    picture = SampledLatent(torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1)) * 3)
    ends = []
    for step in (STEPS - 1, 0):
        for name in ("euler_a", "euler_a_original", "ddim"):
            generators = editing.make_generators([3, 3])
            noise = editing.initial_noise(SHAPE, generators)
            scheduler = make_scheduler(name, editor.scheduler_config, STEPS)
            done: list[int] = []
            ends.append(
                editing.run(
                    scheduler,
                    guided(editor, 1, [1.0]),
                    noise,
                    generators=None if name == "ddim" else generators,
                    begin=editing.SDEditStart(latent=picture, step=step),
                    on_step=lambda n, _, done=done: done.append(n),  # type: ignore[misc]
                )
            )
            assert done == list(range(step + 1, STEPS + 1))
    far = [float((end - picture.tensor).abs().mean()) for end in ends]
    assert max(far[:3]) < 1.0 < min(far[3:])


def test_a_pair_has_two_items(editor: Editor) -> None:
    with (
        pytest.raises(ValueError, match="2 pairs need 4 items"),
        controlled(guided(editor, 1, [5.0]), [Control(share=1)] * 2, STEPS),
    ):
        pass


def text_to_image(kind: str) -> Any:
    """diffusers' own text-to-image pipeline around a random model of each kind."""
    painter = {"sd": tiny_painter, "sd2": tiny_sd2_painter, "sdxl": tiny_xl_painter}[kind]()
    parts = {"unet": painter.unet, "vae": painter.vae, "text_encoder": painter.text_encoder}
    config = make_scheduler("euler_a", painter.scheduler_config, STEPS).config
    scheduler = EulerAncestralDiscreteScheduler.from_config(config, steps_offset=1)  # as the pipeline insists
    parts |= {"tokenizer": painter.tokenizer, "scheduler": scheduler}
    if kind == "sdxl":
        parts |= {"text_encoder_2": painter.text_encoder_2, "tokenizer_2": painter.tokenizer_2}
        zeros = painter.zero_null_text
        return StableDiffusionXLPipeline(**parts, force_zeros_for_empty_prompt=zeros, add_watermarker=False)
    return StableDiffusionPipeline(**parts, safety_checker=None, feature_extractor=None)


@pytest.mark.parametrize("kind", ["sd", "sd2", "sdxl"])
def test_what_diffusers_saves_paints_as_diffusers_does(kind: str, tmp_path: Path) -> None:
    """Without control both pictures are those of the text-to-image pipeline, noise and all."""
    pipeline = text_to_image(kind)
    pipeline.save_pretrained(tmp_path / "model")
    painter = load_editor(find_model(str(tmp_path / "model")), device="cpu", dtype="fp32", use="paint")
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        CAPTIONS,
        height=SHAPE[1] * 8,
        width=SHAPE[2] * 8,
        num_inference_steps=STEPS,
        guidance_scale=5.0,
        generator=editing.make_generators([3, 3]),
        output_type="latent",
    ).images
    ours = paint(painter, [Control(share=0.0)], [3])
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-3)
