"""`--backend` from the command: what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.ip2p import Run


def test_nano_stays_with_torch(ip2p: Run, photo: Path) -> None:
    done = ip2p("edit", photo, "winter", "--quantize", "int8", "--backend", "torch", tiny=False)
    assert done.code == 2
    assert "--backend openvino" in done.err


def test_feature_reuse_is_refused_before_a_model_loads(ip2p: Run, photo: Path) -> None:
    pytest.importorskip("openvino")
    done = ip2p("edit", photo, "winter", "--dtype", "fp32", "--backend", "openvino", "--feature-reuse", 2)
    assert (done.code, done.err) == (2, "error: --feature-reuse 2 needs --backend torch\n")
