"""nano's UNet computes the change of the photo, whatever the sampler asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler

from ip2p_cli.diffusion.loss import add_noise, prediction_target
from ip2p_cli.diffusion.samplers import SAMPLERS, make_scheduler
from ip2p_cli.models.nano.unet import ResidualUNet, cumulative_alphas, places

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


def small_unet(shift: float | None = 0.0, gain: float = 0.0, **config: int) -> ResidualUNet:
    """A UNet whose layers compute `shift` and `gain` everywhere; with random weights where `shift` is None."""
    torch.manual_seed(0)
    unet = ResidualUNet(**SHAPE, **config)
    unet.register_to_config(noise_schedule=SCHEDULE, noise_offset=0.5)
    if shift is not None:
        torch.nn.init.zeros_(unet.conv_out.weight)
        with torch.no_grad():
            unet.conv_out.bias.zero_()
            unet.conv_out.bias[:8] = torch.tensor([gain, shift]).repeat_interleave(4)
    return unet.eval()


@torch.no_grad()
@pytest.mark.parametrize(("shift", "gain"), [(0.0, 0.0), (0.3, 0.0), (0.3, -2.0)])
@pytest.mark.parametrize("step", [999, 700, 120])
def test_the_velocity_belongs_to_the_photo_and_its_change(step: int, shift: float, gain: float) -> None:
    photo, noise, text = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.randn(2, 5, 16)
    alphas = cumulative_alphas(SCHEDULE)[torch.tensor([step, step])]
    edited = photo + gain * photo + shift
    noisy = add_noise(edited, noise, alphas)
    output = small_unet(shift, gain)(torch.cat([noisy, photo], dim=1), torch.tensor(step), text).sample
    torch.testing.assert_close(output, prediction_target(edited, noise, alphas, "v_prediction"), atol=4e-4, rtol=0)


@torch.no_grad()
def test_a_crop_with_its_places_differs_from_a_whole_picture() -> None:
    unet, sample, text = small_unet(None), torch.randn(1, 8, 8, 8), torch.randn(1, 5, 16)
    whole = unet(sample, torch.tensor(999), text).sample
    same = unet(sample, torch.tensor(999), text, cells=places(8, 8)[None]).sample
    upper_left = unet(sample, torch.tensor(999), text, cells=places(16, 16)[None, :, :8, :8]).sample
    assert torch.equal(whole, same)
    assert (upper_left - whole).abs().max() > 1e-3


def test_places_are_the_middles_of_cells() -> None:
    rows, columns = places(2, 4)
    assert rows.tolist() == [[-0.5] * 4, [0.5] * 4]
    assert columns.tolist() == [[-0.75, -0.25, 0.25, 0.75]] * 2


@torch.no_grad()
def test_the_mean_of_the_noise_reaches_every_layer() -> None:
    unet, text = small_unet(None, time_cond_proj_dim=4), torch.randn(1, 5, 16)
    torch.nn.init.zeros_(unet.conv_in.weight)  # the noise is read by no other way
    photo, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    noise = noise - noise.mean((2, 3), keepdim=True)

    def change(offset: float) -> torch.Tensor:
        output: torch.Tensor = unet(torch.cat([noise + offset, photo], dim=1), torch.tensor(999), text).sample
        return output

    assert (change(0.5) - change(-0.5)).abs().max() > 1e-3


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


@torch.no_grad()
def test_features_of_the_noise_come_in_where_gates_are_open() -> None:
    unet, photo, text = small_unet(0.0), torch.zeros(1, 4, 8, 8), torch.randn(1, 5, 16)
    first, second = torch.randn(2, 1, 4, 8, 8)

    def drawn(noise: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = unet(torch.cat([noise, photo], dim=1), torch.tensor(999), text).sample
        return -output  # at the last timestep the velocity is -x_0

    assert torch.equal(drawn(first), drawn(second))
    unet.conv_out.bias[8:] = 1
    assert (drawn(first) - drawn(second)).abs().mean() > 0.01
    flake = torch.zeros(1, 4, 8, 8)
    flake[..., 2, 5] = 3
    changed = (drawn(flake) - drawn(torch.zeros_like(flake))).abs().sum(1)[0]
    near = changed[:6, 2:].mean()
    assert near > 3 * changed[6:].mean()  # local, but for the mean of the noise


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
