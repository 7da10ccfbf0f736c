"""Faults at the system calls that write files: a disk that is full, a process that dies.

with fault(at=3, mode="killed") as faults: ...
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args
from unittest import mock

# error: one call finds no space. full: so do all after it. stopped: one call is interrupted, as by Ctrl-C; what cleans
# up runs. killed: nothing after it reaches the disk, whatever cleans up included.
Mode = Literal["error", "full", "stopped", "killed"]
MODES: tuple[Mode, ...] = get_args(Mode)
_WRITING = os.O_WRONLY | os.O_RDWR


class Killed(BaseException):
    """Stands for the end of the process."""


class Faults:
    """Counts the calls that write, and lets one of them fail.

    Attributes:
        calls: The names of the calls so far.
    """

    def __init__(self, at: int, mode: Mode) -> None:
        self.calls: list[str] = []
        self._at, self._mode = at, mode
        self._lock = threading.Lock()

    @property
    def has_struck(self) -> bool:
        """Whether the call that fails was reached."""
        return len(self.calls) >= self._at

    def count(self, name: str) -> BaseException | None:
        """Count a call; return what it is to raise, if anything."""
        with self._lock:
            self.calls.append(name)
            number = len(self.calls)
        strikes = number == self._at or (number > self._at and self._mode in ("full", "killed"))
        if not strikes:
            return None
        return OSError(errno.ENOSPC, "No space left on device") if self._mode in ("error", "full") else Killed(name)

    @property
    def is_dead(self) -> bool:
        """Whether the process is dead: it does not even clean up."""
        return self.has_struck and self._mode == "killed"


@contextmanager
def fault(*, at: int, mode: Mode, hard_links: bool = True) -> Iterator[Faults]:
    """Let a call that writes fail: making, opening, writing, flushing, linking or renaming a file or folder.

    Args:
        at: Which call fails, counted from 1. A write that fails has written half.
        mode: How it fails.
        hard_links: Whether the disk has hard links.
    """
    faults = Faults(at, mode)

    def failing(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if error := faults.count(name):
                if name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                raise error
            return real(*args, **kwargs) if name != "fsync" else None  # no power fails here: spare the time

        return call

    real_open, real_unlink, real_fdopen = os.open, os.unlink, os.fdopen

    def call_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & _WRITING and (error := faults.count("open")):
            raise error
        return real_open(path, flags, *args, **kwargs)

    def call_fdopen(descriptor: int, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        """The file is open already: what fails is writing to it."""
        file = real_fdopen(descriptor, mode, *args, **kwargs)
        if "w" in mode and (error := faults.count("write to a file")):
            file.close()
            raise error
        return file

    def call_unlink(*args: Any, **kwargs: Any) -> None:
        if faults.is_dead:
            raise Killed("unlink")
        real_unlink(*args, **kwargs)

    link = failing("link")
    if not hard_links:
        link = mock.Mock(side_effect=OSError(errno.EPERM, "no hard links here"))
    calls: dict[str, Callable[..., Any]] = {
        **{name: failing(name) for name in ("replace", "write", "fsync", "mkdir", "chmod")},
        "link": link,
        "open": call_open,
        "fdopen": call_fdopen,
        "unlink": call_unlink,
    }
    with mock.patch.multiple(os, **calls):
        yield faults
