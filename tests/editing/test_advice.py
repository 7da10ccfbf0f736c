"""The advice fits the model, the settings and what went wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from ip2p_cli.editing.advice import advise, is_guided, next_scale
from ip2p_cli.models.registry import MODELS
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditSettings, ModelSpec, VerdictName

PAPER, NANO = MODELS["instruct-pix2pix"], MODELS["nano"]


def advice(verdict: VerdictName, spec: ModelSpec = PAPER, **said: Any) -> str:
    return advise(verdict, {}, resolve(EditSettings(seed=1, **said), spec), spec)


@pytest.mark.parametrize(
    ("verdict", "said", "text"),
    [
        ("no-change", {}, "lower --cfg-image to 1.2"),
        ("no-change", {"cfg_image": 3.0}, "lower --cfg-image to 1.5"),
        ("no-change", {"cfg_image": 1.0}, "raise --cfg-text to 10"),
        ("no-change", {"cfg_image": 1.0, "cfg_text": 12.0}, "try another --seed"),
        ("over-edit", {}, "raise --cfg-image to 1.9"),
        ("over-edit", {"cfg_text": 15.0}, "lower --cfg-text to 7.5"),
        ("over-edit", {"cfg_image": 1.0}, "raise --cfg-image to 1.5"),
        ("over-edit", {"cfg_image": 2.2}, "lower --cfg-text to 5.5"),
        ("off-target", {}, "try another --seed"),
        ("off-target", {"cfg_text": 3.0}, "raise --cfg-text to 7.5"),
        ("ok", {}, ""),
    ],
)
def test_one_step_from_where_the_user_is(verdict: VerdictName, said: dict[str, float], text: str) -> None:
    assert advice(verdict, **said) == text


@pytest.mark.parametrize("verdict", ["no-change", "over-edit", "off-target"])
def test_a_model_without_guidance_is_told_of_no_scale(verdict: VerdictName) -> None:
    assert not is_guided(NANO)
    assert advice(verdict, NANO) == "try another --seed"
    assert next_scale(verdict, resolve(EditSettings(seed=1), NANO), NANO) is None


@pytest.mark.parametrize("verdict", ["no-change", "over-edit", "off-target"])
def test_a_model_without_guidance_goes_back_to_its_own_scales(verdict: VerdictName) -> None:
    assert advice(verdict, NANO, cfg_text=0.2) == "raise --cfg-text to 1"
    assert advice(verdict, NANO, cfg_text=4.0, cfg_image=3.0) == "lower --cfg-text to 1"
    assert advice(verdict, NANO, cfg_image=3.0) == "lower --cfg-image to 1"


def test_only_settings_that_the_model_has_are_named() -> None:
    defaults = EditSettings(cfg_text=2.5, cfg_image=1.5)
    spec = replace(PAPER, supports=frozenset({"steps", "cfg_text", "seed"}), defaults=defaults)
    for verdict in get_args(VerdictName):
        assert "--cfg-image" not in advice(verdict, spec)
    assert advice("no-change", spec) == "raise --cfg-text to 3.3"
    without = replace(spec, supports=frozenset({"seed"}))
    assert advice("no-change", without) == "try another --seed"


def test_what_a_model_does_not_follow_is_said() -> None:
    settings = resolve(EditSettings(seed=1), NANO)
    problem = "nano was not trained for “add a cat”"
    text = advise("no-change", {}, settings, NANO, problem=problem)
    assert text == f"this model does not follow that instruction: {problem}"


def test_nothing_to_change_is_said() -> None:
    settings = resolve(EditSettings(seed=1), NANO)
    text = advise("no-change", {"expected": 0.3}, settings, NANO)
    assert text == "the photo holds nothing that this would change"


def test_the_wrong_place_asks_for_a_mask_unless_there_is_one() -> None:
    settings = resolve(EditSettings(seed=1), PAPER)
    assert advise("off-target", {"where": 0.4}, settings, PAPER) == "say where with --mask or --box"
    assert advise("off-target", {"where": 0.4}, settings, PAPER, has_mask=True) == "try another --seed"


def test_following_it_ends() -> None:
    """Whatever the verdict stays."""
    for verdict in get_args(VerdictName):
        settings = resolve(EditSettings(seed=1), PAPER)
        for _ in range(10):
            change = next_scale(verdict, settings, PAPER)
            if change is None:
                break
            settings = replace(settings, **{change[0]: change[1]})
        assert change is None
