"""Which device and number format to run on, and why. torch is imported when a function is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ip2p_cli.errors import DeviceError
from ip2p_cli.types import DeviceName, DtypeName, ModelSpec

if TYPE_CHECKING:
    import torch

# Below this a model is quick in fp32 anyway, and half precision could only cost quality.
_SMALL_MB = 200


@dataclass(frozen=True)
class Choice:
    """A device ("cuda", "mps", "cpu") or a number format ("fp32", "fp16", "bf16"), and why, for people."""

    name: str
    why: str


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of "fp32", "fp16" or "bf16"; DeviceError for another name."""
    import torch

    dtypes = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    if name not in dtypes:
        raise DeviceError(f"unknown number format {name!r}; use one of {', '.join(dtypes)}")
    return dtypes[name]


def pick_device(name: DeviceName = "auto") -> Choice:
    """The device to run on: CUDA, else MPS, else the CPU; DeviceError where the one asked for is absent."""
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
    """The device of the worker of this number, from 1: with several GPUs each takes its own, in turn.

    Ray shows each worker its own GPU only. Raises DeviceError as `pick_device` does.
    """
    import torch

    device = pick_device(name).name
    count = torch.cuda.device_count() if device == "cuda" else 0
    return f"cuda:{(number - 1) % count}" if count > 1 else device


def pick_dtype(name: DtypeName, device: str, model: ModelSpec) -> Choice:
    """The number format for `model` on `device`; DeviceError for a pair that cannot work."""
    if name != "auto":
        return _asked_dtype(name, device)
    if model.size_mb is not None and model.size_mb < _SMALL_MB:
        return Choice("fp32", f"{model.name} is small: full precision costs little")
    if device == "cuda":
        return Choice("fp16", "half the memory, and published weights are fp16")
    if device == "mps":
        return Choice("fp16", "half of the memory that the GPU shares with everything else")
    if _cpu_has_bf16():
        return Choice("bf16", "this processor has bf16 instructions: nearly twice as fast as fp32")
    return Choice("fp32", "this processor has no bf16 instructions, and without them bf16 is many times slower")


def _asked_dtype(name: str, device: str) -> Choice:
    torch_dtype(name)  # refuses unknown names
    if name == "fp16" and device == "cpu":
        raise DeviceError("fp16 does not work on the CPU; use --dtype auto (or fp32, bf16), or a GPU")
    if name == "bf16" and not _has_bf16(device):
        raise DeviceError(f"this {device} device has no bf16; use --dtype auto (or fp16, fp32)")
    if name == "bf16" and device == "cpu" and not _cpu_has_bf16():
        return Choice("bf16", "asked for; this processor has no bf16 instructions, so expect it to be very slow")
    return Choice(name, "asked for")


def _available_devices() -> dict[str, str]:
    """Devices in order of preference, each with why it would be the one picked by "auto"."""
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


def _cpu_has_bf16() -> bool:
    import torch

    # Private in torch, and the only way to ask; an absent name means "no".
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe() for probe in probes if probe is not None)
