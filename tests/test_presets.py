"""Which settings an edit gets: flag, then preset, then model, then built-in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ip2p_cli.diffusion.guidance import coefficients
from ip2p_cli.diffusion.samplers import SAMPLERS
from ip2p_cli.errors import UsageError
from ip2p_cli.models.registry import MODELS, find_model
from ip2p_cli.presets import PRESETS, preset_settings
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditSettings, ModelSpec

NANO, FULL = MODELS["nano"], MODELS["instruct-pix2pix"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.yaml"
    monkeypatch.setenv("IP2P_CONFIG", str(path))
    return path


@pytest.mark.parametrize("spec", [NANO, FULL], ids=["nano", "full"])
def test_original_is_the_authors_command(config: Path, spec: ModelSpec) -> None:
    found = resolve(EditSettings(seed=1), spec, "original")
    assert (found.resize_mode, found.resolution, found.steps) == ("original", 512, 100)
    assert (found.sampler, found.cfg_text, found.cfg_image) == ("euler_a_original", 7.5, 1.5)


def test_flags_win_over_the_preset_and_the_preset_over_the_model(config: Path) -> None:
    found = resolve(EditSettings(seed=1, steps=7, resize_mode="pad"), FULL, "original")
    assert (found.steps, found.resize_mode, found.sampler) == (7, "pad", "euler_a_original")
    wishes = replace(FULL, defaults=EditSettings(steps=30, cfg_text=7.0, sampler="euler"))
    found = resolve(EditSettings(seed=1), wishes, "fast")
    assert found.steps == PRESETS["fast"].many.steps
    assert found.cfg_text == 7.0  # the preset says nothing about it
    assert found.resolution == 512  # nor does the model


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_every_preset_is_possible_for_every_model(config: Path, name: str, spec: ModelSpec) -> None:
    if name == "turbo" and spec is NANO:
        with pytest.raises(UsageError, match="nano takes 1 step by itself"):
            resolve(EditSettings(), spec, name)
        return
    assert resolve(EditSettings(), spec, name).sampler in SAMPLERS


def test_turbo_takes_eight_evaluations(config: Path) -> None:
    found = resolve(EditSettings(seed=1), FULL, "turbo")
    assert (found.sampler, found.steps, found.cfg_text, found.cfg_image) == ("lcm", 4, 2.0, 1.0)
    assert found.steps * len(coefficients(found.cfg_text, found.cfg_image)) == 8
    assert resolve(EditSettings(steps=3), FULL, "turbo").steps == 3


def test_turbo_is_not_for_models_that_edit_their_own_way(config: Path) -> None:
    adapter = replace(FULL, name="kontext", pipeline="FluxKontextPipeline", supports=frozenset({"steps", "seed"}))
    with pytest.raises(UsageError, match="turbo adds a LoRA, and kontext edits by its own pipeline"):
        resolve(EditSettings(), adapter, "turbo")


def test_presets_know_what_a_model_was_trained_for(config: Path) -> None:
    default = resolve(EditSettings(seed=1), NANO)
    for name in ("fast", "balanced"):  # measured: each further step leads away from the look (docs/presets.md)
        assert resolve(EditSettings(seed=1), NANO, name) == default
    steps = {name: resolve(EditSettings(), FULL, name).steps for name in ("fast", "balanced")}
    assert steps["fast"] < steps["balanced"] < resolve(EditSettings(), FULL).steps


def test_a_model_that_says_nothing_is_a_full_one(config: Path) -> None:
    assert preset_settings("fast", replace(FULL, defaults=EditSettings())) == PRESETS["fast"].many


def test_presets_of_the_config_file(config: Path) -> None:
    config.write_text("presets: {mine: {steps: 20, cfg_text: 5}, fast: {steps: 3}}\n")
    assert resolve(EditSettings(), FULL, "mine").steps == 20
    assert resolve(EditSettings(), NANO, "fast").steps == 3
    with pytest.raises(UsageError, match=r"Did you mean mine\?.*mine, fast, original"):
        resolve(EditSettings(), FULL, "mein")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("presets: 3", "mapping"),
        ("presets: {mine: 3}", "presets.mine should be a mapping"),
        ("presets: {mine: {stepz: 3}}", "Did you mean steps"),
        ("presets: {mine: {steps: many}}", "steps: .*integer"),
        ("presets: {mine: {steps: true}}", "steps: True"),
        ("presets: {mine: {cfg_text: high}}", "cfg_text: .*number"),
        ("presets: {mine: {sampler: 3}}", "sampler: .*string"),
        ("preset: {}", "Did you mean presets"),
    ],
)
def test_a_wrong_config_file_is_named(config: Path, text: str, said: str) -> None:
    config.write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        resolve(EditSettings(), NANO, "mine")
    assert str(config) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{steps: 0}", "--steps"),
        ("{fit: crpo}", "crop"),
        ("{output_size: big}", "'input' or 'model'"),
        ("{sampler: e}", "e"),
    ],
)
def test_impossible_values_of_a_preset(config: Path, text: str, said: str) -> None:
    config.write_text(f"presets: {{mine: {text}}}")
    with pytest.raises(UsageError, match=said):
        resolve(EditSettings(), NANO, "mine")


def test_unknown_names_are_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean balanced"):
        preset_settings("balance", find_model("nano"))
