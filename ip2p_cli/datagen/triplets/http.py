"""Calls of an HTTP endpoint that speaks JSON: bounded, retried with back-off, and the key never shown."""

from __future__ import annotations

import asyncio
import email.utils
import importlib
import json
import os
import random
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ip2p_cli.errors import ModelError, UsageError
from ip2p_cli.io.names import printable

_MAX_ANSWER = 4 << 20  # bytes
_LONGEST_WAIT = 120.0  # seconds
_AGAIN = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))


class RefusedError(Exception):
    """The endpoint does not take this request (400, 413, 422): another one may be taken. Its text says why."""


class Endpoint:
    """An address to send JSON to; an asynchronous context. pause: seconds before the first repetition, then doubled.

    Raises UsageError for what is no web address, and where the HTTP library is not installed.
    """

    def __init__(self, url: str, key_name: str, *, timeout: float, tries: int, pause: float) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise UsageError(f"{printable(url)} is no web address: give one such as http://localhost:8000/v1")
        try:
            self._http: Any = importlib.import_module("httpx2")
        except ImportError:
            raise UsageError("this needs httpx2, which is not installed: pip install 'ip2p[llm]'") from None
        self._url, self._tries, self._pause = url, tries, pause
        self._key_name, self._key = key_name, os.environ.get(key_name, "").strip()
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = self._http.AsyncClient(headers=headers, timeout=timeout)

    async def __aenter__(self) -> Endpoint:  # noqa: D105
        return self

    async def __aexit__(self, *_: object) -> None:  # noqa: D105
        await self._client.aclose()

    async def post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to `body`. Raises RefusedError, and ModelError once repeating does not help."""
        said = ""
        for attempt in range(self._tries):
            wait = min(_LONGEST_WAIT, self._pause * 2**attempt) * (1 + random.random() / 4)
            try:
                status, headers, data = await self._send(body)
            except self._http.TransportError as error:
                said = type(error).__name__
            else:
                if status == 200:
                    answer = _object(data)
                    if answer is not None:
                        return answer
                    said = "the answer is no JSON object"
                else:
                    said = f"{status}: {self._shown(data)}"
                    self._check(status, said)
                    wait = max(wait, _retry_after(headers))
            if attempt + 1 < self._tries:
                await asyncio.sleep(wait)
        raise ModelError(f"{self._url} does not answer ({said}) after {self._tries} tries")

    async def _send(self, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        async with self._client.stream("POST", self._url, json=body) as response:
            data = bytearray()
            async for piece in response.aiter_bytes():
                data += piece
                if len(data) > _MAX_ANSWER:
                    raise ModelError(f"{self._url} gives more than {_MAX_ANSWER >> 20} MB: is it the right address?")
            return response.status_code, response.headers, bytes(data)

    def _check(self, status: int, said: str) -> None:
        """Raise what repeating cannot mend."""
        if status in (400, 413, 422):
            raise RefusedError(said)
        if status in (401, 403):
            there = "is not taken" if self._key else "is needed"
            raise ModelError(f"{self._url} says {said}: a key {there}: set {self._key_name}")
        if status not in _AGAIN:
            raise ModelError(f"{self._url} says {said}: check the address and the model's name")

    def _shown(self, data: bytes) -> str:
        text = " ".join(data[:2000].decode("utf-8", "replace").split())
        return printable(text.replace(self._key, "…") if self._key else text)[:200]


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the header asks to wait: a number or a date."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(_LONGEST_WAIT, max(0.0, seconds)) if seconds == seconds else 0.0
