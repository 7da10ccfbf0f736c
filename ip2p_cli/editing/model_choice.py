"""Which model, where, in which number format and with what fused into it: all it takes to load it, anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ip2p_cli.errors import DeviceError, ModelError, UsageError
from ip2p_cli.models.backends import pick_backend
from ip2p_cli.models.device import pick_device, pick_dtype
from ip2p_cli.models.hub import on_disk
from ip2p_cli.models.known_loras import fits, known_lora, lora_on_disk
from ip2p_cli.settings import preset_lora
from ip2p_cli.types import BackendName, DeviceName, DtypeName, Lora, ModelSpec, OffloadName, QuantizeName

if TYPE_CHECKING:
    from ip2p_cli.models.adapters import Adapter
    from ip2p_cli.models.editor import Editor

# What an identity that names none of them was made with.
PLAIN_TORCH: dict[str, Any] = {"backend": "torch", "quantize": "none", "compiled": False}


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A model as it is to be loaded; can be pickled.

    Attributes:
        device: "auto" is decided where it runs.
        dtype: "auto" is decided where it runs.
        backend: "auto" is decided where it runs.
        quantize: The format of the UNet's weights.
        compiled: Whether the UNet's repeated blocks are compiled, on CUDA.
        chosen: Whether the user named the model.
        known_weights: Stands for the hash of the weights of a model that is in memory and has no files.
    """

    spec: ModelSpec
    device: DeviceName = "auto"
    dtype: DtypeName = "auto"
    offload: OffloadName = "none"
    loras: tuple[Lora, ...] = ()
    vae: str | None = None
    backend: BackendName = "auto"
    quantize: QuantizeName = "none"
    compiled: bool = False
    chosen: bool = True
    known_weights: str | None = None

    @cached_property
    def device_name(self) -> str:
        """The device, decided; raises DeviceError if it does not exist."""
        return pick_device(self.device).name

    @cached_property
    def dtype_name(self) -> str:
        """The number format, decided; raises DeviceError if it does not work there."""
        return pick_dtype(self.dtype, self.device_name, self.spec).name

    @cached_property
    def backend_name(self) -> str:
        """What runs the UNet and the VAE, decided; raises an Ip2pError if it cannot."""
        if self.known_weights is not None:
            return "torch"  # as it is in memory
        if self.compiled and self.device_name != "cuda":
            raise DeviceError(f"--compile is for CUDA, and this runs on {self.device_name}: leave it out")
        if self.compiled and self.spec.pipeline is not None:
            raise ModelError(f"model {self.spec.name} edits by its own pipeline: leave out --compile")
        device, dtype = self.device_name, self.dtype_name
        return pick_backend(self.backend, self.spec, device=device, dtype=dtype, quantize=self.quantize).name

    @cached_property
    def weights(self) -> str:
        """A hash of the weights, LoRAs and VAE; raises ModelError if the model cannot be had."""
        from ip2p_cli.models.fingerprint import fingerprint

        return self.known_weights or fingerprint(self.spec, self.loras, self.vae)

    def identity(self, *, fetch: bool = True) -> dict[str, Any]:
        """Return what of the model decides pixels, by the names of the record.

        Args:
            fetch: Whether a model that is not on this machine is fetched now; otherwise its hash is None.

        Returns:
            Name, hash of the weights, number format and, if used, LoRAs, VAE, and a backend other than plain torch.

        Raises:
            ModelError: The model cannot be had.
        """
        is_known = fetch or self.known_weights is not None or self._is_here
        weights = self.weights if is_known else None
        identity: dict[str, Any] = {"model": self.spec.name, "weights": weights, "dtype": self.dtype_name}
        if self.loras:
            identity["loras"] = [f"{lora.path.name}:{lora.weight:g}" for lora in self.loras]
        if self.vae:
            identity["vae"] = Path(self.vae).name
        run_by = {"backend": self.backend_name, "quantize": self.quantize, "compiled": self.compiled}
        return identity | {name: value for name, value in run_by.items() if value != PLAIN_TORCH[name]}

    @property
    def _is_here(self) -> bool:
        """Whether the model and its LoRAs are on this machine."""
        named = [known_lora(lora) for lora in self.loras]
        return on_disk(self.spec) is not None and all(lora_on_disk(spec) for spec in named if spec is not None)

    def load(self, tell: Callable[[str], None] = lambda _: None) -> Editor | Adapter:
        """Load it; `tell` is told of an export that is made. Raises ModelError, DeviceError and UsageError."""
        from ip2p_cli.models.adapters import load_model

        return load_model(
            self.spec,
            device=self.device_name,
            dtype=self.dtype_name,
            offload=self.offload,
            loras=self.loras,
            vae=self.vae,
            backend=self.backend_name,
            quantize=self.quantize,
            compiled=self.compiled,
            tell=tell,
        )


def recorded_backend(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ran the model of a picture, by its record: `backend`, `quantize` and `compiled` of a ModelChoice."""
    said = {name: record.get(name, plain) for name, plain in PLAIN_TORCH.items()}
    known = {"backend": ("torch", "openvino"), "quantize": get_args(QuantizeName), "compiled": (True, False)}
    return {name: value if value in known[name] else PLAIN_TORCH[name] for name, value in said.items()}


def with_preset(choice: ModelChoice, preset: str | None) -> ModelChoice:
    """Return a choice with the LoRA that a preset needs, unless it has LoRAs already.

    Raises:
        UsageError: The preset is not for this model.
    """
    name = preset_lora(preset, choice.spec) if preset is not None else None
    if name is None or choice.loras:
        return choice
    if not fits(choice.spec):
        raise UsageError(
            f"the preset {preset} needs a LoRA, and {name} is not for {choice.spec.name}, which has another shape than "
            "Stable Diffusion 1.5: give an LCM-LoRA that was made for it: --lora FILE"
        )
    return replace(choice, loras=(Lora(path=Path(name)),))
