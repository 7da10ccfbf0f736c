"""What a run starts from: widened, taken as it is, or built from scratch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file

from ip2p_cli.errors import InputError, ModelError, UsageError
from ip2p_cli.io.train_recipes import TrainRecipe
from ip2p_cli.looks import Pixels
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.registry import find_model
from ip2p_cli.training.grids import draw_grid
from ip2p_cli.training.start import start_editor, widen
from ip2p_cli.training.train import train
from tests.tiny import NANO_SCHEDULER, tiny_editor, tiny_unet
from tests.train_runs import make_photos, make_recipe, make_start, silent

SCRATCH = {
    "patch_size": 4,
    "latent_channels": 4,
    "text_width": 16,
    "text_layers": 1,
    "vocabulary": 600,
    "text_steps": 2,
    "unet": {
        "sample_size": 16,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "block_out_channels": [8, 16],
        "layers_per_block": 1,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    },
    "scheduler": {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
}


@torch.no_grad()
def test_widened_unet_answers_as_before() -> None:
    torch.manual_seed(0)
    unet = tiny_unet(4).eval()
    noisy, text = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 32)
    step = torch.tensor(500)
    before = unet(noisy, step, encoder_hidden_states=text).sample
    bias, kernel = unet.conv_in.bias.clone(), unet.conv_in.weight.clone()
    widen(unet, 8)
    assert unet.config.in_channels == unet.conv_in.in_channels == 8
    assert torch.equal(unet.conv_in.bias, bias)
    assert torch.equal(unet.conv_in.weight[:, :4], kernel)
    assert not unet.conv_in.weight[:, 4:].any()
    after = unet(torch.cat([noisy, torch.randn(2, 4, 8, 8)], dim=1), step, encoder_hidden_states=text).sample
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


def test_widening_an_editing_unet_changes_nothing() -> None:
    unet = tiny_unet(8)
    before, weight = {name: value.clone() for name, value in unet.state_dict().items()}, unet.conv_in.weight
    widen(unet, 8)
    assert unet.conv_in.weight is weight
    torch.testing.assert_close(dict(unet.state_dict()), before, atol=0, rtol=0)


def test_text_to_image_models_start_but_do_not_edit(tmp_path: Path) -> None:
    folder = make_start(tmp_path / "t2i", channels=4)
    with pytest.raises(ModelError, match="text-to-image model"):
        load_editor(find_model(str(folder)), device="cpu", dtype="fp32")
    photos = make_photos(tmp_path / "photos", 2)
    stages = [{"steps": 1, "batch": 1, "shapes": [[64, 64]], "side": 64}]
    recipe = make_recipe(folder, photos, stages=stages, hold_out_every=0)
    editor = start_editor(recipe, tmp_path / "run", [], silent)
    old = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(editor.unet.conv_in.bias, old["conv_in.bias"])
    assert len(list(train(recipe, tmp_path / "run", stop=lambda: False, say=silent))) == 1
    trained = load_editor(find_model(str(tmp_path / "run" / "model")), device="cpu", dtype="fp32")
    assert trained.unet.conv_in.weight.shape[1] == 8
    assert trained.unet.conv_in.weight[:, 4:].any()  # the new channels learn


def test_from_scratch(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 3)
    stages = [{"steps": 1, "batch": 2, "shapes": [[32, 32]], "side": 32}]
    recipe = make_recipe("x", photos, start=SCRATCH, stages=stages, hold_out_every=0)
    said: list[str] = []
    list(train(recipe, tmp_path / "run", stop=lambda: False, say=said.append))
    assert "of held-out wordings classified right" in said[-2]
    assert "of regions understood" in said[-1]
    spec = find_model(str(tmp_path / "run" / "model"))
    defaults = spec.defaults
    assert (defaults.steps, defaults.cfg_text, defaults.cfg_image, defaults.sampler) == (8, 1.0, 1.0, "ddim")
    assert (defaults.resolution, spec.multiple) == (32, 8)
    editor = load_editor(spec, device="cpu", dtype="fp32")
    assert editor.scheduler_config["rescale_betas_zero_snr"]
    # Kept: a second beginning finds it.
    said.clear()
    start_editor(recipe, tmp_path / "run", [], said.append)
    assert said == []


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [("unet", {"block_out_chanels": [8]}, "block_out_chanels"), ("scheduler", {"beta": 1}, "beta")],
)
def test_impossible_settings(tmp_path: Path, part: str, settings: dict[str, object], message: str) -> None:
    recipe = make_recipe("x", tmp_path, start=SCRATCH | {part: settings})
    with pytest.raises(UsageError, match=f"not possible: .*{message}"):
        start_editor(recipe, tmp_path, [], silent)


def test_the_recipes_of_the_repository_have_their_parts() -> None:
    from ip2p_cli.io.train_recipes import read_train_recipe

    recipes = Path(__file__).parents[2] / "recipes"
    found = {path.stem: read_train_recipe(path) for path in recipes.glob("train-*.yaml")}
    assert found.keys() >= {"train-nano", "train-tiny", "train-instruct-pix2pix"}
    paper: TrainRecipe = found["train-instruct-pix2pix"]
    assert (paper.learning_rate, paper.ema_decay, paper.loss.dropout) == (1e-4, 0.9999, 0.05)
    assert paper.stages[0].batch * paper.accumulate * 8 == 1024


def test_photos_that_cannot_be_read_are_passed_over_in_grids(tmp_path: Path) -> None:
    def unreadable(side: int) -> Pixels:
        raise InputError("a.jpg is not a picture")

    def grey(side: int) -> Pixels:
        return np.full((side, side, 3), 0.5, np.float32)

    recipe = make_recipe("x", tmp_path)
    editor = tiny_editor(NANO_SCHEDULER)
    assert draw_grid(editor, recipe, [unreadable], tmp_path, 1) is None
    assert not (tmp_path / "grids").exists()
    grid = draw_grid(editor, recipe, [unreadable, grey], tmp_path, 2)
    assert grid is not None
    with PIL.Image.open(grid) as image:
        assert image.size == (128, 64)
