"""Eq. 3 of the paper: its coefficients, and how few evaluations they need."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ip2p_cli.diffusion.guidance import Branch, GuidedDenoiser, coefficients
from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.errors import UsageError
from ip2p_cli.models.loader import Editor

pytestmark = pytest.mark.numeric

scales = st.floats(-30, 30, allow_nan=False)


@given(scales, scales)
def test_coefficients_sum_to_one_and_none_is_zero(cfg_text: float, cfg_image: float) -> None:
    weights = coefficients(cfg_text, cfg_image)
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-9)
    assert all(weights.values())


@given(scales, scales, scales, scales, scales)
def test_coefficients_are_equation_3(cfg_text: float, cfg_image: float, e00: float, e_i0: float, e_it: float) -> None:
    equation = e00 + cfg_image * (e_i0 - e00) + cfg_text * (e_it - e_i0)
    value = {Branch.NEITHER: e00, Branch.IMAGE: e_i0, Branch.IMAGE_TEXT: e_it}
    gathered = sum(weight * value[branch] for branch, weight in coefficients(cfg_text, cfg_image).items())
    assert gathered == pytest.approx(equation, abs=1e-8)


@pytest.mark.parametrize(
    ("cfg_text", "cfg_image", "evaluations"),
    [(7.5, 1.5, 3), (7.5, 1.0, 2), (1.5, 1.5, 2), (0.0, 1.5, 2), (0.0, 1.0, 1), (1.0, 1.0, 1), (0.0, 0.0, 1)],
)
def test_evaluations(cfg_text: float, cfg_image: float, evaluations: int) -> None:
    assert len(coefficients(cfg_text, cfg_image)) == evaluations


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_scales_that_are_no_numbers(wrong: float) -> None:
    with pytest.raises(UsageError, match="finite"):
        coefficients(wrong, 1.0)
    with pytest.raises(UsageError, match="finite"):
        coefficients(1.0, wrong)


class CountRows:
    """Counts the rows of every UNet call, through a forward hook."""

    def __init__(self, unet: Any) -> None:
        self.calls: list[int] = []
        self._handle = unet.register_forward_hook(lambda _module, args, _output: self.calls.append(len(args[0])))

    def __enter__(self) -> list[int]:
        return self.calls

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


CFG_TEXT = [7.5, 3.0, 1.0, 0.0]
CFG_IMAGE = [1.5, 1.0, 1.0, 0.9]


def make_denoiser(editor: Editor, max_rows: int | None = None) -> tuple[GuidedDenoiser, torch.Tensor, dict[str, Any]]:
    draw = torch.Generator().manual_seed(1)
    latent = torch.randn(4, 4, 8, 8, generator=draw)
    image = torch.randn(4, 4, 8, 8, generator=draw)
    text = torch.randn(4, 77, 32, generator=draw)
    null = torch.randn(1, 77, 32, generator=draw)
    denoiser = GuidedDenoiser(editor.unet, ImageLatent(image), text, null, CFG_TEXT, CFG_IMAGE, max_rows=max_rows)
    return denoiser, latent, {"image": image, "text": text, "null": null}


@pytest.mark.parametrize(("max_rows", "calls"), [(None, [8]), (3, [3, 3, 2]), (1, [1] * 8), (100, [8])])
@torch.no_grad()
def test_mixed_batch_equals_all_three_predictions(tiny_editor: Editor, max_rows: int | None, calls: list[int]) -> None:
    denoiser, latent, given_ = make_denoiser(tiny_editor, max_rows)
    t = torch.tensor(500)
    with CountRows(tiny_editor.unet) as counted:
        guided = denoiser(latent, t)
    assert counted == calls
    assert denoiser.rows == sum(calls)

    def predict(image: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        states = text.expand(4, -1, -1)
        result: torch.Tensor = tiny_editor.unet(torch.cat([latent, image], 1), t, encoder_hidden_states=states).sample
        return result

    blank = torch.zeros_like(given_["image"])
    e00, e_i0 = predict(blank, given_["null"]), predict(given_["image"], given_["null"])
    e_it = predict(given_["image"], given_["text"])
    s_t, s_i = (torch.tensor(s).view(4, 1, 1, 1) for s in (CFG_TEXT, CFG_IMAGE))
    # The scales multiply the rounding of three predictions, which differs with the rows of a call.
    torch.testing.assert_close(guided, e00 + s_i * (e_i0 - e00) + s_t * (e_it - e_i0), atol=1e-4, rtol=1e-5)


def test_counts_must_agree(tiny_editor: Editor) -> None:
    image = ImageLatent(torch.zeros(2, 4, 8, 8))
    text, null = torch.zeros(2, 77, 32), torch.zeros(1, 77, 32)
    with pytest.raises(ValueError, match="one each per item"):
        GuidedDenoiser(tiny_editor.unet, image, text, null, [1.0], [1.0, 1.0])
    with pytest.raises(UsageError, match="row"):
        GuidedDenoiser(tiny_editor.unet, image, text, null, [1.0] * 2, [1.0] * 2, max_rows=0)


@torch.no_grad()
def test_unet_with_text_as_global_modulation() -> None:
    """As nano's: the text also enters through the time embedding, row by row."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=8,
        out_channels=4,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=2,
        cross_attention_dim=32,
        encoder_hid_dim=32,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift",
    ).eval()
    latent, image = torch.randn(2, 2, 4, 8, 8)
    text, null = torch.randn(2, 77, 32), torch.randn(1, 77, 32)
    t = torch.tensor(999)
    guided = GuidedDenoiser(unet, ImageLatent(image), text, null, [1.0, 0.0], [1.0, 1.0])(latent, t)
    states = torch.stack([text[0], null[0]])
    expected = unet(torch.cat([latent, image], 1), t, encoder_hidden_states=states).sample
    torch.testing.assert_close(guided, expected, atol=1e-5, rtol=1e-5)
