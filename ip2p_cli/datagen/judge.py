"""Scores pairs with a vision-language model behind an OpenAI-compatible endpoint, as OmniEdit (arXiv:2411.07199)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ip2p_cli.datagen.openai_client import OpenAIClient, check_address, completion_text, http_library

_TIMEOUT = 120.0  # seconds
_QUESTION = (
    "The second picture was made from the first by this instruction: {instruction!r}. Judge two things: whether the "
    "instruction was followed, and whether everything else was left as it was, without flaws. Answer with JSON only: "
    '{{"score": N}}, where N is a whole number from 0 (neither) to 10 (both, perfectly).'
)


@dataclass(frozen=True, kw_only=True)
class VisionJudge:
    """A model that compares the two pictures of a pair; the key is OPENAI_API_KEY's.

    Attributes:
        url: The endpoint's base, such as "http://localhost:8000/v1". UsageError for another text, or without httpx2.
        model: The model's name at the endpoint.
        tries: How often a pair is asked about before that fails.
        pause: Seconds before the second try.
    """

    url: str
    model: str = "default"
    tries: int = 4
    pause: float = 1.0

    def __post_init__(self) -> None:
        """Check the address, and that there is what calls it."""
        check_address(self.url)
        http_library()

    def settings(self) -> dict[str, str]:
        """What the scores depend on. The address is without name, password and query, which may hold a key."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        prompt = hashlib.sha256(_QUESTION.encode()).hexdigest()[:16]
        return {"model": self.model, "url": f"{parts.scheme}://{host}{parts.path.rstrip('/')}", "prompt": prompt}

    def score(self, instruction: str, original: bytes, edited: bytes) -> float | None:
        """Score an edit.

        Args:
            instruction: The edit that was asked for.
            original: The encoded picture before.
            edited: The encoded picture after.

        Returns:
            The score, from 0 to 1; None where the answer holds none.

        Raises:
            ModelError: The endpoint does not answer.
        """
        parts: list[Mapping[str, Any]] = [{"type": "text", "text": _QUESTION.format(instruction=instruction)}]
        parts += [{"type": "image_url", "image_url": {"url": _data_uri(data)}} for data in (original, edited)]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": parts}],
            "temperature": 0,
            "max_tokens": 100,
            "response_format": {"type": "json_object"},
        }
        return score_of(completion_text(asyncio.run(self._post(body))) or "")

    async def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        client = OpenAIClient(self.url, "chat/completions", timeout=_TIMEOUT, tries=self.tries, pause=self.pause)
        async with client:
            return await client.post(body)


def score_of(answer: str) -> float | None:
    """Read the score, 0 to 1, from an answer that holds {"score": 0 to 10}; None where it holds none."""
    for text in re.findall(r"\{[^{}]*\}", answer):
        try:
            score = json.loads(text).get("score")
        except ValueError:
            continue
        if isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 10:
            return round(score / 10, 4)
    return None


def _data_uri(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "webp" if data[8:12] == b"WEBP" else "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()
