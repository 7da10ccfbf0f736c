"""Choice of the device and the number format. torch is imported when a function is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ip2p_cli.errors import DeviceError
from ip2p_cli.types import DeviceName, DtypeName, ModelSpec

if TYPE_CHECKING:
    import torch

# Smaller models are fast in fp32 too, and half precision would only cost quality.
SMALL_MB = 200


@dataclass(frozen=True)
class Choice:
    """A device ("cuda", "mps", "cpu") or a number format ("fp32", "fp16", "bf16"), and the reason in words."""

    name: str
    why: str


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of "fp32", "fp16" or "bf16"; raises DeviceError for another name."""
    import torch

    dtypes = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    if name not in dtypes:
        raise DeviceError(f"unknown number format {name!r}; use one of {', '.join(dtypes)}")
    return dtypes[name]


def pick_device(name: DeviceName = "auto") -> Choice:
    """Choose a device; "auto" prefers CUDA, then MPS. Raises DeviceError where the named device is missing."""
    available = _available_devices()
    if name == "auto":
        return next(Choice(device, why) for device, why in available.items())
    if name in available:
        return Choice(name, "asked for")
    if name not in ("cuda", "mps"):
        raise DeviceError(f"unknown device {name!r}; use one of auto, cuda, mps, cpu")
    import torch

    missing = {
        "cuda": "no CUDA GPU here; use --device auto, or install a driver and a CUDA build of PyTorch",
        "mps": "MPS needs a Mac with Apple silicon and PyTorch built for it; use --device auto",
    }
    raise DeviceError(f"device {name!r} is not available (PyTorch {torch.__version__}): {missing[name]}")


def device_of_worker(name: DeviceName, number: int) -> str:
    """Choose the device of worker `number`, from 1: the workers take several GPUs in turn.

    Under Ray each worker sees its own GPU only. Raises DeviceError as `pick_device` does.
    """
    import torch

    device = pick_device(name).name
    count = torch.cuda.device_count() if device == "cuda" else 0
    return f"cuda:{(number - 1) % count}" if count > 1 else device


def pick_dtype(name: DtypeName, device: str, model: ModelSpec) -> Choice:
    """Choose the number format for `model` on `device`; raises DeviceError where `name` does not work there."""
    if name != "auto":
        return _named_dtype(name, device)
    if model.size_mb is not None and model.size_mb < SMALL_MB:
        return Choice("fp32", f"{model.name} is small: full precision costs little")
    if device == "cuda":
        return Choice("fp16", "half the memory, and published weights are fp16")
    if device == "mps":
        return Choice("fp16", "half of the memory that the GPU shares with everything else")
    if cpu_has_bf16():
        return Choice("bf16", "this processor has bf16 instructions: nearly twice as fast as fp32")
    return Choice("fp32", "this processor has no bf16 instructions, and without them bf16 is many times slower")


def _named_dtype(name: str, device: str) -> Choice:
    torch_dtype(name)  # raises for unknown names
    if name == "fp16" and device == "cpu":
        raise DeviceError("fp16 does not work on the CPU; use --dtype auto (or fp32, bf16), or a GPU")
    if name == "bf16" and not _has_bf16(device):
        raise DeviceError(f"this {device} device has no bf16; use --dtype auto (or fp16, fp32)")
    if name == "bf16" and device == "cpu" and not cpu_has_bf16():
        return Choice("bf16", "asked for; this processor has no bf16 instructions, so expect it to be very slow")
    return Choice(name, "asked for")


def _available_devices() -> dict[str, str]:
    """Devices in order of preference, each with the reason for its choice by "auto"."""
    import torch

    devices = {}
    if torch.cuda.is_available():
        devices["cuda"] = f"found {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        devices["mps"] = "found an Apple GPU, and no CUDA"
    devices["cpu"] = "found no GPU"
    return devices


def _has_bf16(device: str) -> bool:
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device == "cpu" or bool(torch.backends.mps.is_macos_or_newer(14, 0))


def cpu_has_bf16() -> bool:
    """Whether the processor has bf16 instructions: AVX-512 or AMX."""
    import torch

    # torch has no public function for this; where a private one is missing, the answer is no.
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe() for probe in probes if probe is not None)
