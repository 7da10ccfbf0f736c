"""Which model, where, in which number format and with what fused into it: all it takes to load it, anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ip2p_cli.errors import UsageError
from ip2p_cli.models.device import pick_device, pick_dtype
from ip2p_cli.models.hub import on_disk
from ip2p_cli.models.known_loras import fits, known_lora, lora_on_disk
from ip2p_cli.settings import preset_lora
from ip2p_cli.types import DeviceName, DtypeName, Lora, ModelSpec, OffloadName

if TYPE_CHECKING:
    from ip2p_cli.models.adapters import Adapter
    from ip2p_cli.models.editor import Editor


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A model as it is to be loaded; can be pickled.

    Attributes:
        device: "auto" is decided where it runs.
        dtype: "auto" is decided where it runs.
        chosen: Whether the user named the model.
        known_weights: Stands for the hash of the weights of a model that is in memory and has no files.
    """

    spec: ModelSpec
    device: DeviceName = "auto"
    dtype: DtypeName = "auto"
    offload: OffloadName = "none"
    loras: tuple[Lora, ...] = ()
    vae: str | None = None
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
    def weights(self) -> str:
        """A hash of the weights, LoRAs and VAE; raises ModelError if the model cannot be had."""
        from ip2p_cli.models.fingerprint import fingerprint

        return self.known_weights or fingerprint(self.spec, self.loras, self.vae)

    def identity(self, *, fetch: bool = True) -> dict[str, Any]:
        """Return what of the model decides pixels, by the names of the record.

        Args:
            fetch: Whether a model that is not on this machine is fetched now; otherwise its hash is None.

        Returns:
            Name, hash of the weights, number format and, if used, LoRAs and VAE.

        Raises:
            ModelError: The model cannot be had.
        """
        is_known = fetch or self.known_weights is not None or self._is_here
        weights = self.weights if is_known else None
        identity: dict[str, Any] = {"model": self.spec.name, "weights": weights, "dtype": self.dtype_name}
        if self.loras:
            identity["loras"] = [f"{lora.path.name}:{lora.weight:g}" for lora in self.loras]
        return {**identity, "vae": Path(self.vae).name} if self.vae else identity

    @property
    def _is_here(self) -> bool:
        """Whether the model and its LoRAs are on this machine."""
        named = [known_lora(lora) for lora in self.loras]
        return on_disk(self.spec) is not None and all(lora_on_disk(spec) for spec in named if spec is not None)

    def load(self) -> Editor | Adapter:
        """Load it; raises ModelError and DeviceError."""
        from ip2p_cli.models.adapters import load_model

        return load_model(
            self.spec,
            device=self.device_name,
            dtype=self.dtype_name,
            offload=self.offload,
            loras=self.loras,
            vae=self.vae,
        )


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
