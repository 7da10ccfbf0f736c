"""Fixtures for the whole suite. torch and diffusers are imported by the tests that ask for a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Before torch is imported, here and in the processes that tests start: results to the bit depend on the number of
# threads, and tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from ip2p_cli.models.loader import Editor


@pytest.fixture(scope="session")
def tiny_editor() -> Editor:
    """A random SD1.5-shaped editing model (2.7 MB), fp32 on the CPU. Shared: do not change it."""
    import torch

    from tests import tiny

    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other
    return tiny.tiny_editor()


@pytest.fixture(scope="session")
def tiny_folder(tiny_editor: Editor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model, saved in diffusers layout. Shared: copy it before you change it."""
    from tests import tiny

    return tiny.save_editor(tiny_editor, tmp_path_factory.mktemp("tiny") / "model")
