"""The choice of device and number format, on machines that are not here."""

from __future__ import annotations

import pytest
import torch

from ip2p_cli.errors import DeviceError
from ip2p_cli.models.device import pick_device, pick_dtype, torch_dtype
from ip2p_cli.models.registry import MODELS
from ip2p_cli.types import DeviceName, DtypeName

NANO, FULL = MODELS["nano"], MODELS["instruct-pix2pix"]


def pretend(monkeypatch: pytest.MonkeyPatch, *, cuda: bool = False, mps: bool = False, cpu_bf16: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: cpu_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_device(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str) -> None:
    pretend(monkeypatch, cuda=cuda, mps=mps)
    choice = pick_device("auto")
    assert choice.name == expected
    assert choice.why
    assert pick_device("cpu").name == "cpu"


@pytest.mark.parametrize("name", ["cuda", "mps", "tpu"])
def test_absent_device(monkeypatch: pytest.MonkeyPatch, name: DeviceName) -> None:
    pretend(monkeypatch)
    with pytest.raises(DeviceError, match=r"use (--device|one of) auto"):
        pick_device(name)


@pytest.mark.parametrize(
    ("device", "cpu_bf16", "full", "nano"),
    [("cuda", False, "fp16", "fp32"), ("mps", False, "fp16", "fp32"), ("cpu", True, "bf16", "fp32")],
)
def test_auto_dtype(monkeypatch: pytest.MonkeyPatch, device: str, cpu_bf16: bool, full: str, nano: str) -> None:
    pretend(monkeypatch, cpu_bf16=cpu_bf16)
    assert pick_dtype("auto", device, FULL).name == full
    assert pick_dtype("auto", device, NANO).name == nano


def test_auto_dtype_without_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    choice = pick_dtype("auto", "cpu", FULL)
    assert choice.name == "fp32"
    assert "no bf16 instructions" in choice.why
    assert "slow" in pick_dtype("bf16", "cpu", FULL).why


@pytest.mark.parametrize(("name", "device"), [("fp16", "cpu"), ("bf16", "cuda"), ("fp8", "cpu")])
def test_impossible_dtypes(monkeypatch: pytest.MonkeyPatch, name: DtypeName, device: str) -> None:
    pretend(monkeypatch)
    with pytest.raises(DeviceError, match="use"):
        pick_dtype(name, device, NANO)


@pytest.mark.parametrize("device", ["cuda", "mps", "cpu"])
def test_fp32_is_always_possible(device: str) -> None:
    assert pick_dtype("fp32", device, FULL).name == "fp32"


def test_torch_dtypes() -> None:
    assert [torch_dtype(name) for name in ("fp32", "fp16", "bf16")] == [torch.float32, torch.float16, torch.bfloat16]
