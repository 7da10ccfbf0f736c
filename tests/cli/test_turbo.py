"""`--preset turbo`: its LoRA from the hub's cache or a file, its evaluations, its record, and where it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ip2p_cli.api import Editor
from ip2p_cli.editing.model_choice import ModelChoice, with_preset
from ip2p_cli.errors import UsageError
from ip2p_cli.models.known_loras import FILE, LORAS
from ip2p_cli.models.registry import MODELS, find_model
from ip2p_cli.types import EditSettings, Lora
from tests.cli.ip2p import Run, pixels, some_photo

NAME = "lcm-lora-sdv1-5"
LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


def write_lora(path: Path) -> Path:
    """A LoRA for the tiny model."""
    generator = torch.Generator().manual_seed(0)
    down, up = torch.randn(2, 2, 16, generator=generator)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({f"{LAYER}.lora_down.weight": down, f"{LAYER}.lora_up.weight": up.T.contiguous()}, path)
    return path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache: empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def into_cache(hub: Path) -> Path:
    """Put the LoRA where the hub's client would."""
    repository = hub / ("models--" + LORAS[NAME].source.replace("/", "--"))
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    return write_lora(repository / "snapshots" / ("a" * 40) / FILE)


@pytest.fixture
def like_sd15(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tiny model pass as one of Stable Diffusion 1.5's shape."""
    monkeypatch.setattr("ip2p_cli.models.known_loras._TEXT_WIDTH", 32)


def rows_of_unet(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each call of a UNet from here on."""
    from diffusers import UNet2DConditionModel

    rows: list[int] = []
    forward = UNet2DConditionModel.forward

    def counted(self: Any, sample: torch.Tensor, *args: Any, **more: Any) -> Any:
        rows.append(len(sample))
        return forward(self, sample, *args, **more)

    monkeypatch.setattr(UNet2DConditionModel, "forward", counted)
    return rows


def test_a_lora_from_a_file(ip2p: Run, photo: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lora(Path("my.safetensors"))
    rows = rows_of_unet(monkeypatch)
    words = ("edit", photo, "make it winter", "--model", tiny_folder, "--seed", 3, "--resolution", 64)
    words = (*words, "--preset", "turbo", "--lora", "my.safetensors")
    done = ip2p(*words, "-o", "a.png", "--json", tiny=False)
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert (record["sampler"], record["steps"], record["cfg_text"], record["cfg_image"]) == ("lcm", 4, 2.0, 1.0)
    assert record["loras"] == ["my.safetensors:1"]
    assert rows == [2] * 4  # e(I,0) and e(I,T) alone: 8 evaluations
    again = ip2p("replay", "a.png", "-o", "b.png", "--lora", "my.safetensors", "--model", tiny_folder, tiny=False)
    assert "the same pixels" in again.err
    assert (pixels("a.png") == pixels("b.png")).all()


@pytest.mark.usefixtures("like_sd15")
def test_the_named_lora_is_taken_from_the_cache(ip2p: Run, photo: Path, tiny_folder: Path, hub: Path) -> None:
    words = ("edit", photo, "make it winter", "--model", tiny_folder, "--seed", 3, "--resolution", 64)
    words = (*words, "--preset", "turbo")
    done = ip2p(*words, "-o", "a.png", tiny=False)
    assert done.code != 0
    assert f"ip2p models pull {NAME}" in done.err
    assert "--lora FILE" in done.err
    planned = ip2p(*words, "-o", "a.png", "--dry-run", tiny=False)
    assert planned.code == 0, planned.err
    file = into_cache(hub)
    done = ip2p(*words, "-o", "a.png", "--json", tiny=False)
    assert done.code == 0, done.err
    assert json.loads(done.out)["loras"] == [f"{NAME}:1"]
    again = ip2p("replay", "a.png", "-o", "b.png", "--model", tiny_folder, tiny=False)  # it needs no --lora
    assert "the same pixels" in again.err
    by_file = ip2p(*words, "--lora", file, "-o", "c.png", tiny=False)
    assert by_file.code == 0, by_file.err
    assert (pixels("a.png") == pixels("c.png")).all()
    plain = ip2p(*words[:-2], "--steps", 4, "--sampler", "lcm", "-o", "d.png", tiny=False)
    assert plain.code == 0, plain.err
    assert (pixels("a.png") != pixels("d.png")).any()
    more = ip2p("variants", "--seeds", 1, "-o", "v", tiny=False)  # takes up the last edit, without the LoRA
    assert more.code == 0, more.err


def test_models_says_what_it_is_and_pulls_it(ip2p: Run, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = ip2p("models", "list", tiny=False)
    [line] = [line for line in listed.out.splitlines() if line.startswith(NAME)]
    assert "135 MB" in line
    assert "not here" in line
    offline = ip2p("models", "pull", NAME, tiny=False)
    assert offline.code != 0
    monkeypatch.delenv("IP2P_OFFLINE")
    monkeypatch.setattr("ip2p_cli.models.known_loras.download", lambda *_: into_cache(hub).parent)
    pulled = ip2p("models", "pull", NAME, tiny=False)
    assert pulled.code == 0, pulled.err
    assert "135 MB" in pulled.err
    assert "Open RAIL++-M" in pulled.err
    assert FILE in pulled.out
    assert FILE in ip2p("models", "path", NAME, tiny=False).out


def test_refused_in_one_line(ip2p: Run, photo: Path, tiny_folder: Path) -> None:
    for model, said in (("nano", "nano takes 1 step by itself"), (tiny_folder, "another shape than")):
        done = ip2p("edit", photo, "winter", "--model", model, "--preset", "turbo", "-o", "a.png", tiny=False)
        assert done.code == UsageError.exit_code
        assert said in done.err
        assert len(done.err.strip().splitlines()) == 1


def test_which_models_the_named_lora_may_fit() -> None:
    for name in ("instruct-pix2pix", "magicbrush", "hq-edit"):
        assert with_preset(ModelChoice(spec=MODELS[name]), "turbo").loras == (Lora(path=Path(NAME)),)
    mine = Lora(path=Path("xl.safetensors"))
    xl = ModelChoice(spec=MODELS["sdxl-instruct-pix2pix"])
    with pytest.raises(UsageError, match=r"another shape than Stable Diffusion 1\.5: give an LCM-LoRA"):
        with_preset(xl, "turbo")
    chosen = ModelChoice(spec=xl.spec, loras=(mine,))
    assert with_preset(chosen, "turbo") == chosen
    assert with_preset(xl, "fast") == xl


@pytest.mark.usefixtures("like_sd15")
def test_from_python_the_lora_is_given_when_the_model_is_loaded(tiny_folder: Path, tmp_path: Path) -> None:
    settings = EditSettings(seed=1, resolution=64)
    with pytest.raises(UsageError, match=r'loras=\["lcm-lora-sdv1-5"\]'):
        Editor.load(str(tiny_folder)).edit(some_photo(), "winter", settings, preset="turbo")
    editor = Editor.load(str(tiny_folder), loras=[str(write_lora(tmp_path / "my.safetensors"))])
    assert editor.edit(some_photo(), "winter", settings, preset="turbo").request.settings.sampler == "lcm"
    assert find_model(str(tiny_folder)).defaults.sampler != "lcm"
