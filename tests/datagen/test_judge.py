"""The judge, asked over HTTP at a real server of this machine."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from ip2p_cli.datagen.judge import VisionJudge, score_of
from ip2p_cli.errors import ModelError, UsageError
from tests.answering import Answers, serving
from tests.gen_pairs import two_pictures


@pytest.fixture
def server() -> Iterator[Answers]:
    with serving() as made:
        yield made


def judge_at(server: Answers) -> VisionJudge:
    return VisionJudge(url=f"http://127.0.0.1:{server.server_port}/v1", model="eyes", tries=3, pause=0)


def test_what_is_asked(server: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    original, edited = two_pictures(1, 30)
    assert judge_at(server).score("make it blue", original, edited) == 0.8
    ((path, key, body),) = server.asked
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer a key", "eyes")
    text, *pictures = body["messages"][0]["content"]
    assert "make it blue" in text["text"]
    sent = [base64.b64decode(one["image_url"]["url"].removeprefix("data:image/jpeg;base64,")) for one in pictures]
    assert sent == [original, edited]


def test_tried_again_and_given_up(server: Answers) -> None:
    server.codes = [503, 429]
    assert judge_at(server).score("x", b"a", b"b") == 0.8
    server.codes = [401]
    with pytest.raises(ModelError, match=r"401.*a key is"):
        judge_at(server).score("x", b"a", b"b")
    assert len(server.asked) == 4
    server.codes = [500] * 9
    with pytest.raises(ModelError, match=r"500.*after 3 tries"):
        judge_at(server).score("x", b"a", b"b")


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ('{"score": 10}', 1.0),
        ('Well. ```json\n{"score": 2.5, "why": "no"}\n```', 0.25),
        ('{"score": 11}', None),
        ('{"score": true}', None),
        ('{"score": "7"}', None),
        ("seven", None),
        ("{nonsense} {}", None),
    ],
)
def test_answers(answer: str, score: float | None) -> None:
    assert score_of(answer) == score


def test_no_address() -> None:
    with pytest.raises(UsageError, match="file:///etc/passwd is not a web address"):
        VisionJudge(url="file:///etc/passwd")
