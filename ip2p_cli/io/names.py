"""File names: made of a text, not taken yet, and shown in a message."""

from __future__ import annotations

import errno
import itertools
import os
import re
import unicodedata
from collections.abc import Collection
from pathlib import Path, PurePath

from ip2p_cli.errors import OutputError, one_line

# Bytes of a file's name: most systems take 255, and "-compare.png.json" may come behind it.
MAX_NAME = 230


def slug(text: str, max_length: int = 40) -> str:
    """Make a file name of a text: lower-case ASCII words joined by '-', valid on every system, never empty."""
    if max_length < 10:  # room for the longest of the names that are changed below
        raise ValueError(f"max_length {max_length} is less than 10")
    plain = re.sub("['’`]", "", unicodedata.normalize("NFKD", text.casefold())).encode("ascii", "ignore").decode()
    words = re.findall("[a-z0-9]+", plain)
    name = words[0][:max_length] if words else "edit"
    for word in words[1:]:
        if len(name) + 1 + len(word) > max_length:
            break
        name += f"-{word}"
    # Windows takes these for devices, whatever the extension.
    return f"{name}-edit" if re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", name) else name


def shortened(text: str, most: int) -> str:
    """Return `text` with at most `most` bytes of UTF-8, cut between characters."""
    data = text.encode("utf-8", "surrogateescape")
    return text if len(data) <= most else data[:most].decode("utf-8", "ignore").rstrip() or "photo"


def check_output_name(out: str | None) -> str | None:
    """Return what -o names, if file systems can hold it.

    Raises:
        OutputError: A part of it is too long, or it holds NUL.
    """
    if out is not None and "\0" in out:
        raise OutputError(f"-o {printable(out)}: no file has such a name: use another one")
    sizes = {part: len(part.encode("utf-8", "surrogateescape")) for part in re.split(r"[/\\]", out or "")}
    long = next((part for part, size in sizes.items() if size > MAX_NAME), None)
    if long is not None:
        shown = printable(f"{long[:40]}…")
        raise OutputError(f"-o {shown}: a name of {sizes[long]} bytes: use one of at most {MAX_NAME}")
    return out


def numbered(folder: Path, name: PurePath, taken: Collection[str] = (), *, overwrite: bool = False) -> PurePath:
    """Find the first of name.png, name-2.png, name-3.png … that is not taken, relative to `folder`.

    Args:
        folder: Where the file will be.
        name: The name to begin with, relative to `folder`.
        taken: Other names that are taken, case-folded and with slashes, as some file systems ignore case.
        overwrite: Whether the name may be that of an existing file.
    """
    others = (name.with_name(f"{name.stem}-{n}{name.suffix}") for n in itertools.count(2))
    return next(
        candidate
        for candidate in itertools.chain([name], others)
        if candidate.as_posix().casefold() not in taken and (overwrite or not os.path.lexists(folder / candidate))
    )


def reason(error: OSError) -> str:
    """Describe in a few words why the system refused."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return "permission denied"
    return (error.strerror or str(error)).lower()


def printable(path: Path | str) -> str:
    """Escape what does not belong into one line: file names may hold line breaks and bytes that are not text."""
    return one_line(str(path))
