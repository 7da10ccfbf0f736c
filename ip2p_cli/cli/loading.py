"""What the commands that edit share: choosing the model, loading it, and being honest about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from .output import Output

if TYPE_CHECKING:
    from ..models.adapters import Adapter
    from ..models.loader import Editor
    from ..types import DeviceName, DtypeName, ModelSpec, OffloadName

_HINTS = 10


def introduce_nano(output: Output) -> None:
    """Say once on this machine what the default model is."""
    import platformdirs

    seen = platformdirs.user_state_path("ip2p") / "nano-introduced"
    if seen.exists():
        return
    output.say(
        "Using nano, the small built-in model: it knows some fifty looks (seasons, weather, light, colour, drawing and "
        "painting, camera; see `ip2p models show nano`). For any instruction get the full one: "
        "--model instruct-pix2pix (4 GB, downloaded once)."
    )
    try:
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.touch()
    except OSError:
        pass  # a home that cannot be written to: it will be said again


@dataclass(frozen=True, kw_only=True)
class How:
    """A model, and where and in which number format it is to run. chosen: whether anyone named the model."""

    spec: ModelSpec
    chosen: bool
    device: DeviceName
    dtype: DtypeName
    offload: OffloadName = "none"

    @cached_property
    def device_name(self) -> str:
        """The device itself, where "auto" was asked for."""
        from ..models.device import pick_device

        return pick_device(self.device).name

    @cached_property
    def dtype_name(self) -> str:
        """The number format itself, where "auto" was asked for."""
        from ..models.device import pick_dtype

        return pick_dtype(self.dtype, self.device_name, self.spec).name

    @property
    def identity(self) -> dict[str, Any]:
        """What of the model decides pixels, by the names of the record."""
        return {"model": self.spec.name, "dtype": self.dtype_name}

    def load(self, output: Output) -> Editor | Adapter:
        """Load it, with a progress bar; nano is introduced where nobody chose it."""
        from ..models.adapters import load_model

        if not self.chosen:
            introduce_nano(output)
        with output.progress(f"loading {self.spec.name}"):
            return load_model(self.spec, device=self.device_name, dtype=self.dtype_name, offload=self.offload)


def how(model: str | None, device: DeviceName, dtype: DtypeName, offload: OffloadName = "none") -> How:
    """With the model that --model, IP2P_MODEL or the config file names, else nano."""
    from ..models.registry import find_model
    from ..settings import choose_model

    name, chosen = choose_model(model)
    return How(spec=find_model(name), chosen=chosen, device=device, dtype=dtype, offload=offload)


def hint(editor: Editor | Adapter, instructions: Iterable[str], output: Output) -> None:
    """Be honest about words that are cut off, and about instructions that nano does not know."""
    from ..diffusion.editing import truncated_words
    from ..models.adapters import Adapter
    from ..models.nano.known import closest

    if isinstance(editor, Adapter):
        return  # these read long instructions
    for instruction in islice(dict.fromkeys(instructions), _HINTS):
        lost = truncated_words(editor, instruction)
        if lost:
            output.warn(f"the instruction is too long for {editor.spec.name}; it does not see: {' '.join(lost)}")
        if editor.spec.name != "nano":
            continue
        near = closest(editor, instruction)
        if not near.known:
            output.warn(
                f"nano was not trained for “{instruction}”; the closest that it can do: {near.examples}. For any "
                "instruction: --model instruct-pix2pix (4 GB, downloaded once)."
            )
