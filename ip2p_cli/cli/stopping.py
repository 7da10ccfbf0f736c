"""Signals that end a command cleanly."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came; it is handled as Ctrl-C is."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Terminated`, a KeyboardInterrupt, where SIGTERM comes within the block."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
