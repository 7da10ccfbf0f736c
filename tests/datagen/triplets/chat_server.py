"""A real HTTP server that speaks as an OpenAI-compatible endpoint does, well or badly, as a test says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Said:
    """What to answer: a status, a body, headers, and seconds to wait before."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0


Reply = Callable[[int, dict[str, Any]], Said]


@dataclass
class Server:
    url: str
    calls: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    times: list[float] = field(default_factory=list)
    most_at_once: int = 0


def chat(text: str, **more: Any) -> Said:
    """A chat completion with `text`, 30 tokens in, 10 out."""
    usage = {"prompt_tokens": 30, "completion_tokens": 10}
    return Said(json.dumps({"choices": [{"message": {"content": text}}], "usage": usage, **more}).encode())


def caption_of(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def good(number: int, body: dict[str, Any]) -> Said:
    """What a well-behaved model says, in the format that it is asked for."""
    caption = caption_of(body)
    if "response_format" in body:
        return chat(json.dumps({"instruction": f"gild {caption[:20]}", "edited_caption": f"{caption} in gold"}))
    return chat(f" gild {caption[:20]}\n%%\n{caption} in gold\nEND")


class Quiet(ThreadingHTTPServer):
    """Says nothing of callers that hang up, which the tests make them do."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def serving(reply: Reply) -> Iterator[Server]:
    """A server at a free port of this machine. reply: gets the call's number, from 1, and its body."""
    lock, busy = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                server.calls.append(body)
                server.keys.add(self.headers.get("Authorization"))
                server.times.append(time.monotonic())
                number = len(server.calls)
                busy[0] += 1
                server.most_at_once = max(server.most_at_once, busy[0])
            said = reply(number, body)
            time.sleep(said.wait)
            with lock:
                busy[0] -= 1
            try:
                self.send_response(said.status)
                for name, value in {"Content-Length": str(len(said.body)), **said.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.body)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    http = Quiet(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_address[1]}/v1")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
