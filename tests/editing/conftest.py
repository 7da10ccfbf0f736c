"""What one training test leaves in accelerate's global state must not reach the next, whichever file it is in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from accelerate.state import AcceleratorState


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """Each test may want another precision."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)
