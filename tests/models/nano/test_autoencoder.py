"""Closed form: exact where it can be, the same for the same photos, latents of unit variance."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ip2p_cli.models.nano.autoencoder import PatchAutoencoder


def pictures(count: int = 6) -> list[Tensor]:
    """Smooth colours with some grain, so that the components' variances differ."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 3, 5, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (40, 48), mode="bilinear")
    return list((0.4 * smooth + 0.03 * torch.randn(count, 3, 40, 48, generator=generator)).clamp(-1, 1))


@pytest.fixture(scope="module")
def fitted() -> PatchAutoencoder:
    return PatchAutoencoder(patch_size=4, latent_channels=10).fit(pictures())


def test_round_trip_is_exact_within_the_span(fitted: PatchAutoencoder) -> None:
    latents = torch.randn(2, 10, 5, 7, generator=torch.Generator().manual_seed(1))
    picture = fitted.decode(latents).sample
    assert picture.shape == (2, 3, 20, 28)
    back = fitted.encode(picture).latent_dist
    torch.testing.assert_close(back.mode(), latents, atol=1e-4, rtol=0)
    torch.testing.assert_close(fitted.decode(back.sample()).sample, picture, atol=1e-4, rtol=0)


def test_all_components_give_everything_back() -> None:
    whole = PatchAutoencoder(patch_size=2, latent_channels=12).fit(pictures())
    photo = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    torch.testing.assert_close(whole.decode(whole.encode(photo).latent_dist.mode()).sample, photo, atol=1e-4, rtol=0)


def test_kept_components_are_the_best(fitted: PatchAutoencoder) -> None:
    """The more, the nearer; and the first of many are those of few."""
    photos = torch.stack(pictures())
    errors = []
    for channels in (1, 3, 10, 30):
        model = PatchAutoencoder(patch_size=4, latent_channels=channels).fit(pictures())
        errors.append((model.decode(model.encode(photos).latent_dist.mode()).sample - photos).square().mean().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.1 * errors[0]


def test_fit_is_deterministic_and_knows_no_order(fitted: PatchAutoencoder) -> None:
    again = PatchAutoencoder(patch_size=4, latent_channels=10).fit(pictures())
    backwards = PatchAutoencoder(patch_size=4, latent_channels=10).fit(reversed(pictures()))
    for name, weight in fitted.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight)
        torch.testing.assert_close(backwards.state_dict()[name], weight, atol=1e-5, rtol=0)


def test_latents_have_unit_variance(fitted: PatchAutoencoder) -> None:
    latents = fitted.encode(torch.stack(pictures())).latent_dist.mode()
    variances = latents.transpose(0, 1).flatten(1).var(1)
    assert variances.mean().item() == pytest.approx(1, abs=0.01)
    assert (variances.diff() <= 1e-4).all()  # half-whitened: the order of the components shows


def test_loss_weights(fitted: PatchAutoencoder) -> None:
    weights = fitted.loss_weights
    assert weights.mean().item() == pytest.approx(1, abs=1e-5)
    assert weights.argmax() == 0


def test_save_and_load(fitted: PatchAutoencoder, tmp_path: Path) -> None:
    fitted.save_pretrained(tmp_path)
    loaded = PatchAutoencoder.from_pretrained(tmp_path)
    assert loaded.config.patch_size == 4
    assert loaded.config.scaling_factor == 1.0
    for name, weight in fitted.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight)
