"""The files of an item: which of them exist already, and how they are written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from ip2p_cli.errors import OutputError
from ip2p_cli.io.files import path_inside, write_whole
from ip2p_cli.io.names import printable, reason
from ip2p_cli.io.output import check_output
from ip2p_cli.jobs.manifest import FileNote, Manifest, file_digest


class OutputFiles:
    """Writes files into a job's folder, each noted in the manifest before it gets its name.

    Args:
        folder: The job's folder.
        manifest: Its manifest; None if nothing is noted.
        overwrite: Whether files that no run made may be replaced.
    """

    def __init__(self, folder: Path, manifest: Manifest | None, *, overwrite: bool) -> None:
        self._folder, self._manifest, self.overwrite = folder, manifest, overwrite

    def has(self, name: str, key: str) -> bool:
        """Whether the file was made with this key, and is unchanged."""
        return self._manifest is not None and self._manifest.has(name, key)

    def missing(self, keys: dict[str, str]) -> list[str]:
        """The names, of `keys` by name, whose file is still to be made."""
        return [name for name, key in keys.items() if not self.has(name, key)]

    def leftovers(self, folder: str, names: Sequence[str]) -> list[str]:
        """Return the files that earlier runs left in an item's folder and that are not among `names`."""
        notes = self._manifest.files if self._manifest is not None else {}
        others = [name for name in notes if name.startswith(f"{folder}/") and name not in names]
        return sorted(name for name in others if self._manifest is not None and self._manifest.is_ours(name))

    def check_free(self, names: Sequence[str]) -> None:
        """Check, before any work, that files may be written.

        Args:
            names: The files, a picture first.

        Raises:
            OutputError: A file is in the way, or the folder cannot be written to.
        """
        if self._manifest is None:
            for name in names[:1]:
                check_output(self._folder / name, self.overwrite)
        in_the_way = [name for name in names if not self._may_write(name)]
        if in_the_way and self._manifest is not None:
            self._manifest.refresh()  # another process may have made it since: it noted so first
        for name in in_the_way:
            if not self._may_write(name):
                path = self._folder / name
                kind = "is a folder" if path.is_dir() else "exists already"
                raise OutputError(f"{printable(path)} {kind}: use --overwrite or another -o")

    def put(self, name: str, data: bytes, key: str) -> Path:
        """Write a file whole; raises OutputError.

        Args:
            name: The file relative to the folder.
            data: Its bytes.
            key: A hash of what decides the bytes.

        Returns:
            Its path.
        """
        path = path_inside(self._folder, name)
        replace = self.overwrite or (self._manifest is not None and self._manifest.is_ours(name))
        if self._manifest is not None:
            if path.is_symlink():
                raise OutputError(f"{printable(path)} is a link: remove it, or use another -o")
            self._manifest.note_file(FileNote(name=name, key=key, sha256=hashlib.sha256(data).hexdigest()))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{printable(path.parent)}: cannot be made ({reason(error)}): another -o") from error
        try:
            write_whole(path, data, overwrite=replace)
        except OutputError:
            if not _holds(path, data):  # otherwise another process made the same meanwhile
                raise
        return path

    def _may_write(self, name: str) -> bool:
        path = path_inside(self._folder, name)
        if not os.path.lexists(path):
            return True
        ours = self._manifest is not None and self._manifest.is_ours(name)
        return ours or (self.overwrite and not path.is_dir())


def check_writable(folder: Path) -> None:
    """Raise OutputError if a folder that exists cannot be written to: a read-only disk, or its permissions."""
    if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{printable(folder)}: the folder cannot be written to: choose another place with -o")


def _holds(path: Path, data: bytes) -> bool:
    try:
        return not path.is_symlink() and file_digest(path) == hashlib.sha256(data).hexdigest()
    except OSError:
        return False
