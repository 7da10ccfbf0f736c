"""Asks an OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, hosted ones) for triplets, many calls at once.

Each answer is appended to a file as it comes: a run that was stopped asks only for the rest.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from ip2p_cli.datagen.openai_client import OpenAIClient, RefusedError, completion_text
from ip2p_cli.datagen.stages import key_of
from ip2p_cli.datagen.triplets.draft import Draft
from ip2p_cli.datagen.triplets.filters import Moderation
from ip2p_cli.datagen.triplets.prompting import SCHEMA, Prompt, draft_of, messages, prompts_of
from ip2p_cli.datagen.triplets.settings import EndpointConfig, TripletSettings
from ip2p_cli.errors import ModelError
from ip2p_cli.io.files import as_output_error, write_whole
from ip2p_cli.types import Caption

_TEXTS_MODERATED_TOGETHER = 32
_FREQUENCY_PENALTY = 0.1  # the paper's


@dataclass(frozen=True)
class Answer:
    """An answer to a prompt. `text` is None where there is none; `why` tells why the endpoint refused."""

    key: str
    text: str | None
    why: str = ""
    tokens_in: int = 0
    tokens_out: int = 0


_ANSWER = TypeAdapter(Answer)


class EndpointWriter:
    """Asks an endpoint for the triplets of a shard.

    Args:
        settings: What the triplets depend on.
        endpoint: How the model is reached.
        answers: The file that keeps the answers until the shard is written.
        usage: The file to write the numbers of calls and tokens to.
    """

    def __init__(self, settings: TripletSettings, endpoint: EndpointConfig, answers: Path, usage: Path) -> None:
        self.name = f"endpoint:{settings.model}"
        self._settings, self._endpoint = settings, endpoint
        self._answers, self._usage = answers, usage
        self._takes_schemas = True
        self._length_name = "max_tokens"  # newer hosted models have another name for it

    def drafts(self, captions: Sequence[Caption]) -> Iterator[tuple[Caption, Draft | str]]:
        """See `Writer`. Raises ModelError where the endpoint does not answer; the answers until then are kept."""
        prompts = prompts_of(captions, self._settings)
        answers = asyncio.run(self._ask_all(prompts))
        refusals = [answer.why for answer in answers if answer.text is None and answer.why]
        if answers and len(refusals) == len(answers):
            self._answers.unlink(missing_ok=True)
            raise ModelError(f"every request failed: {refusals[0]}")
        tokens = {name: sum(getattr(answer, name) for answer in answers) for name in ("tokens_in", "tokens_out")}
        usage = {"calls": len(answers), **tokens}
        write_whole(self._usage, (json.dumps(usage) + "\n").encode(), overwrite=True)
        for prompt, answer in zip(prompts, answers, strict=True):
            if answer.text is None:
                yield prompt.caption, "refused" if answer.why else "no answer"
            else:
                yield prompt.caption, draft_of(answer.text, prompt.kind)

    async def _ask_all(self, prompts: Sequence[Prompt]) -> list[Answer]:
        kept = _read_answers(self._answers)
        free = asyncio.Semaphore(self._endpoint.concurrency)
        with as_output_error(self._answers), self._answers.open("a", encoding="utf-8") as file:
            if file.tell():
                file.write("\n")  # ends a line that was not written whole
            async with _client(self._endpoint.url, "chat/completions", self._endpoint) as client:
                calls = [asyncio.create_task(self._ask_once(p, client, free, kept, file)) for p in prompts]
                try:
                    return list(await asyncio.gather(*calls))
                finally:
                    for call in calls:
                        call.cancel()
                    await asyncio.gather(*calls, return_exceptions=True)

    async def _ask_once(
        self, prompt: Prompt, client: OpenAIClient, free: asyncio.Semaphore, kept: dict[str, Answer], file: IO[str]
    ) -> Answer:
        """The answer that was kept, or a new one, which is kept."""
        asked = [self._settings.model, self._settings.temperature, self._settings.tokens]
        key = key_of(prompt.seed, [*asked, messages(prompt, as_json=True)])
        if key in kept:
            return kept[key]
        async with free:
            answer = await self._ask(prompt, key, client)
        file.write(json.dumps(asdict(answer), ensure_ascii=False) + "\n")
        file.flush()
        return answer

    async def _ask(self, prompt: Prompt, key: str, client: OpenAIClient) -> Answer:
        """Ask for JSON by a schema; where that is refused, for the paper's format."""
        with_schema = self._takes_schemas
        while True:
            length_name = self._length_name
            try:
                answer = _answer_of(key, await client.post(self._body(prompt, with_schema, length_name)))
            except RefusedError as refused:
                if length_name == "max_tokens" and "max_completion_tokens" in str(refused):
                    self._length_name = "max_completion_tokens"
                elif with_schema:
                    with_schema = False
                else:
                    return Answer(key, None, str(refused))
            else:
                self._takes_schemas = self._takes_schemas and (with_schema or answer.text is None)
                return answer

    def _body(self, prompt: Prompt, with_schema: bool, length_name: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._settings.model,
            "messages": messages(prompt, as_json=with_schema),
            "temperature": self._settings.temperature,
            "frequency_penalty": _FREQUENCY_PENALTY,
            "seed": prompt.seed % 2**31,
            length_name: self._settings.tokens,
        }
        if with_schema:
            schema = {"name": "edit", "strict": True, "schema": dict(SCHEMA)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body


def moderation(endpoint: EndpointConfig) -> Moderation:
    """A function that asks `endpoint.moderation` which texts to drop; it raises ModelError without a verdict."""

    async def ask(texts: Sequence[str]) -> list[bool]:
        verdicts: list[bool] = []
        async with _client(endpoint.moderation, "moderations", endpoint) as client:
            for start in range(0, len(texts), _TEXTS_MODERATED_TOGETHER):
                part = list(texts[start : start + _TEXTS_MODERATED_TOGETHER])
                results = (await client.post({"input": part})).get("results")
                if not isinstance(results, list) or len(results) != len(part):
                    raise ModelError(f"{client.url} gives no verdict for each text: is it an endpoint for moderation?")
                verdicts += [not isinstance(result, dict) or result.get("flagged") is not False for result in results]
        return verdicts

    return lambda texts: asyncio.run(ask(texts))


def _client(url: str | None, route: str, endpoint: EndpointConfig) -> OpenAIClient:
    options = {name: getattr(endpoint, name) for name in ("key_name", "timeout", "tries", "pause")}
    return OpenAIClient(url or "", route, **options)


def _answer_of(key: str, reply: dict[str, Any]) -> Answer:
    usage = reply.get("usage")
    counts = [usage.get(name) if isinstance(usage, dict) else 0 for name in ("prompt_tokens", "completion_tokens")]
    return Answer(key, completion_text(reply), "", *(count if isinstance(count, int) else 0 for count in counts))


def _read_answers(path: Path) -> dict[str, Answer]:
    """The answers of a run that stopped; lines that were not written whole are skipped."""
    answers: dict[str, Answer] = {}
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(ValidationError):
            answer = _ANSWER.validate_json(line)
            answers[answer.key] = answer
    return answers
