"""A judge of pairs: a model with eyes behind an OpenAI-compatible endpoint, as OmniEdit filters (arXiv:2411.07199)."""

from __future__ import annotations

import base64
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ip2p_cli.errors import ModelError, UsageError

KEY = "OPENAI_API_KEY"  # the environment variable that hosted endpoints want
_WAITS = (1.0, 4.0, 15.0)  # seconds before another try
_TIMEOUT = 120.0
_MAX_ANSWER = 1 << 20
_QUESTION = (
    "The second picture was made from the first by this instruction: {instruction!r}. Judge two things: whether the "
    "instruction was followed, and whether everything else was left as it was, without flaws. Answer with JSON only: "
    '{{"score": N}}, where N is a whole number from 0 (neither) to 10 (both, perfectly).'
)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """url: the endpoint's base, "http://localhost:8000/v1". model: its name there."""

    url: str
    model: str = "default"
    waits: tuple[float, ...] = _WAITS

    def __post_init__(self) -> None:
        """Raise UsageError for what is no web address."""
        if not re.match(r"https?://[^\s/]+", self.url):
            raise UsageError(f"--judge {self.url}: give an address, for example http://localhost:8000/v1")

    def score(self, instruction: str, original: bytes, edited: bytes) -> float | None:
        """0 to 1; None where the answer holds no score. Raises ModelError where the endpoint does not answer."""
        parts: list[Mapping[str, Any]] = [{"type": "text", "text": _QUESTION.format(instruction=instruction)}]
        parts += [{"type": "image_url", "image_url": {"url": _uri(data)}} for data in (original, edited)]
        answer = self._ask(
            {
                "model": self.model,
                "messages": [{"role": "user", "content": parts}],
                "temperature": 0,
                "max_tokens": 100,
                "response_format": {"type": "json_object"},
            }
        )
        return score_of(answer)

    def _ask(self, question: Mapping[str, Any]) -> str:
        address = self.url.rstrip("/") + "/chat/completions"
        headers = {"Content-Type": "application/json"}
        if os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {os.environ[KEY]}"
        request = urllib.request.Request(address, json.dumps(question).encode(), headers)
        for wait in (*self.waits, None):
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
                    found = json.loads(answer.read(_MAX_ANSWER))
                return str(found["choices"][0]["message"]["content"])
            except urllib.error.HTTPError as error:
                why, again = f"HTTP {error.code}", error.code == 429 or error.code >= 500
                error.close()
            except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
                why, again = str(error) or type(error).__name__, True
            if wait is None or not again:
                break
            time.sleep(wait)
        raise ModelError(f"--judge {self.url} gives no answer ({why}); see that it runs, and that {KEY} is right")


def score_of(answer: str) -> float | None:
    """0 to 1 out of an answer with {"score": 0 to 10}, in whatever words or fences; None where there is none."""
    for found in re.findall(r"\{[^{}]*\}", answer):
        try:
            score = json.loads(found).get("score")
        except ValueError:
            continue
        if isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 10:
            return round(score / 10, 4)
    return None


def _uri(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "webp" if data[8:12] == b"WEBP" else "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()
