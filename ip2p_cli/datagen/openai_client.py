"""A client of OpenAI-compatible endpoints: bounded answers, one rule for repeating, and a key that is never shown."""

from __future__ import annotations

import asyncio
import email.utils
import importlib
import math
import os
import random
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ip2p_cli.errors import ModelError, UsageError
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import read_object

KEY_NAME = "OPENAI_API_KEY"  # the environment variable that hosted endpoints want
_MAX_ANSWER = 4 << 20  # bytes
_LONGEST_WAIT = 120.0  # seconds
_REPEATED = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))


class RefusedError(ModelError):
    """The endpoint does not take this request (400, 413, 422): it may take another one."""


class OpenAIClient:
    """Posts JSON to one address; an asynchronous context.

    Args:
        url: The endpoint's base, such as "http://localhost:8000/v1".
        route: What follows it, such as "chat/completions".
        key_name: The environment variable that holds the key, if any.
        timeout: Seconds to wait for an answer.
        tries: How often a request is sent before it fails.
        pause: Seconds before a request is sent again; doubled each time, longer where `Retry-After` says so.

    Raises:
        UsageError: `url` is not a web address, or the HTTP library is not installed.
    """

    def __init__(
        self, url: str, route: str, *, key_name: str = KEY_NAME, timeout: float = 60, tries: int = 6, pause: float = 0.5
    ) -> None:
        check_address(url)
        self._http = http_library()
        self.url = url if url.endswith(f"/{route}") else f"{url.rstrip('/')}/{route}"
        self._tries, self._pause = tries, pause
        self._key_name, self._key = key_name, os.environ.get(key_name, "").strip()
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = self._http.AsyncClient(headers=headers, timeout=timeout)

    async def __aenter__(self) -> OpenAIClient:
        """Return the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request until it is answered.

        Raises:
            RefusedError: The endpoint does not take this request.
            ModelError: The endpoint does not answer, or cannot be used.
        """
        problem, wait = "", 0.0
        for attempt in range(self._tries):
            if attempt:
                await asyncio.sleep(wait)
            wait = min(_LONGEST_WAIT, self._pause * 2**attempt) * (1 + random.random() / 4)
            try:
                status, headers, data = await self._send(body)
            except self._http.TransportError as error:
                problem = type(error).__name__
                continue
            if status == 200:
                try:
                    return read_object(data)
                except (ValueError, RecursionError):
                    problem = "the answer is not a JSON object"
                    continue
            problem = f"{status}: {self._without_key(data)}"
            if status not in _REPEATED:
                raise self._final_error(status, problem)
            wait = max(wait, _retry_after(headers))
        raise ModelError(f"{self.url} does not answer ({problem}) after {self._tries} tries: see that it runs")

    async def _send(self, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        async with self._client.stream("POST", self.url, json=body) as response:
            data = bytearray()
            async for piece in response.aiter_bytes():
                data += piece
                if len(data) > _MAX_ANSWER:
                    raise ModelError(f"{self.url} gives more than {_MAX_ANSWER >> 20} MB: is it the right address?")
            return response.status_code, response.headers, bytes(data)

    def _final_error(self, status: int, problem: str) -> ModelError:
        """The error for a status that repeating does not change."""
        if status in (400, 413, 422):
            return RefusedError(f"{self.url} refuses the request ({problem})")
        if status in (401, 403):
            why = "is not accepted" if self._key else "is needed"
            return ModelError(f"{self.url} says {problem}: a key {why}: set {self._key_name}")
        return ModelError(f"{self.url} says {problem}: check the address and the model's name")

    def _without_key(self, data: bytes) -> str:
        text = " ".join(data[:2000].decode("utf-8", "replace").split())
        return printable(text.replace(self._key, "…") if self._key else text)[:200]


def http_library() -> Any:
    """Import httpx2; raises UsageError where it is not installed."""
    try:
        return importlib.import_module("httpx2")
    except ImportError:
        raise UsageError("an endpoint needs httpx2, which is not installed: pip install 'ip2p[llm]'") from None


def check_address(url: str) -> None:
    """Raise UsageError where `url` is not a web address."""
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise UsageError(f"{printable(url)} is not a web address: give one such as http://localhost:8000/v1")


def completion_text(answer: Mapping[str, Any]) -> str | None:
    """The text of a chat completion; None where it has none."""
    try:
        text = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return None
    return text if isinstance(text, str) else None


def _retry_after(headers: Mapping[str, str]) -> float:
    """The seconds that the header asks to wait, given as a number or a date."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return 0.0
    return 0.0 if math.isnan(seconds) else min(_LONGEST_WAIT, max(0.0, seconds))
