"""What nano does with instructions that it does not know, before anything is edited."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest

from ip2p_cli.editing import unknown
from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.step_masks import step_mask
from ip2p_cli.editing.tree import EditTree, key_of
from ip2p_cli.editing.tree_plan import single_edit
from ip2p_cli.editing.unknown import InstructionResolver
from ip2p_cli.errors import LeftOutError, UnknownInstructionError
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.nano.look_matcher import KNOWN, NEAR, Closest
from ip2p_cli.models.registry import MODELS
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditSettings, MaskSettings

SIMILARITIES = {"as known": KNOWN, "as near": NEAR, "as far": NEAR - 0.01, "nearly the same": 0.95}


def tree(instruction: str, model: str = "nano") -> EditTree:
    choice = ModelChoice(spec=MODELS[model], device="cpu", known_weights="w")
    return single_edit(instruction, resolve(EditSettings(seed=1), choice.spec), choice)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Gives a model whose similarity to each instruction is in SIMILARITIES."""

    def closest(editor: Editor, instruction: str) -> Closest:
        words, _, place = instruction.partition(" in ")
        return Closest(
            similarity=SIMILARITIES[words],
            looks=("winter", "snow"),
            wordings=("make it winter", "let it snow"),
            region="sky" if place == "the sky" else None,
            unknown_region="the car" if place == "the car" else None,
            masked_region="left" if place == "the left half" else None,
            nearest="make it wintry",
        )

    monkeypatch.setattr(unknown, "closest", closest)
    return Mock(return_value=Mock(spec=Editor))


def test_known_instructions_are_done_in_words_that_nano_was_trained_with(models: Mock) -> None:
    told: list[str] = []
    asked = tree("as known")
    [step] = InstructionResolver(models, "fail", told.append).resolve(asked).tree.steps
    assert (step.instruction, step.words) == ("as known", "make it wintry")
    assert told == ["nano takes “as known” as “make it wintry”"]


def test_a_typing_error_is_no_news(models: Mock) -> None:
    told: list[str] = []
    [step] = InstructionResolver(models, "fail", told.append).resolve(tree("nearly the same")).tree.steps
    assert (step.words, told) == ("make it wintry", [])


def test_a_region_that_the_weights_know_stays_in_the_instruction(models: Mock) -> None:
    asked = tree("as known in the sky")
    assert InstructionResolver(models, "fail").resolve(asked).tree is asked


def test_wordings_need_no_model(models: Mock) -> None:
    asked = tree("make it winter")
    assert InstructionResolver(models, "fail").resolve(asked).tree is asked
    models.assert_not_called()


@pytest.mark.parametrize(
    ("instruction", "done_as"),
    [("as near", "make it winter"), ("as near in the sky", "only the sky: make it winter")],
)
def test_the_nearest_look_is_done_and_recorded(models: Mock, instruction: str, done_as: str) -> None:
    told: list[str] = []
    asked = tree(instruction)
    found = InstructionResolver(models, "do", told.append).resolve(asked)
    step = found.tree.steps[0]
    assert (step.instruction, step.words) == (instruction, done_as)
    assert found.tree.recipe()["edits"]["1"]["done_as"] == done_as
    assert key_of("photo", step, found.tree) != key_of("photo", asked.steps[0], asked)
    assert found.refusal is None
    assert len(told) == 1
    assert f"“{done_as}” instead" in told[0]
    assert found.facts(step) == {"done_as": done_as, "unknown": told[0]}


def test_what_is_far_is_done_as_asked_and_said(models: Mock) -> None:
    told: list[str] = []
    resolver = InstructionResolver(models, "do", told.append)
    assert [resolver.resolve(tree("as far")).tree.steps[0].words for _ in range(2)] == ["as far", "as far"]
    assert len(told) == 1  # once, for however many photos
    assert "would hardly change" in told[0]
    assert "“make it winter”, “let it snow”" in told[0]


def test_an_unknown_region_is_said(models: Mock) -> None:
    told: list[str] = []
    found = InstructionResolver(models, "do", told.append).resolve(tree("as known in the car"))
    assert found.tree.steps[0].words == "make it wintry"
    assert "the region “the car”" in told[0]


@pytest.mark.parametrize("instruction", ["as near", "as far", "as known in the car"])
def test_skip_and_fail_refuse(models: Mock, instruction: str) -> None:
    skipped = InstructionResolver(models, "skip").resolve(tree(instruction)).refusal
    failed = InstructionResolver(models, "fail").resolve(tree(instruction)).refusal
    assert isinstance(skipped, LeftOutError)
    assert isinstance(failed, UnknownInstructionError)
    assert not isinstance(failed, LeftOutError)
    assert "instead" not in str(failed)


def test_other_models_are_not_asked(models: Mock) -> None:
    asked = tree("as far", "instruct-pix2pix")
    found = InstructionResolver(models, "fail").resolve(asked)
    assert (found.tree, found.refusal) == (asked, None)
    models.assert_not_called()


def test_a_region_that_the_weights_do_not_keep_to_is_masked(models: Mock) -> None:
    told: list[str] = []
    resolver = InstructionResolver(models, "fail", told.append)
    [step] = resolver.resolve(tree("as known in the left half")).tree.steps
    assert step.done_as == "make it wintry"
    assert step.mask is not None
    assert step.mask.settings.region == "the left half"
    assert told == ["nano takes “as known in the left half” as “make it wintry”, in the left half"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (MaskSettings(region="the sky"), "the sky"),
        (MaskSettings(auto_mask=True), None),
        (MaskSettings(box=("0,0,10,10",), invert_mask=True), None),
        (MaskSettings(box=("0,0,10,10",)), "the left half"),
    ],
)
def test_what_the_user_says_of_the_area_comes_first(models: Mock, said: MaskSettings, expected: str | None) -> None:
    asked = tree("as known in the left half")
    [step] = asked.steps
    asked = replace(asked, paths=((replace(step, mask=step_mask(said)),),))
    [step] = InstructionResolver(models, "do").resolve(asked).tree.steps
    assert step.mask is not None
    assert step.mask.settings.region == expected
    assert step.mask.settings.box == said.box
