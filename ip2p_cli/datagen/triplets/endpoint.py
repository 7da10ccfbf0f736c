"""The writer that asks an OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, hosted ones), many calls at once.

Each answer is appended to a file as it comes: a shard that was not finished asks only for the rest.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ip2p_cli.datagen.stages import key_of
from ip2p_cli.datagen.triplets.draft import Draft
from ip2p_cli.datagen.triplets.filters import Moderation
from ip2p_cli.datagen.triplets.http import Endpoint, RefusedError
from ip2p_cli.datagen.triplets.prompting import SCHEMA, Ask, asks_of, messages, parse
from ip2p_cli.errors import ModelError
from ip2p_cli.io.files import as_output_error, write_whole
from ip2p_cli.types import Caption

if TYPE_CHECKING:
    from ip2p_cli.datagen.triplets.stage import EndpointConfig, TripletSettings

_MODERATED_AT_ONCE = 32
_FREQUENCY_PENALTY = 0.1  # the paper's


@dataclass(frozen=True)
class Answer:
    """What came back. text: None where the endpoint refused, and `why` says so."""

    key: str
    text: str | None
    why: str = ""
    tokens_in: int = 0
    tokens_out: int = 0


class EndpointWriter:
    """Asks for a shard's triplets. folder, number: of the shard, where its answers are kept meanwhile."""

    def __init__(self, settings: TripletSettings, access: EndpointConfig, folder: Path, number: int) -> None:
        self.name = f"endpoint:{settings.model}"
        self._settings, self._access = settings, access
        self._kept = folder / f".{number:05d}.answers.jsonl"
        self._usage = folder / f"{number:05d}.usage.json"
        self._plain = False  # whether the endpoint has refused JSON schemas
        self._length = "max_tokens"  # newer hosted models have another name for it

    def drafts(self, captions: Sequence[Caption]) -> Iterator[tuple[Caption, Draft | str]]:
        """See `Writer`. Raises ModelError where the endpoint does not answer; what it said until then is kept."""
        asks = asks_of(captions, self._settings)
        answers = asyncio.run(self._all(asks))
        refused = [answer for answer in answers if answer.text is None and answer.why]
        if answers and len(refused) == len(answers):
            self._kept.unlink(missing_ok=True)
            raise ModelError(f"{self._access.url} refuses every request ({refused[0].why})")
        usage = {
            "calls": len(answers),
            "tokens_in": sum(answer.tokens_in for answer in answers),
            "tokens_out": sum(answer.tokens_out for answer in answers),
        }
        write_whole(self._usage, (json.dumps(usage) + "\n").encode(), overwrite=True)
        for ask, answer in zip(asks, answers, strict=True):
            yield ask.caption, _draft(ask, answer)

    async def _all(self, asks: Sequence[Ask]) -> list[Answer]:
        kept = _read_kept(self._kept)
        url = (self._access.url or "").rstrip("/")
        url = url if url.endswith("/chat/completions") else f"{url}/chat/completions"
        free = asyncio.Semaphore(self._access.concurrency)
        with as_output_error(self._kept), self._kept.open("a", encoding="utf-8") as file:
            async with _endpoint(url, self._access) as endpoint:
                calls = [asyncio.create_task(self._one(ask, endpoint, free, kept, file)) for ask in asks]
                try:
                    return list(await asyncio.gather(*calls))
                finally:
                    for call in calls:
                        call.cancel()
                    await asyncio.gather(*calls, return_exceptions=True)

    async def _one(
        self, ask: Ask, endpoint: Endpoint, free: asyncio.Semaphore, kept: dict[str, Answer], file: IO[str]
    ) -> Answer:
        about = [self._settings.model, self._settings.temperature, self._settings.tokens, messages(ask, as_json=True)]
        key = key_of(ask.seed, about)
        if key in kept:
            return kept[key]
        async with free:
            answer = await self._asked(ask, key, endpoint)
        file.write(json.dumps(vars(answer), ensure_ascii=False) + "\n")
        file.flush()
        return answer

    async def _asked(self, ask: Ask, key: str, endpoint: Endpoint) -> Answer:
        """The answer to one call; where a JSON schema is refused it is asked again for the paper's format."""
        while True:
            plain, length = self._plain, self._length
            try:
                return _read_answer(key, await endpoint.post(self._body(ask, plain, length)))
            except RefusedError as refused:
                if length == "max_tokens" and "max_completion_tokens" in str(refused):
                    self._length = "max_completion_tokens"
                elif plain:
                    return Answer(key, None, str(refused))
                else:
                    answer = await self._asked_plainly(ask, key, endpoint, length)
                    self._plain = self._plain or answer.text is not None
                    return answer

    async def _asked_plainly(self, ask: Ask, key: str, endpoint: Endpoint, length: str) -> Answer:
        try:
            return _read_answer(key, await endpoint.post(self._body(ask, True, length)))
        except RefusedError as refused:
            return Answer(key, None, str(refused))

    def _body(self, ask: Ask, plain: bool, length: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._settings.model,
            "messages": messages(ask, as_json=not plain),
            "temperature": self._settings.temperature,
            "frequency_penalty": _FREQUENCY_PENALTY,
            "seed": ask.seed % 2**31,
            length: self._settings.tokens,
        }
        if not plain:
            schema = {"name": "edit", "strict": True, "schema": dict(SCHEMA)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body


def moderation(access: EndpointConfig) -> Moderation:
    """What asks `access.moderation` about texts; it raises ModelError where that gives no verdict."""
    address = (access.moderation or "").rstrip("/")
    url = address if address.endswith("/moderations") else f"{address}/moderations"

    async def ask(texts: Sequence[str]) -> list[bool]:
        verdicts: list[bool] = []
        async with _endpoint(url, access) as endpoint:
            for start in range(0, len(texts), _MODERATED_AT_ONCE):
                part = list(texts[start : start + _MODERATED_AT_ONCE])
                try:
                    results = (await endpoint.post({"input": part})).get("results")
                except RefusedError as refused:
                    raise ModelError(f"{url} says {refused}") from None
                if not isinstance(results, list) or len(results) != len(part):
                    raise ModelError(f"{url} gives no verdict for each text: is it an endpoint for moderation?")
                verdicts += [not isinstance(one, dict) or one.get("flagged") is not False for one in results]
        return verdicts

    return lambda texts: asyncio.run(ask(texts))


def _endpoint(url: str, access: EndpointConfig) -> Endpoint:
    return Endpoint(url, access.key_name, timeout=access.timeout, tries=access.tries, pause=access.pause)


def _read_answer(key: str, said: dict[str, Any]) -> Answer:
    """The text of a chat completion, and its tokens."""
    usage = said.get("usage") if isinstance(said.get("usage"), dict) else {}
    counts = [(usage or {}).get(name) for name in ("prompt_tokens", "completion_tokens")]
    tokens = [count if isinstance(count, int) else 0 for count in counts]
    try:
        text = said["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        text = None
    return Answer(key, text if isinstance(text, str) else None, "", *tokens)


def _draft(ask: Ask, answer: Answer) -> Draft | str:
    if answer.text is None:
        return "refused" if answer.why else "no answer"
    found = parse(answer.text)
    if found is None:
        return "does not split in two"
    return Draft(instruction=found[0], edited_caption=found[1], kind=ask.kind)


def _read_kept(path: Path) -> dict[str, Answer]:
    """The answers of a run that stopped; the last line may be torn."""
    kept: dict[str, Answer] = {}
    try:
        data = path.read_bytes()
    except OSError:
        return kept
    if data and not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1]
        with as_output_error(path):
            path.write_bytes(data)
    for line in data.splitlines():
        try:
            answer = Answer(**json.loads(line))
        except (ValueError, TypeError):
            continue
        kept[answer.key] = answer
    return kept
