"""Pictures into files: checked before the work, encoded in memory, written whole or not at all."""

from __future__ import annotations

import io
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image, PngImagePlugin, features

from ip2p_cli.errors import OutputError, UsageError
from ip2p_cli.io.names import printable, reason


@dataclass(frozen=True, kw_only=True)
class _Format:
    """A kind of file that can be written: Pillow's name for it, and what it can hold."""

    name: str
    alpha: bool = True
    max_side: int | None = None
    feature: str | None = None  # must be compiled into Pillow
    lossy: bool = False
    options: Mapping[str, object] = field(default_factory=dict)


# No chroma subsampling: edits have strong colours side by side. PNG and AVIF at Pillow's own effort take 5 s and 11 s
# for 12 megapixels; at these, 2 s and 4 s, for 2 % and 12 % more bytes.
_JPEG = _Format(name="JPEG", alpha=False, max_side=65_500, lossy=True, options={"subsampling": 0})
_AVIF = _Format(name="AVIF", max_side=65_535, feature="avif", lossy=True, options={"subsampling": "4:4:4", "speed": 8})
_TIFF = _Format(name="TIFF", feature="libtiff", options={"compression": "tiff_adobe_deflate"})
_WRITABLE = MappingProxyType(
    {
        ".png": _Format(name="PNG", options={"compress_level": 4}),
        ".jpg": _JPEG,
        ".jpeg": _JPEG,
        ".webp": _Format(name="WEBP", max_side=16_383, feature="webp", lossy=True),
        ".tif": _TIFF,
        ".tiff": _TIFF,
        ".avif": _AVIF,
    }
)


_IMAGE_DESCRIPTION = 0x010E


def check_output(path: Path, overwrite: bool) -> None:
    """Say now, before a model is loaded, what would keep `path` from being written."""
    shown, folder = printable(path), path.parent
    with _told_as_output_error(path):
        if path.is_dir():
            raise OutputError(f"{shown} is a folder: name a file in it, for example {printable(path / 'edit.png')}")
        _format(path)
        if not folder.is_dir():
            raise OutputError(f"{shown}: there is no folder {printable(folder)}: mkdir -p {printable(folder)}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(
                f"{shown}: the folder {printable(folder)} cannot be written to: choose another one with -o"
            )
        if os.path.lexists(path):
            if not overwrite:
                raise FileExistsError
            if path.exists() and not path.is_file():
                raise OutputError(f"{shown} is not a regular file: choose another name with -o")


def write_image(
    image: Image.Image,
    path: Path,
    *,
    overwrite: bool,
    alpha: Image.Image | None = None,
    quality: int = 92,
    record: Mapping[str, object] | None = None,
) -> None:
    """Write a picture in the format of the extension, whole or not at all.

    image: as seen on white. alpha: its transparency, kept where the format can. quality: for lossy formats, 1 to 100.
    record: how the picture was made, embedded as JSON: PNG text "ip2p", else EXIF ImageDescription.
    Without `overwrite` an existing file stays as it is, even one that appears meanwhile.
    """
    check_output(path, overwrite)
    kind = _format(path)
    options = {**kind.options, **({"quality": quality} if kind.lossy else {}), **_embedded(record, kind)}
    data = _encode(image.convert("RGB"), alpha, kind, options, printable(path))
    # As with cp, a link stays a link: what it points to is replaced.
    target = Path(os.path.realpath(path)) if overwrite else path
    temporary = target.with_name(f".ip2p-{secrets.token_hex(8)}.tmp")
    with _told_as_output_error(path):
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


def _format(path: Path) -> _Format:
    known = [extension for extension, kind in _WRITABLE.items() if not kind.feature or features.check(kind.feature)]
    extension = path.suffix.lower()
    if extension in known:
        return _WRITABLE[extension]
    problem = f"cannot write {extension} files here" if extension else "the output has no extension"
    raise UsageError(f"{printable(path)}: {problem}: use one of {' '.join(known)}")


def _embedded(record: Mapping[str, object] | None, kind: _Format) -> dict[str, object]:
    """Save options that put `record` into the file."""
    if record is None:
        return {}
    text = json.dumps(record)  # escaped to ASCII, as EXIF wants it
    if kind.name == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("ip2p", text)
        return {"pnginfo": info}
    exif = Image.Exif()
    exif[_IMAGE_DESCRIPTION] = text
    return {"exif": exif.tobytes()}


def read_record(path: Path) -> dict[str, object] | None:
    """What `write_image` embedded in a picture, or None where there is nothing of the kind."""
    with Image.open(path) as image:
        text = image.info.get("ip2p") or image.getexif().get(_IMAGE_DESCRIPTION)
    try:
        record = json.loads(text) if text else None
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _encode(
    rgb: Image.Image, alpha: Image.Image | None, kind: _Format, options: Mapping[str, object], shown: str
) -> bytes:
    """Encode in memory, so that an encoder's failure is never mistaken for the disk's."""
    if kind.max_side is not None and max(rgb.size) > kind.max_side:
        raise OutputError(f"{shown}: {kind.name} holds at most {kind.max_side} pixels a side: use .png or .tiff")
    if alpha is not None:
        rgb = _off_white(rgb, alpha)
        if kind.alpha:
            rgb.putalpha(alpha)
        else:
            rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
    buffer = io.BytesIO()
    try:
        rgb.save(buffer, kind.name, **options)
    except (OSError, ValueError) as error:
        raise OutputError(f"{shown}: cannot be written as {kind.name} ({error}): use .png") from error
    return buffer.getvalue()


def _off_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    """Solve seen = a colour + (1 - a) white for the colour; where a = 0 any will do, and the seen one stays."""
    coverage = np.asarray(alpha).astype(np.float32) / 255
    coverage[coverage == 0] = 1
    bands = (255 - (255 - np.asarray(band).astype(np.float32)) / coverage for band in rgb.split())
    return Image.merge("RGB", [Image.fromarray((np.clip(b, 0, 255) + 0.5).astype(np.uint8)) for b in bands])


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
def _told_as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise OutputError(f"{printable(path)} exists already: use --overwrite or another -o") from error
    except OSError as error:
        raise OutputError(f"{printable(path)}: {reason(error)}: choose another place with -o") from error
