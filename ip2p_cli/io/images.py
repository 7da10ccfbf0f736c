"""Photos in and out of files: any common kind in, upright 8-bit RGB inside, written whole or not at all.

Transparency: `read_image` lays the picture on white, so that colours stored under invisible pixels cannot leak into
an edit, and keeps the alpha beside it. `write_image` takes both back apart: the file, seen on white, looks like the
edited picture, and an unedited picture comes out with the colours it came with.
"""

from __future__ import annotations

import difflib
import errno
import io
import itertools
import os
import re
import secrets
import stat
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO

import numpy as np
from PIL import Image, ImageFile, features

from ip2p_cli.errors import InputError, OutputError, UsageError

# Decoded, a photo of this size takes 600 MB; the largest phone cameras stay just below.
MAX_PIXELS = 200_000_000

# Only kinds that hold photos and have a signature: Pillow also opens EPS (by running Ghostscript) and much else.
_READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM")

_UPRIGHT = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A decoded photo: `rgb` is upright, 8 bits, laid on white; `alpha` (mode L) is None where all is opaque."""

    rgb: Image.Image
    alpha: Image.Image | None
    path: Path


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


def read_image(path: Path) -> Picture:
    """Read a photo: the first frame, turned upright by its EXIF orientation, whatever its colours are stored as."""
    shown = _shown(path)
    _check_regular_file(path)
    try:
        # Pillow warns of damaged metadata and of sizes that the check below decides on; neither is news to the user.
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            image = _identify(file, shown)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _too_large(shown, width, height)
            image.load()
            turn = _UPRIGHT.get(_orientation(image))
            rgb, alpha = _rgb_and_alpha(image)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(shown) from error
    except MemoryError as error:
        raise InputError(f"{shown}: not enough memory to decode it: make the picture smaller first") from error
    except Exception as error:  # decoders raise whatever broken data leads them to
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{shown}: {_reason(error)}: check the file and its permissions") from error
        raise InputError(f"{shown}: the picture is damaged or cut short ({error}): get a whole copy of it") from error
    if turn is not None:
        rgb = rgb.transpose(turn)
        alpha = alpha.transpose(turn) if alpha is not None else None
    return Picture(rgb=rgb, alpha=alpha, path=path)


def check_output(path: Path, overwrite: bool) -> None:
    """Say now, before a model is loaded, what would keep `path` from being written."""
    shown, folder = _shown(path), path.parent
    with _told_as_output_error(path):
        if path.is_dir():
            raise OutputError(f"{shown} is a folder: name a file in it, for example {_shown(path / 'edit.png')}")
        _format(path)
        if not folder.is_dir():
            raise OutputError(f"{shown}: there is no folder {_shown(folder)}: mkdir -p {_shown(folder)}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"{shown}: the folder {_shown(folder)} cannot be written to: choose another one with -o")
        if os.path.lexists(path):
            if not overwrite:
                raise FileExistsError
            if path.exists() and not path.is_file():
                raise OutputError(f"{shown} is not a regular file: choose another name with -o")


def write_image(
    image: Image.Image, path: Path, *, overwrite: bool, alpha: Image.Image | None = None, quality: int = 92
) -> None:
    """Write a picture in the format of the extension, whole or not at all.

    image: as seen on white. alpha: its transparency, kept where the format can. quality: for lossy formats, 1 to 100.
    Without `overwrite` an existing file stays as it is, even one that appears meanwhile.
    """
    check_output(path, overwrite)
    data = _encode(image.convert("RGB"), alpha, _format(path), quality, _shown(path))
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


def slug(text: str, max_length: int = 40) -> str:
    """Make a file name of a text: lower-case ASCII words joined by '-', safe on every system, never empty."""
    if max_length < 10:  # room for the longest of the names made safe below
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


def numbered(path: Path) -> Path:
    """Find the first of name.png, name-2.png, name-3.png … that is free."""
    names = (path.with_name(f"{path.stem}-{n}{path.suffix}") for n in itertools.count(2))
    return next(name for name in itertools.chain([path], names) if not os.path.lexists(name))


def _check_regular_file(path: Path) -> None:
    """Refuse what is not there, not a file, or empty, without opening it: opening a FIFO would wait for ever."""
    shown = _shown(path)
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise InputError(f"{shown}: {_why_missing(path)}") from error
    except OSError as error:
        raise InputError(f"{shown}: {_reason(error)}: check the path and its permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{shown} is a folder: name the photos in it, for example {_shown(path / '*.jpg')}")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{shown} is not a regular file (a device or a pipe): save the picture to a file first")
    if status.st_size == 0:
        raise InputError(f"{shown} is empty (0 bytes): get a whole copy of it")


def _why_missing(path: Path) -> str:
    folder = path.parent
    if path.is_symlink():
        return "the link points to a file that does not exist: mend the link"
    if not folder.is_dir():
        return f"there is no folder {_shown(folder)}: check the path"
    try:
        names = {entry.name.casefold(): entry for entry in itertools.islice(folder.iterdir(), 10_000)}
    except OSError:
        names = {}
    near = difflib.get_close_matches(path.name.casefold(), names, n=1)
    return f"no such file: did you mean {_shown(names[near[0]])}?" if near else "no such file: check the path"


def _identify(file: IO[bytes], shown: str) -> ImageFile.ImageFile:
    """Read a picture's header. Not `Image.open`: that refuses 179 megapixels unless a global is changed."""
    Image.init()
    prefix = file.read(16)
    for kind in _READABLE:
        factory, accept = Image.OPEN.get(kind, (None, None))
        verdict = accept(prefix) if accept else False
        if isinstance(verdict, str):  # Pillow's words for: known, but not compiled in
            raise InputError(f"{shown}: {verdict}: save it as PNG or JPEG first")
        if factory is None or not verdict:
            continue
        file.seek(0)
        try:
            return factory(file, "")
        except (SyntaxError, IndexError, TypeError, ValueError):
            if kind == "PPM":  # its signature is two letters: more likely a text
                continue
            raise
    hint = "save it as PNG or JPEG first"
    if prefix[4:8] == b"ftyp" and prefix[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        hint = f"it is a HEIC photo: {hint}"
    raise InputError(f"{shown} is not a picture of a known kind ({', '.join(_READABLE)}): {hint}")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # broken EXIF is no reason to refuse a photo that decodes
        return 1


def _rgb_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Bring any mode to 8-bit RGB on white, and its alpha if anything is transparent."""
    alpha: Image.Image | None = None
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        rgb = Image.fromarray(_grey_8bit(values, image)).convert("RGB")
        key = image.info.get("transparency")
        if isinstance(key, int):
            alpha = Image.fromarray(np.where(values == key, np.uint8(0), np.uint8(255)))
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        rgb, alpha = rgba.convert("RGB"), rgba.getchannel("A")
    else:
        rgb = image.convert("RGB")
    if alpha is None or alpha.getextrema() == (255, 255):
        return rgb, None
    return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha), alpha


def _grey_8bit(values: np.ndarray, image: Image.Image) -> np.ndarray:
    """Scale grey of more than 8 bits so that white stays white.

    16 bits: white is 65535 (4095 in a 12-bit TIFF). 32-bit integers: 65535 too, unless something is brighter: then
    that. Floats: 1 if 99 % of the pixels are no brighter (highlights may overshoot), else 255, else the brightest.
    """
    values = values.astype(np.float32)
    if image.mode == "F":
        values = np.nan_to_num(values, nan=0.0, posinf=float(np.max(values, where=np.isfinite(values), initial=0.0)))
    brightest = float(values.max())
    if image.mode == "F" and np.percentile(values, 99) <= 1:
        white = 1.0
    elif image.mode == "F":
        white = max(255.0, brightest)
    elif image.mode == "I":
        white = max(65535.0, brightest)
    else:
        bits = getattr(image, "tag_v2", {}).get(258, (16,))
        white = 4095.0 if bits == (12,) else 65535.0
    return (np.clip(values / white, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def _format(path: Path) -> _Format:
    known = [extension for extension, kind in _WRITABLE.items() if not kind.feature or features.check(kind.feature)]
    extension = path.suffix.lower()
    if extension in known:
        return _WRITABLE[extension]
    problem = f"cannot write {extension} files here" if extension else "the output has no extension"
    raise UsageError(f"{_shown(path)}: {problem}: use one of {' '.join(known)}")


def _encode(rgb: Image.Image, alpha: Image.Image | None, kind: _Format, quality: int, shown: str) -> bytes:
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
        rgb.save(buffer, kind.name, **kind.options, **({"quality": quality} if kind.lossy else {}))
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
        raise OutputError(f"{_shown(path)} exists already: use --overwrite or another -o") from error
    except OSError as error:
        raise OutputError(f"{_shown(path)}: {_reason(error)}: choose another place with -o") from error


def _too_large(shown: str, width: int = 0, height: int = 0) -> InputError:
    size = f"{width} x {height} pixels are" if width else "the picture is"
    return InputError(f"{shown}: {size} more than {MAX_PIXELS // 10**6} megapixels: make it smaller first")


def _reason(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "permission denied"
    return (error.strerror or str(error)).lower()


def _shown(path: Path) -> str:
    """A path as part of one printable line: file names may hold line breaks and bytes that are no text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(path))
