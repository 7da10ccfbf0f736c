"""`--backend openvino` from the command: what it makes, records and replays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ip2p_cli.io.provenance import read_record
from tests.cli.ip2p import Run, pixels


def test_an_edit_on_openvino_and_its_replay(ip2p: Run, photo: Path, tiny_folder: Path) -> None:
    pytest.importorskip("openvino")
    words = ("edit", photo, "winter", "--seed", 7, "--dtype", "fp32")
    done = ip2p(*words, "-o", "openvino.png", "--backend", "openvino")
    assert done.code == 0, done.err
    assert "exporting it for OpenVINO, once" in done.err
    record = read_record(Path("openvino.png"))
    assert record is not None
    assert record["backend"] == "openvino"
    again = ip2p("replay", "openvino.png", "--model", tiny_folder, tiny=False)
    assert "the same pixels" in again.err
    assert "exporting" not in again.err
    ip2p(*words, "-o", "torch.png", "--backend", "torch")
    assert "backend" not in (read_record(Path("torch.png")) or {})
    difference = np.abs(pixels("openvino.png").astype(int) - pixels("torch.png"))
    assert difference.max() <= 2
    other = ip2p("replay", "torch.png", "--model", tiny_folder, "--backend", "openvino", "-o", "x.png", tiny=False)
    assert other.code == 0, other.err


def test_nano_stays_with_torch(ip2p: Run, photo: Path) -> None:
    done = ip2p("edit", photo, "winter", "--quantize", "int8", "--backend", "torch", tiny=False)
    assert done.code == 2
    assert "--backend openvino" in done.err


def test_feature_reuse_is_refused_before_a_model_loads(ip2p: Run, photo: Path) -> None:
    pytest.importorskip("openvino")
    done = ip2p("edit", photo, "winter", "--dtype", "fp32", "--backend", "openvino", "--feature-reuse", 2)
    assert (done.code, done.err) == (2, "error: --feature-reuse 2 needs --backend torch\n")
