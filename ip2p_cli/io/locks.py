"""Locks of folders that one process at a time may write into."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ip2p_cli.errors import OutputError
from ip2p_cli.io.files import as_output_error, open_regular
from ip2p_cli.io.names import printable

LOCK = ".ip2p-lock"
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextmanager
def locked_folder(folder: Path, fix: str = "wait for it to end") -> Iterator[None]:
    """Lock a folder against other processes until the block ends; the folder is made where it is missing.

    The lock ends with the process, however that ends, and child processes do not inherit it. A file system without
    locks gives none.

    Args:
        folder: The folder.
        fix: What to do when another process has the lock.

    Raises:
        OutputError: Another process has the lock, or the folder cannot be written.
    """
    path = folder / LOCK
    with as_output_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _open_locked(path, fix)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows deletes no open file, and the next process takes the lock over
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _open_locked(path: Path, fix: str) -> int:
    while True:
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
        try:
            try:
                _lock(descriptor)
            except OSError as error:
                if error.errno in _HELD:
                    raise OutputError(f"{printable(path.parent)}: {_holder(descriptor)} writes here: {fix}") from error
            if _is_same(descriptor, path):
                owner = {"process": os.getpid(), "host": platform.node()}
                os.ftruncate(descriptor, 0)
                os.write(descriptor, json.dumps(owner).encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the process that had the lock has deleted its file


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # beyond the text, which others read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        # Not flock: forked readers of training data would keep that after the process has died.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    try:
        owner: Any = json.loads(os.read(descriptor, 1000))
        return f"process {int(owner['process'])} on {printable(str(owner['host']))}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"
