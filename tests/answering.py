"""An OpenAI-compatible endpoint on this machine that answers what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Answers(ThreadingHTTPServer):
    """Answers with `codes`, then 200; keeps what it was asked."""

    asked: list[Any]
    codes: list[int]
    text = '{"score": 8}'


class Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))
        code = self.server.codes.pop(0) if self.server.codes else 200
        data = json.dumps({"choices": [{"message": {"content": self.server.text}}]}).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Answers]:
    with Answers(("127.0.0.1", 0), Handler) as made:
        made.asked, made.codes = [], []
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()
