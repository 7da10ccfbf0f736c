"""Signals that end a command: the first one cleanly, the second one at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SAME_PRESS = 0.5  # seconds: a terminal, and programs such as timeout, may send one Ctrl-C twice


class Terminated(KeyboardInterrupt):
    """SIGTERM came; it is handled as Ctrl-C is."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Terminated`, a KeyboardInterrupt, where SIGTERM comes within the block."""
    before = signal.signal(signal.SIGTERM, _Handler(Terminated))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def ending_at_second_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt where Ctrl-C comes within the block, and end the process at the next one.

    After a Ctrl-C that also holds for what follows the block: libraries that are interrupted while the interpreter
    ends abort the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = _Handler(KeyboardInterrupt)
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if handler.came_at is not None else before)


def end_at_once(number: int) -> None:
    """End the process and its child processes by a signal; nothing is cleaned up, and no library can object."""
    import multiprocessing

    for child in multiprocessing.active_children():
        child.kill()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


class _Handler:
    """Raises an exception at the first signal, and ends the process at the second."""

    def __init__(self, exception: type[KeyboardInterrupt]) -> None:
        self.came_at: float | None = None
        self._exception = exception

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.came_at is None:
            self.came_at = now
            raise self._exception
        if now - self.came_at > _SAME_PRESS:
            end_at_once(number)
