"""Which pictures ip2p made."""

from __future__ import annotations

from pathlib import Path

from ip2p_cli.errors import InputError
from ip2p_cli.io.images import read_header
from ip2p_cli.jobs.manifest import Manifest, has_manifest, open_manifest

_FOLDERS_UP = 3  # in which a manifest is looked for above a picture


class Made:
    """Tells pictures that ip2p made: by the manifests of the folders around them, else by their records."""

    def __init__(self) -> None:
        self._manifests: dict[Path, Manifest | None] = {}

    def __contains__(self, path: object) -> bool:
        """Whether ip2p made the picture `path`."""
        if not isinstance(path, Path):
            return False
        absolute = path.absolute()
        for folder in list(absolute.parents)[:_FOLDERS_UP]:
            if folder not in self._manifests:
                self._manifests[folder] = open_manifest(folder) if has_manifest(folder) else None
            manifest = self._manifests[folder]
            if manifest is not None:
                name = absolute.relative_to(folder).as_posix()
                if name in manifest.files or name in manifest.earlier_inputs:
                    return True
        try:
            return read_header(path).has_record
        except InputError:
            return False
