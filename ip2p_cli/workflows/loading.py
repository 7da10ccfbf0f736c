"""Which model, where, in which number format, with what fused into it: everything it takes to load it, anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ip2p_cli.models.device import pick_device, pick_dtype
from ip2p_cli.models.hub import on_disk
from ip2p_cli.types import DeviceName, DtypeName, Lora, ModelSpec, OffloadName

if TYPE_CHECKING:
    from ip2p_cli.models.adapters import Adapter
    from ip2p_cli.models.loader import Editor


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A model as it is to be loaded; can be pickled. device and dtype may be "auto": they are decided where it runs.

    chosen: whether anyone named the model.
    """

    spec: ModelSpec
    device: DeviceName = "auto"
    dtype: DtypeName = "auto"
    offload: OffloadName = "none"
    loras: tuple[Lora, ...] = ()
    vae: str | None = None
    chosen: bool = True

    @cached_property
    def device_name(self) -> str:
        """The device itself, where "auto" was asked for; DeviceError where it is not there."""
        return pick_device(self.device).name

    @cached_property
    def dtype_name(self) -> str:
        """The number format itself, where "auto" was asked for; DeviceError where it cannot work."""
        return pick_dtype(self.dtype, self.device_name, self.spec).name

    def identity(self, *, fetch: bool = True) -> dict[str, Any]:
        """What of the model decides pixels, by the names of the record: its name, its weights' hash, their format.

        fetch: whether a model that is not on this machine is fetched now; otherwise its hash is None. Raises
        ModelError where it cannot be had.
        """
        from ip2p_cli.models.fingerprint import fingerprint

        known = fetch or on_disk(self.spec) is not None
        weights = fingerprint(self.spec, self.loras, self.vae) if known else None
        identity: dict[str, Any] = {"model": self.spec.name, "weights": weights, "dtype": self.dtype_name}
        if self.loras:
            identity["loras"] = [f"{lora.path.name}:{lora.weight:g}" for lora in self.loras]
        return {**identity, "vae": Path(self.vae).name} if self.vae else identity

    def load(self) -> Editor | Adapter:
        """Load it. Raises ModelError and DeviceError."""
        from ip2p_cli.models.adapters import load_model

        return load_model(
            self.spec,
            device=self.device_name,
            dtype=self.dtype_name,
            offload=self.offload,
            loras=self.loras,
            vae=self.vae,
        )
