"""How long a plan will take and how much memory it needs: from what was measured on this machine, else roughly."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ip2p_cli.errors import UsageError
from ip2p_cli.io.sizes import fit_for
from ip2p_cli.types import ModelSpec
from ip2p_cli.workflows.plan import Item, Plan

# Seconds for a million model pixels and one step with three branches, where nothing was measured: two CPU cores (facts
# measured with random weights of full size), a current GPU; nano is 40 times smaller.
_ROUGH = {"cpu": 67.0, "mps": 4.0, "cuda": 0.4}
_SMALL_MB = 200
_FULL_SIZE_SECONDS = 0.15  # for a million pixels of the photo: reading, return to full size, writing


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """seconds of work; memory in MB; measured: whether the speed was measured here, not guessed."""

    seconds: float
    memory_mb: float
    measured: bool


def estimate(plan: Plan, batches: Sequence[tuple[int, ...]], spec: ModelSpec, device: str, dtype: str) -> Estimate:
    """What `batches` of `plan` will take with `spec` on `device` in `dtype`."""
    rate = _rates().get(_key(spec, device, dtype))
    measured = rate is not None
    if rate is None:
        rate = _ROUGH.get(device, _ROUGH["cpu"]) / (40 if (spec.size_mb or 4000) < _SMALL_MB else 1)
    items = [plan.items[i] for batch in batches for i in batch]
    photos = sum(item.size[0] * item.size[1] for item in items if item.size) / 1e6
    work = sum(work_of(item, spec) for item in items)
    return Estimate(
        seconds=rate * work + _FULL_SIZE_SECONDS * photos,
        memory_mb=_memory(plan, batches, spec, dtype),
        measured=measured,
    )


def work_of(item: Item, spec: ModelSpec) -> float:
    """Model pixels in millions times steps: what the time of an edit follows."""
    if item.size is None:
        return 0.0
    try:
        width, height = fit_for(item.size, item.settings, spec.multiple).padded
    except UsageError:
        return 0.0
    return width * height / 1e6 * item.settings.steps


def remember_rate(spec: ModelSpec, device: str, dtype: str, seconds: float, work: float) -> None:
    """Keep for later estimates that `work` took `seconds`; a cache that cannot be written is no matter."""
    if work <= 0 or seconds <= 0:
        return
    path = _path()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{secrets.token_hex(6)}.tmp")
        temporary.write_text(json.dumps({**_rates(), _key(spec, device, dtype): seconds / work}), "utf-8")
        os.replace(temporary, path)  # noqa: PTH105 - says what it does


def _rates() -> dict[str, float]:
    try:
        rates = json.loads(_path().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: float(v) for k, v in rates.items() if isinstance(v, (int, float))} if isinstance(rates, dict) else {}


def _path() -> Path:
    return platformdirs.user_cache_path("ip2p") / "speeds.json"


def _key(spec: ModelSpec, device: str, dtype: str) -> str:
    return f"{spec.name} {device} {dtype}"


def _memory(plan: Plan, batches: Sequence[tuple[int, ...]], spec: ModelSpec, dtype: str) -> float:
    """MB: the program, the weights, the branches of the largest batch, the photos in flight."""
    weights = (spec.size_mb or 4000) * (1.0 if dtype == "fp32" or spec.name == "nano" else 0.5)
    number = 4 if dtype == "fp32" else 2
    largest = photos = 0.0
    for batch in batches:
        pixels = [item.size[0] * item.size[1] / 1e6 for i in batch if (item := plan.items[i]).size]
        work = [work_of(plan.items[i], spec) / plan.items[i].settings.steps for i in batch]
        photos = max([photos, *pixels])
        largest = max(largest, sum(work))
    branch = 300 if weights < _SMALL_MB else 1500  # MB in fp32 for a million pixels and one branch
    return 350 + weights + 3 * branch * largest * number / 4 + 40 * photos
