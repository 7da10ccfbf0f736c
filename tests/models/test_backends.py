"""Which backend is chosen, and what is said where it cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.errors import DeviceError, Ip2pError, ModelError, UsageError
from ip2p_cli.models import backends
from ip2p_cli.models.backends import pick_backend
from ip2p_cli.models.registry import MODELS
from ip2p_cli.types import BackendName, ModelSpec

NANO, FULL = MODELS["nano"], MODELS["instruct-pix2pix"]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The versions of what is installed, as far as the choice knows."""
    versions = {"openvino": "1", "nncf": "1"}
    monkeypatch.setattr(backends, "_version", versions.get)
    monkeypatch.setattr(backends, "cpu_has_bf16", lambda: True)
    monkeypatch.setattr(backends, "_cores", lambda: 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return versions


def pick(name: BackendName = "auto", model: ModelSpec = FULL, **changes: Any) -> str:
    return pick_backend(name, model, **{"device": "cpu", "dtype": "bf16", **changes}).name


def test_auto_takes_openvino_for_full_size_models_on_a_cpu(installed: dict[str, str]) -> None:
    assert pick() == "openvino"
    assert pick(dtype="fp32") == "openvino"
    assert pick(device="cuda", dtype="fp16") == "torch"
    assert pick(model=NANO, dtype="fp32") == "torch"
    assert pick(model=replace(FULL, pipeline="FluxKontextPipeline")) == "torch"
    assert pick("torch") == "torch"
    installed.clear()
    assert pick() == "torch"


def test_auto_takes_torch_where_openvino_would_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "cpu_has_bf16", lambda: False)
    assert pick(dtype="fp32") == "openvino"
    assert pick(dtype="bf16") == "torch"
    monkeypatch.setattr(backends, "user_folder", lambda _: None)
    assert pick(dtype="fp32") == "torch"


def test_auto_goes_by_the_size_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"small")
    assert pick(model=replace(FULL, source=str(tmp_path), size_mb=None)) == "torch"
    assert pick(model=replace(FULL, source="owner/unknown", size_mb=None)) == "openvino"


@pytest.mark.parametrize(
    ("missing", "changes", "error", "text"),
    [
        (["openvino"], {"name": "openvino"}, UsageError, r"pip install 'ip2p\[openvino\]'"),
        (["openvino"], {"quantize": "int8"}, UsageError, r"pip install 'ip2p\[openvino\]'"),
        (["nncf"], {"name": "openvino", "quantize": "int8"}, UsageError, "NNCF"),
        ([], {"name": "torch", "quantize": "int8"}, UsageError, "--backend openvino"),
        ([], {"name": "openvino", "device": "cuda"}, DeviceError, "--device cpu"),
        ([], {"name": "openvino", "model": replace(FULL, pipeline="X")}, ModelError, "leave out"),
    ],
)
def test_what_cannot_be(
    installed: dict[str, str], missing: list[str], changes: dict[str, Any], error: type[Ip2pError], text: str
) -> None:
    for name in missing:
        del installed[name]
    with pytest.raises(error, match=text):
        pick(**changes)


def test_bf16_needs_a_processor_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "cpu_has_bf16", lambda: False)
    with pytest.raises(DeviceError, match="--dtype fp32"):
        pick("openvino")


def test_bf16_needs_two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_cores", lambda: 1)
    assert pick() == "torch"
    assert pick(dtype="fp32") == "openvino"
    with pytest.raises(DeviceError, match="two processor cores"):
        pick("openvino")


def test_an_identity_names_what_is_not_plain_torch() -> None:
    nano = ModelChoice(spec=NANO, device="cpu")
    assert not {"backend", "quantize", "compiled"} & set(nano.identity())
    said = replace(nano, backend="openvino", quantize="int8").identity()
    assert (said["backend"], said["quantize"]) == ("openvino", "int8")
    assert "backend" not in replace(nano, backend="torch").identity()


def test_compiling_is_for_cuda() -> None:
    with pytest.raises(DeviceError, match="--compile is for CUDA"):
        ModelChoice(spec=NANO, device="cpu", compiled=True).identity()
