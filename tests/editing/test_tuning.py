"""What `--auto-tune` tries, in which order, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.tree import Step
from ip2p_cli.editing.tree_plan import single_edit
from ip2p_cli.editing.tuning import Tuned, tune
from ip2p_cli.models.registry import MODELS
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditSettings, ModelSpec, ResolvedEditSettings, Verdict, VerdictName

PAPER, NANO = MODELS["instruct-pix2pix"], MODELS["nano"]
Rule = Callable[[ResolvedEditSettings], tuple[VerdictName, float]]


def step(spec: ModelSpec, max_tries: int = 6, **said: float) -> Step:
    settings = resolve(EditSettings(seed=5, **said), spec)  # type: ignore[arg-type]
    choice = ModelChoice(spec=spec, known_weights="none")
    return single_edit("make it winter", settings, choice, max_tries=max_tries).steps[0]


def tuned(one: Step, rule: Rule) -> tuple[ResolvedEditSettings, Tuned]:
    """Tune a step whose edits are their settings."""

    def judge(made: ResolvedEditSettings, settings: ResolvedEditSettings) -> tuple[Verdict, float]:
        assert made == settings
        name, score = rule(made)
        return Verdict(name=name), score

    return tune(one, lambda settings: settings, judge)


def test_an_edit_that_is_ok_is_made_once() -> None:
    made, found = tuned(step(PAPER), lambda settings: ("ok", 0.1))
    assert made == step(PAPER).settings
    assert (found.kept, len(found.tries)) == (0, 1)


def test_scales_come_first_in_few_steps_and_the_kept_one_is_made_in_full() -> None:
    made, found = tuned(step(PAPER, steps=40), lambda one: ("ok" if one.cfg_text > 8 else "no-change", 0.5))
    assert [(one["steps"], one["cfg_image"], one["cfg_text"]) for one in found.tries] == [
        (40, 1.5, 7.5), (10, 1.2, 7.5), (10, 1.0, 7.5), (10, 1.0, 10.0), (40, 1.0, 10.0),
    ]  # fmt: skip
    assert {one["seed"] for one in found.tries} == {5}
    assert (made.steps, made.cfg_text, made.cfg_image) == (40, 10.0, 1.0)
    assert found.settings == {"steps": 40, "cfg_text": 10.0, "cfg_image": 1.0, "seed": 5}


def test_then_seeds() -> None:
    made, found = tuned(step(PAPER, 8, steps=10), lambda one: ("ok" if one.seed == 7 else "no-change", 0.5))
    assert made.seed == 7
    assert [one["seed"] for one in found.tries][-2:] == [6, 7]
    assert len({(one["cfg_text"], one["cfg_image"], one["seed"]) for one in found.tries}) == len(found.tries)


def test_without_guidance_only_seeds_are_tried() -> None:
    _, found = tuned(step(NANO, 3), lambda one: ("over-edit", 0.5))
    assert [one["seed"] for one in found.tries] == [5, 6, 7, 8]
    assert {(one["cfg_text"], one["cfg_image"], one["steps"]) for one in found.tries} == {(1.0, 1.0, 1)}


@pytest.mark.parametrize("steps", [10, 40])
def test_the_best_is_kept_where_none_is_ok(steps: int) -> None:
    scores = {1.5: 0.2, 1.2: 0.9, 1.0: 0.3}
    made, found = tuned(step(PAPER, 2, steps=steps), lambda one: ("no-change", scores[one.cfg_image]))
    assert made.cfg_image == 1.2
    assert made.steps == steps
    assert found.tries[found.kept]["score"] == 0.9


def test_the_first_is_kept_where_the_tries_are_no_better() -> None:
    made, found = tuned(step(PAPER, 2, steps=40), lambda one: ("over-edit", 0.9 if one.cfg_image == 1.5 else 0.1))
    assert (made, found.kept) == (step(PAPER, steps=40).settings, 0)


def test_no_try_is_made_twice_where_verdicts_turn() -> None:
    """Less is too little, more is too much."""
    _, found = tuned(step(PAPER, 10), lambda one: ("no-change" if one.cfg_image >= 1.5 else "over-edit", 0.5))
    tried = [(one["steps"], one["cfg_text"], one["cfg_image"], one["seed"]) for one in found.tries]
    assert len(set(tried)) == len(tried)


def test_it_comes_back_from_a_cache() -> None:
    _, found = tuned(step(NANO, 2), lambda one: ("over-edit", 0.5))
    assert Tuned.read(vars(found)) == found
    with pytest.raises(KeyError):
        Tuned.read({"kept": 0, "tries": [{}]})
