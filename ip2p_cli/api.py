"""ip2p from Python: load a model once, edit photos with it. The same as the command, without files being written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from pathlib import Path

from PIL import Image, ImageOps

from ip2p_cli.config import read_config
from ip2p_cli.errors import UsageError
from ip2p_cli.io.images import read_image
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.loader import Editor as LoadedModel
from ip2p_cli.models.registry import find_model
from ip2p_cli.settings import choose_model, resolve
from ip2p_cli.types import DeviceName, DtypeName, EditRequest, EditResult, EditSettings, ModelSpec
from ip2p_cli.workflows.edit import edit
from ip2p_cli.workflows.loading import ModelChoice

# Pillow converts these to 8-bit colours as one expects; of others (16 bits, floats) it does not know what is white.
_EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV")


class Editor:
    """A loaded model: `Editor.load("nano").edit("in.jpg", "make it winter").image`."""

    def __init__(self, parts: LoadedModel | Adapter) -> None:
        """`parts`: from `models.adapters.load_model`; `Editor.load` is the usual way."""
        self._parts = parts

    @classmethod
    def load(cls, model: str | None = None, *, device: DeviceName = "auto", dtype: DtypeName = "auto") -> Editor:
        """Load a model by name, hub id or folder; without one that of IP2P_MODEL, the config file, or nano.

        Raises ModelError where it cannot be had, DeviceError for a device or number format that is not there.
        """
        spec = find_model(choose_model(model)[0], read_config().models)
        return cls(ModelChoice(spec=spec, device=device, dtype=dtype).load())

    @property
    def spec(self) -> ModelSpec:
        """What the model is, and its defaults."""
        return self._parts.spec

    def edit(
        self,
        photo: str | PathLike[str] | Image.Image,
        instruction: str,
        settings: EditSettings | None = None,
        *,
        preset: str | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> EditResult:
        """Edit a photo, given by its path or as a picture; what `settings` leaves unsaid is resolved as in the command.

        The result's `image` is RGB, upright, at the photo's size, transparent parts laid on white; its `request` holds
        the resolved settings, with the seed where none was said; `extra["input_sha256"]` names the input.
        on_step: called as (steps done, steps). Raises InputError for a photo that cannot be read, UsageError for
        settings that are not possible.
        """
        instruction = instruction.strip()
        if not instruction:
            raise UsageError('the instruction is empty: say what to change, e.g. "make it winter".')
        resolved = resolve(settings or EditSettings(), self.spec, preset)
        source, digest = _from_picture(photo) if isinstance(photo, Image.Image) else _from_file(Path(photo))
        request = EditRequest(source=source, instruction=instruction, settings=resolved, digest=digest)
        result = edit(self._parts, request, on_step=on_step)
        return replace(result, extra={**result.extra, "input_sha256": digest})


def _from_file(path: Path) -> tuple[Image.Image, str]:
    """(the photo as RGB, the SHA-256 of the file)."""
    picture = read_image(path)
    return picture.rgb, picture.digest


def _from_picture(image: Image.Image) -> tuple[Image.Image, str]:
    """(the photo as RGB, the SHA-256 of its mode, size and pixels)."""
    if image.mode not in _EIGHT_BIT:
        raise UsageError(f"a picture of mode {image.mode} says nothing of its white: convert it to RGB, or give a path")
    digest = hashlib.sha256(f"{image.mode} {image.width} {image.height} ".encode() + image.tobytes()).hexdigest()
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return upright.convert("RGB"), digest
    clear = upright.convert("RGBA")
    white = Image.new("RGB", clear.size, "white")
    return Image.composite(clear.convert("RGB"), white, clear.getchannel("A")), digest
