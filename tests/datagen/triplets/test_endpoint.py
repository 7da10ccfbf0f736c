"""The endpoint writer, against a real server: good answers, bad ones, none, and a process that dies meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ip2p_cli.datagen.stages import total_counts
from ip2p_cli.datagen.triplets import EndpointConfig, TripletSettings, write_triplets
from ip2p_cli.datagen.triplets.data_files import exemplars
from ip2p_cli.datagen.triplets.endpoint import EndpointWriter
from ip2p_cli.errors import ModelError, UsageError
from ip2p_cli.io.shards import Shards
from tests.datagen.triplets.chat_server import Reply, Said, Server, caption_of, chat, good, serving

SETTINGS = TripletSettings(writer="endpoint", model="some-model", shots=4)
KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number, size in enumerate((5, 3)):
        with Shards(folder=tmp_path / "captions").writing(number) as writer:
            for n in range(size):
                caption = f"a lamp number {n} of shard {number}"
                writer.add({"key": f"{number}-{n}", "caption": caption, "image": None})
    return tmp_path


def access(server: Server, **more: object) -> EndpointConfig:
    return replace(EndpointConfig(url=server.url, pause=0.01, tries=4, timeout=2), **more)  # type: ignore[arg-type]


def write(data: Path, server: Server, settings: TripletSettings = SETTINGS, **more: object) -> Mapping[str, int]:
    """What was dropped. Raises what went wrong in a shard."""
    markers = []
    for _, result, _ in write_triplets(data, settings, access(server, **more)):
        if isinstance(result, Exception):
            raise result
        markers.append(result)
    return total_counts(markers)


def rows(data: Path) -> list[dict[str, str]]:
    shards = Shards(folder=data / "triplets")
    return [row for number in shards.done() for row in shards.rows(number)]


def test_good_answers(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(good) as server:
        assert write(data, server, concurrency=3) == {}
    found = rows(data)
    assert [row["caption"] for row in found][:2] == ["a lamp number 0 of shard 0", "a lamp number 1 of shard 0"]
    assert all(row["edited_caption"] == row["caption"] + " in gold" for row in found)
    assert {row["writer"] for row in found} == {"endpoint:some-model"}
    assert len({row["kind"] for row in found[:5]}) == 5  # balanced: none twice in a shard before all were
    assert server.keys == {f"Bearer {KEY}"}
    assert server.most_at_once <= 3
    usage = [json.loads((data / "triplets" / f"0000{n}.usage.json").read_text()) for n in (0, 1)]
    assert usage == [{"calls": n, "tokens_in": 30 * n, "tokens_out": 10 * n} for n in (5, 3)]
    assert not list((data / "triplets").glob(".*"))
    assert not any(KEY in path.read_text() for path in data.rglob("*.json*"))


def test_prompts_differ_and_follow_from_the_seed(data: Path) -> None:
    with serving(good) as server:
        write(data, server)
    systems = {call["messages"][0]["content"] for call in server.calls}
    shown = {call["messages"][1]["content"] for call in server.calls}
    assert len(systems) > 4
    assert len(shown) > 4
    assert shown <= {one.caption for one in exemplars()}
    assert all(len(call["messages"]) == 2 + 2 * 4 for call in server.calls)
    with serving(good) as again:
        (data / "other").mkdir()
        (data / "other" / "captions").symlink_to(data / "captions")
        write(data / "other", again)
    by_caption = {caption_of(call): call for call in server.calls}
    assert all(by_caption[caption_of(call)] == call for call in again.calls)
    assert rows(data) == rows(data / "other")


def test_delimiters_where_schemas_are_refused(data: Path) -> None:
    def reply(number: int, body: dict[str, object]) -> Said:
        if "response_format" in body:
            return Said(b'{"error": "response_format is not supported"}', 400)
        return good(number, body)

    with serving(reply) as server:
        assert write(data, server, concurrency=1) == {}
    assert len(rows(data)) == 8
    assert len(server.calls) == 8 + 2  # a refusal a shard, not one a caption


def answers(by_lamp: dict[str, Said]) -> Reply:
    def reply(number: int, body: dict[str, object]) -> Said:
        lamp = caption_of(body).split()[3]
        return by_lamp.get(lamp) or good(number, body)

    return reply


def test_bad_answers_are_counted(data: Path) -> None:
    bad = answers({
        "0": chat("As a language model I cannot see pictures."),
        "1": chat("a %% b %% c\nEND"),
        "2": chat('{"instruction": "wait", "edited_caption": "A lamp number 2 of shard 0!"}'),
        "3": Said(b'{"error": "content policy"}', 400),
        "4": Said(b'{"choices": []}'),
    })  # fmt: skip
    with serving(bad) as server:
        (_, marker, _), _ = write_triplets(data, SETTINGS, access(server))
    assert not isinstance(marker, Exception)
    assert marker.counts == {"does not split in two": 2, "caption unchanged": 1, "refused": 1, "no answer": 1}


def test_a_busy_endpoint_is_asked_again(data: Path) -> None:
    def reply(number: int, body: dict[str, object]) -> Said:
        if number == 1:
            return Said(b"slow down", 429, {"Retry-After": "0.6"})
        if number == 2:
            return Said(b"oops", 503)
        return Said(b"<html>", 200) if number == 3 else good(number, body)

    with serving(reply) as server:
        assert write(data, server, concurrency=1) == {}
    assert len(rows(data)) == 8
    assert len(server.calls) == 8 + 3
    assert server.times[1] - server.times[0] >= 0.6


def test_a_timeout_is_asked_again(data: Path) -> None:
    slow = [0]

    def reply(number: int, body: dict[str, object]) -> Said:
        said = good(number, body)
        said.wait = 0.6 if number == 1 else 0
        slow[0] += 1
        return said

    with serving(reply) as server:
        assert write(data, server, timeout=0.2) == {}
    assert len(rows(data)) == 8
    assert slow[0] == 9


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            Said(b'{"error": "bad key sk-very-secret"}', 401),
            r"401: .*bad key ….*a key is not accepted: set OPENAI_API_KEY",
        ),
        (Said(b"no such model", 404), "404: no such model: check the address and the model's name"),
        (Said(b"busy", 500), r"does not answer \(500: busy\) after 4 tries"),
        (Said(b"no", 400), r"every request failed: .*/chat/completions refuses the request \(400: no\)"),
        (Said(b"x" * (5 << 20)), "gives more than 4 MB"),
    ],
)
def test_what_fails_writes_no_shard(data: Path, monkeypatch: pytest.MonkeyPatch, said: Said, message: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(lambda number, body: said) as server, pytest.raises(ModelError, match=message):
        write(data, server)
    assert rows(data) == []


def test_nobody_listens(data: Path) -> None:
    with pytest.raises(ModelError, match="does not answer"):
        write(data, Server("http://127.0.0.1:9/v1"))
    with pytest.raises(UsageError, match="is not a web address"):
        write(data, Server("ftp://x"))


def test_answers_are_kept_when_the_endpoint_goes_away(data: Path) -> None:
    def dying(number: int, body: dict[str, object]) -> Said:
        return good(number, body) if number <= 3 else Said(b"gone", 404)

    with serving(dying) as server, pytest.raises(ModelError):
        write(data, server, concurrency=1)
    kept = data / "triplets" / ".00000.answers.jsonl"
    assert len(kept.read_text().splitlines()) == 3
    kept.write_text(kept.read_text() + '{"key": "torn')
    with serving(good) as server:
        write(data, server)
    assert len(server.calls) == 5 + 3 - 3
    assert len(rows(data)) == 8
    assert not kept.exists()


@pytest.mark.parametrize("verdicts", ["one", "none"])
def test_moderation(data: Path, verdicts: str) -> None:
    def reply(number: int, body: dict[str, object]) -> Said:
        texts = body["input"]
        assert isinstance(texts, list)
        flags = [{"flagged": "number 2" in text} for text in texts]
        return Said(json.dumps({"results": flags if verdicts == "one" else []}).encode())

    settings = TripletSettings(moderate=True)
    with serving(reply) as server:
        if verdicts == "none":
            with pytest.raises(ModelError, match="no verdict"):
                write(data, server, settings, moderation=server.url)
        else:
            assert write(data, server, settings, moderation=server.url) == {"moderation": 2}
            assert len(rows(data)) == 6


@pytest.mark.slow
def test_kill_9_asks_no_answer_twice(data: Path) -> None:
    def slow(number: int, body: dict[str, object]) -> Said:
        said = good(number, body)
        said.wait = 0.1
        return said

    with serving(slow) as server:
        words = ["gen-data", "triplets", str(data), "--writer", "endpoint", "--url", server.url, "--llm", "some-model"]
        words += ["--shots", "4", "--concurrency", "1"]
        process = subprocess.Popen([sys.executable, "-m", "ip2p_cli", *words], stderr=subprocess.PIPE)
        until = time.monotonic() + 30
        while len(server.calls) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        before = len(server.calls)
        done = subprocess.run([sys.executable, "-m", "ip2p_cli", *words, "--price-in", "2"], check=True,
                              capture_output=True, text=True)  # fmt: skip
    assert 3 <= before < 8
    assert len(server.calls) <= 8 + 1  # the one that was under way
    assert re.search(r"8 calls, 240 tokens in, 80 out, cost 0.0005", done.stderr)
    assert len(rows(data)) == 8


def test_newer_models_name_the_length_otherwise(data: Path, tmp_path: Path) -> None:
    def reply(number: int, body: dict[str, object]) -> Said:
        if "max_tokens" in body:
            return Said(b"Unsupported parameter: use max_completion_tokens instead", 400)
        return good(number, body)

    with serving(reply) as server:
        assert write(data, server) == {}
    assert (
        EndpointWriter(SETTINGS, EndpointConfig(url="http://x"), tmp_path / "a", tmp_path / "b").name
        == "endpoint:some-model"
    )
