"""Compiling an exported model for fixed shapes, here or on trial in another process. Imports no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ip2p_cli.errors import ModelError

# With a single thread OpenVINO 2025.4 to 2026.4 divide by zero in bf16, which ends the process
# (openvinotoolkit/openvino issue 33300).
_LEAST_THREADS = 2


def openvino() -> Any:
    """Import OpenVINO."""
    # OpenVINO's and NNCF's tools report their use to a server, unless this package is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def compile_static(file: Path, shapes: Sequence[Sequence[int]], precision: str, threads: int) -> Any:
    """Compile a model for the CPU.

    Args:
        file: The model's .xml file.
        shapes: Of its inputs.
        precision: What it computes in, "f32" or "bf16".
        threads: How many threads it may use; at least two are used.
    """
    core = openvino().Core()
    model = core.read_model(str(file))
    model.reshape({port: list(shape) for port, shape in zip(model.inputs, shapes, strict=True)})
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": max(_LEAST_THREADS, threads),
        "ENABLE_CPU_PINNING": False,  # several workers would share the first cores
    }
    return core.compile_model(model, "CPU", settings)


def try_in_another_process(
    file: Path, shapes: Sequence[Sequence[int]], precision: str, threads: int, timeout: float = 3600
) -> None:
    """Compile a model in a process of its own; raises ModelError if that dies, as on processors OpenVINO gets wrong."""
    words = [sys.executable, "-m", __name__, str(file), json.dumps([list(shape) for shape in shapes]), precision]
    root = str(Path(__file__).parents[2])  # where this package lies, whether it is installed or not
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    try:
        done = subprocess.run(
            [*words, str(threads)], env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"OpenVINO compiles {file.stem} for more than {timeout:.0f} s: use --backend torch") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        why = f"it was ended by signal {-done.returncode}" if done.returncode < 0 else said[-1] if said else "no reason"
        raise ModelError(f"OpenVINO cannot compile {file.stem} on this machine ({why}): use --backend torch")


if __name__ == "__main__":
    compile_static(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
