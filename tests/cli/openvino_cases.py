"""`--backend openvino` from the command: what it makes, records and replays. Run by tests/test_openvino.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ip2p_cli.io.provenance import read_record
from tests.cli.ip2p import Run, pixels


def test_an_edit_on_openvino_and_its_replay(ip2p: Run, photo: Path, tiny_folder: Path) -> None:
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
