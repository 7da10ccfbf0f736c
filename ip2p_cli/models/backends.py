"""Choice of what runs a model's UNet and VAE: torch, or OpenVINO on the CPU. Imports neither."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

from ip2p_cli.errors import DeviceError, ModelError, UsageError
from ip2p_cli.folders import can_write, user_folder
from ip2p_cli.models.device import SMALL_MB, Choice, cpu_has_bf16
from ip2p_cli.models.hub import on_disk
from ip2p_cli.types import BackendName, ModelSpec, QuantizeName

_INSTALL = "pip install 'ip2p[openvino]'"


def openvino_version() -> str | None:
    """The version of OpenVINO; None where it is not installed."""
    return _version("openvino")


def exports_folder() -> Path | None:
    """The folder of exported models, whether it exists or not; None without a home folder."""
    folder = user_folder("cache")
    return folder / "openvino" if folder else None


def pick_backend(
    name: BackendName, model: ModelSpec, *, device: str, dtype: str, quantize: QuantizeName = "none"
) -> Choice:
    """Choose what runs the UNet and the VAE of `model`.

    "auto" takes OpenVINO for full-size models on a CPU, where it is installed and exports can be kept. It follows from
    the installation and the model alone, not from a measurement at run time, so that a command repeats exactly.

    Args:
        name: "auto", "torch" or "openvino".
        model: The model.
        device: "cuda", "mps" or "cpu".
        dtype: "fp32", "fp16" or "bf16".
        quantize: The format of the UNet's weights; "int8" needs OpenVINO.

    Raises:
        UsageError: What was asked for is not installed, or `name` is "torch" and `quantize` "int8".
        DeviceError: OpenVINO was asked for with a GPU, or in bf16 on a processor without it.
        ModelError: OpenVINO was asked for, and the model edits by its own pipeline.
    """
    if name == "torch" and quantize != "none":
        raise UsageError(f"--quantize {quantize} needs OpenVINO: use --backend openvino, or leave out --quantize.")
    if name == "torch":
        return Choice("torch", "asked for")
    if name == "auto" and quantize == "none":
        return _automatic(model, device, dtype)
    _check(model, device, dtype, f"--quantize {quantize}" if name == "auto" else "--backend openvino")
    if quantize != "none" and _version("nncf") is None:
        raise UsageError(f"--quantize {quantize} needs NNCF, which is not installed: {_INSTALL}")
    return Choice("openvino", "asked for")


def _automatic(model: ModelSpec, device: str, dtype: str) -> Choice:
    if device != "cpu":
        return Choice("torch", f"OpenVINO is for the CPU, and this is {device}")
    if model.pipeline is not None:
        return Choice("torch", f"{model.name} edits by its own pipeline")
    if not _is_full_size(model):
        return Choice("torch", f"{model.name} is small")
    if openvino_version() is None:
        return Choice("torch", f"OpenVINO, which is faster on a CPU, is not installed: {_INSTALL}")
    if dtype == "bf16" and (reason := _no_bf16()) is not None:
        return Choice("torch", reason)
    folder = exports_folder()
    if folder is None or not can_write(folder):
        return Choice("torch", "there is no cache folder to keep an export for OpenVINO in")
    return Choice("openvino", "faster than torch on a CPU")


def _check(model: ModelSpec, device: str, dtype: str, flag: str) -> None:
    """Raise an error where OpenVINO cannot run `model`."""
    if model.pipeline is not None:
        raise ModelError(f"model {model.name} edits by its own pipeline: leave out {flag}")
    if openvino_version() is None:
        raise UsageError(f"{flag} needs OpenVINO, which is not installed: {_INSTALL}")
    if device != "cpu":
        raise DeviceError(f"{flag} is for the CPU, and this runs on {device}: add --device cpu, or leave it out")
    if dtype == "bf16" and (reason := _no_bf16()) is not None:
        raise DeviceError(f"{flag}: {reason}: use --dtype fp32")


def _no_bf16() -> str | None:
    """Why OpenVINO cannot compute in bf16 here; None where it can."""
    if not cpu_has_bf16():
        return "this processor has no bf16 instructions"
    # It crashes there, see `openvino_compile`.
    return "OpenVINO needs two processor cores for bf16" if _cores() < 2 else None


def _cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_full_size(model: ModelSpec) -> bool:
    """Whether a model is large; one whose size nobody knows yet is on the hub, and taken for large."""
    if model.size_mb is not None:
        return model.size_mb >= SMALL_MB
    found = on_disk(model) if Path(model.source).is_absolute() else None
    return found is None or found.size >= SMALL_MB * 1e6


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
