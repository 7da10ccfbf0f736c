"""Where masks are written: a file for one photo, a folder for several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ip2p_cli.cli.input_args import is_picture_name
from ip2p_cli.errors import UsageError

if TYPE_CHECKING:
    from ip2p_cli.io.inputs import InputPhoto


class MaskPlaces:
    """Names the pictures that a flag asks for, one for each photo, after the photo.

    Args:
        flag: The flag, for messages.
        place: What it says: a file, or a folder.
        overwrite: Whether a file may be replaced.
        after: What follows the photo's name in a folder.

    Raises:
        UsageError, OutputError: The file cannot be written.
    """

    def __init__(self, flag: str, place: Path, *, overwrite: bool, after: str = "") -> None:
        from ip2p_cli.io.output import check_output

        self._flag, self._place, self._after = flag, place, after
        self.is_file = is_picture_name(str(place))
        self._taken: dict[str, InputPhoto] = {}
        if self.is_file:
            check_output(place, overwrite)

    def of(self, photo: InputPhoto) -> Path:
        """Return the file for a photo; raises UsageError where another photo has it."""
        file = self._place if self.is_file else self._place / photo.folder / f"{photo.path.stem}{self._after}.png"
        other = self._taken.setdefault(str(file).casefold(), photo)
        if other is not photo and self.is_file:
            raise UsageError(f"{self._flag} {self._place} names a file, and there are several photos: name a folder")
        if other is not photo:
            raise UsageError(f"{self._flag}: {photo.path} and {other.path} would both be {file}: do them one by one")
        return file
