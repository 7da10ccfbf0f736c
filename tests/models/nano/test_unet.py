"""nano's UNet computes the change of the photo, whatever the sampler asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler

from ip2p_cli.diffusion.loss import add_noise, prediction_target
from ip2p_cli.diffusion.samplers import SAMPLERS, make_scheduler
from ip2p_cli.models.nano.unet import ResidualUNet, cumulative_alphas

SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "rescale_betas_zero_snr": True}
SHAPE = {
    "sample_size": 8,
    "in_channels": 8,
    "out_channels": 4,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
    "cross_attention_dim": 16,
}


def small_unet(change: float | None = 0.0) -> ResidualUNet:
    torch.manual_seed(0)
    unet = ResidualUNet(**SHAPE)
    unet.register_to_config(noise_schedule=SCHEDULE, noise_offset=0.5)
    if change is not None:
        torch.nn.init.zeros_(unet.conv_out.weight)
        torch.nn.init.constant_(unet.conv_out.bias, change)
    return unet.eval()


@torch.no_grad()
@pytest.mark.parametrize("change", [0.0, 0.3])
@pytest.mark.parametrize("step", [999, 700, 120])
def test_the_velocity_belongs_to_the_photo_and_its_change(step: int, change: float) -> None:
    photo, noise, text = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.randn(2, 5, 16)
    alphas = cumulative_alphas(SCHEDULE)[torch.tensor([step, step])]
    noisy = add_noise(photo + change, noise, alphas)
    output = small_unet(change)(torch.cat([noisy, photo], dim=1), torch.tensor(step), text).sample
    torch.testing.assert_close(
        output, prediction_target(photo + change, noise, alphas, "v_prediction"), atol=2e-4, rtol=0
    )


@torch.no_grad()
@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("steps", [1, 4])
def test_samplers_give_the_photo_where_nothing_changes(sampler: str, steps: int) -> None:
    from ip2p_cli.diffusion.editing import run

    photo = torch.randn(1, 4, 8, 8)
    config = {**SCHEDULE, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    config |= {"num_train_timesteps": 1000, "clip_sample": False, "set_alpha_to_one": False}
    unet, text = small_unet(), torch.randn(1, 5, 16)
    scheduler = make_scheduler(sampler, config, steps)
    result = run(
        scheduler,
        lambda x, t: unet(torch.cat([x, photo], dim=1), t, text).sample,
        torch.randn(1, 4, 8, 8),
    )
    assert (result - photo).abs().mean() < 0.15


def test_config_and_weights_survive_a_round_trip(tmp_path: Path) -> None:
    unet = small_unet(0.2)
    unet.save_pretrained(tmp_path)
    again = ResidualUNet.from_pretrained(tmp_path)
    assert again.config["noise_schedule"] == SCHEDULE
    assert again.config["noise_offset"] == 0.5
    x, t, text = torch.randn(1, 8, 8, 8), torch.tensor(500), torch.randn(1, 5, 16)
    assert torch.equal(unet(x, t, text).sample, again.eval()(x, t, text).sample)
    assert torch.equal(unet(x, t, text).sample, unet(x, t, text, return_dict=False)[0])


def test_alphas_equal_the_samplers() -> None:
    assert torch.equal(cumulative_alphas(SCHEDULE), DDIMScheduler(**SCHEDULE).alphas_cumprod)


def test_alphas_between_timesteps() -> None:
    unet, alphas = small_unet(), cumulative_alphas(SCHEDULE)
    torch.testing.assert_close(unet._alpha_at(torch.tensor(10.5)), (alphas[10] + alphas[11]) / 2)
    assert unet._alpha_at(torch.tensor(999)) == alphas[999]
