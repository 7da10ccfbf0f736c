"""Prompts and answers: both formats come back as they were written, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ip2p_cli.datagen.triplets import TripletSettings
from ip2p_cli.datagen.triplets.prompting import (
    chat_example,
    completion,
    completion_prompt,
    messages,
    parse,
    prompts_of,
)
from ip2p_cli.types import Caption

TEXT = st.text("abcdefg ÄÖ.!?'", min_size=1, max_size=30).map(lambda t: " ".join(t.split())).filter(bool)
CAPTIONS = [Caption(key=str(n), caption=f"a lamp {n}") for n in range(60)]


@given(TEXT, TEXT)
def test_both_formats_come_back(instruction: str, edited: str) -> None:
    assert parse(completion(instruction, edited)) == (instruction, edited)
    answer = json.dumps({"instruction": instruction, "edited_caption": edited})
    assert parse(answer) == (instruction, edited)
    assert parse(f"<think>a {{b}} %% c</think>Here:\n```json\n{answer}\n```") == (instruction, edited)


@pytest.mark.parametrize(
    "answer",
    ["", "no", "a %% b %% c", "%%", " a\n%%\n\nEND", '{"instruction": "a"}', '{"instruction": 1, "edited_caption": 2}',
               "[" * 5000]
)  # fmt: skip
def test_what_does_not_split_in_two(answer: str) -> None:
    assert parse(answer) is None


@given(st.text(max_size=80))
def test_any_answer_is_borne(answer: str) -> None:
    found = parse(answer)
    assert found is None or all(found)


def test_kinds_come_round_and_prompts_differ() -> None:
    prompts = prompts_of(CAPTIONS, TripletSettings(seed=3, per_caption=1, shots=6, balance=True))
    first = [prompt.kind for prompt in prompts[:20]]
    assert len(set(first)) == 20
    assert all(sum(one.kind == prompt.kind for one in prompt.shown) >= 3 for prompt in prompts)
    assert len({completion_prompt(prompt) for prompt in prompts}) == 60
    assert len({prompt.style for prompt in prompts}) >= 5
    assert prompts == prompts_of(CAPTIONS, TripletSettings(seed=3, per_caption=1, shots=6, balance=True))
    assert prompts != prompts_of(CAPTIONS, TripletSettings(seed=4, per_caption=1, shots=6, balance=True))


def test_a_fine_tuned_model_is_asked_as_it_was_taught() -> None:
    (prompt,) = prompts_of(CAPTIONS[:1], TripletSettings(seed=0, per_caption=1, shots=0, balance=True))
    assert completion_prompt(prompt) == "a lamp 0\n##\n"
    assert chat_example("a lamp 0", "gild it", "a golden lamp")[:2] == messages(prompt, as_json=True)
    assert prompt.kind == "other"
