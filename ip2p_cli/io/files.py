"""Files as bytes: checked before they are opened, read once, written whole or not at all."""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import itertools
import os
import platform
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from ip2p_cli.errors import InputError, OutputError, UsageError
from ip2p_cli.io.names import printable, reason

_TEMPORARY = ".ip2p-"
_OLD_SECONDS = 24 * 3600
# Far more than 200 megapixels of 16-bit colour take.
MAX_BYTES = 2 * 1024**3


def check_regular_file(path: Path) -> None:
    """Refuse what is not there, not a file, or empty, without opening it: opening a FIFO would wait for ever.

    Raises InputError.
    """
    shown = printable(path)
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise InputError(f"{shown}: {_why_missing(path)}") from error
    except OSError as error:
        raise InputError(f"{shown}: {reason(error)}: check the path and its permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{shown} is a folder: name the photos in it, for example {printable(path / '*.jpg')}")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{shown} is not a regular file (a device or a pipe): save the picture to a file first")
    if status.st_size == 0:
        raise InputError(f"{shown} is empty (0 bytes): get a whole copy of it")
    if status.st_size > MAX_BYTES:
        raise InputError(f"{shown} is larger than {MAX_BYTES // 1024**3} GB: make it smaller first")


def _why_missing(path: Path) -> str:
    folder = path.parent
    if path.is_symlink():
        return "the link points to a file that does not exist: mend the link"
    if not folder.is_dir():
        return f"there is no folder {printable(folder)}: check the path"
    try:
        names = {entry.name.casefold(): entry for entry in itertools.islice(folder.iterdir(), 10_000)}
    except OSError:
        names = {}
    near = difflib.get_close_matches(path.name.casefold(), names, n=1)
    return f"no such file: did you mean {printable(names[near[0]])}?" if near else "no such file: check the path"


def name_inside(name: object) -> str:
    """Check that `name`, read from a file, stays inside the folder that it is relative to.

    Args:
        name: What a manifest, index, record or job gives as a file's name, with slashes.

    Returns:
        The name in its normal form.

    Raises:
        UsageError: It is not a relative path, or leads out of the folder.
    """
    if isinstance(name, str):
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        parts = {*posix.parts, *windows.parts}
        if posix.name and not posix.is_absolute() and not windows.anchor and ".." not in parts and "\0" not in name:
            return posix.as_posix()
    raise UsageError(f"output {printable(str(name))}: give a path inside the output folder, without ..")


def path_inside(folder: Path, name: object) -> Path:
    """Join `folder` and `name`, after checking that no link on the way leads out of the folder.

    Args:
        folder: The folder that the name is relative to.
        name: As in `name_inside`.

    Returns:
        The path. Its last part may be a link: open it with `open_regular`, which does not follow it.

    Raises:
        UsageError: The path is not inside the folder.
    """
    path = folder / name_inside(name)
    if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder)):
        raise UsageError(f"{printable(path)}: a link leads out of {printable(folder)}: remove the link")
    return path


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file without following a link and without waiting for a pipe.

    Args:
        path: The file.
        flags: As in `os.open`.

    Returns:
        The file descriptor.

    Raises:
        OSError: It cannot be opened, is a link, or is not a regular file.
    """
    careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if path.is_symlink():  # where the system has no O_NOFOLLOW, and for a message that people understand
        raise OSError(errno.ELOOP, "it is a link, which is not followed here")
    descriptor = os.open(path, flags | careful, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return descriptor


def temporary_beside(path: Path) -> Path:
    """Choose a new name beside `path`, which `sweep_temporary` knows; it tells the process that writes it."""
    return path.with_name(f"{_TEMPORARY}{_host()}-{os.getpid()}-{secrets.token_hex(6)}.tmp")


def write_whole(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write a file whole or not at all; without `overwrite` an existing file stays, even one that appears meanwhile.

    Raises OutputError.
    """
    # As with cp, a link stays a link: what it points to is replaced.
    target = Path(os.path.realpath(path)) if overwrite else path
    temporary = temporary_beside(target)
    with as_output_error(path):
        try:
            _write_new(temporary, data)
            if not overwrite:
                _publish(temporary, target)
            else:
                if target.exists():
                    temporary.chmod(stat.S_IMODE(target.stat().st_mode))
                temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet, down to the disk, with the permissions that the umask leaves."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _publish(temporary: Path, target: Path) -> None:
    """Give a file its name in one step that fails if the name is taken."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # FAT, some network drives: no hard links, so reserve the name instead
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            temporary.replace(target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


@contextmanager
def as_output_error(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write `path` into an OutputError of one line."""
    try:
        yield
    except FileExistsError as error:
        raise OutputError(f"{printable(path)} exists already: use --overwrite or another -o") from error
    except OSError as error:
        raise OutputError(f"{printable(path)}: {reason(error)}: choose another place with -o") from error


def sweep_temporary(folder: Path) -> int:
    """Delete the temporary files and folders that killed processes left in a folder; returns how many.

    One goes if the process that wrote it ran on this machine and no longer does, or if it is older than a day.
    """
    swept = 0
    for path in folder.glob(f"{_TEMPORARY}*.tmp"):
        with contextlib.suppress(OSError):
            if _is_left_behind(path):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                swept += 1
    return swept


def _is_left_behind(path: Path) -> bool:
    parts = path.stem.removeprefix(_TEMPORARY).split("-")
    if len(parts) == 3 and parts[0] == _host() and parts[1].isdecimal() and not _is_running(int(parts[1])):
        return True
    return time.time() - path.lstat().st_mtime > _OLD_SECONDS


def _host() -> str:
    """A short name for this machine, so that processes of other machines on a shared folder are left alone."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def _is_running(process: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(process))
