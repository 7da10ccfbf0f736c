"""What to do where memory is short: a ladder of plans, each with less memory and more time than the one before."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from ip2p_cli.errors import DeviceError
from ip2p_cli.types import OffloadName

Result = TypeVar("Result")

# Above this the VAE works in tiles from the start: its memory grows with the picture, the UNet's attention aside.
TILING_PIXELS = 1024 * 1024
_TILE = 512

# Errors without a class of their own: MPS, and the CPU's allocator on Linux and Windows.
_SIGNS = ("MPS backend out of memory", "can't allocate memory", "DefaultCPUAllocator: not enough memory")


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """How to run a batch.

    Attributes:
        max_rows: The most rows of one UNet call; None for all guidance branches of all items at once. Changes results
            by rounding only.
        tiling: The VAE takes tiles of 512 pixels, blended, which can shift tones a little.
        offload: Where the model's parts are.
    """

    max_rows: int | None = None
    tiling: bool = False
    offload: OffloadName = "none"


def ladder(*, pixels: int, device: str, offload: OffloadName = "none", can_tile: bool = True) -> tuple[MemoryPlan, ...]:
    """The plans to try in order.

    pixels: width x height of a picture at the model's size. offload: what was asked for. can_tile: whether the VAE
    can work in tiles (nano's cannot, and need not).
    """
    steps = [MemoryPlan(tiling=can_tile and pixels > TILING_PIXELS, offload=offload)]
    steps.append(replace(steps[-1], max_rows=1))
    if can_tile and not steps[-1].tiling:
        steps.append(replace(steps[-1], tiling=True))
    if device == "cuda":  # on MPS the GPU's memory is the main memory
        further: dict[OffloadName, tuple[OffloadName, ...]] = {
            "none": ("model", "sequential"),
            "model": ("sequential",),
            "sequential": (),
        }
        steps += [replace(steps[-1], offload=how) for how in further[offload]]
    return tuple(steps)


def tile_ladder(*, pixels: int, can_tile: bool) -> tuple[MemoryPlan, ...]:
    """`ladder` for a model that edits its own way: only its VAE is ours to tell."""
    plans = ladder(pixels=pixels, device="cpu", can_tile=can_tile)
    return tuple(dict.fromkeys(MemoryPlan(tiling=plan.tiling) for plan in plans))


def with_retries(
    run: Callable[[MemoryPlan], Result], plans: Sequence[MemoryPlan], say: Callable[[str], None]
) -> tuple[Result, MemoryPlan]:
    """`run` with the first of `plans` for which memory suffices, and that plan.

    say: told of each step down, in a line. run must start anew each time, with generators of its own. Raises
    DeviceError, with what is left to do, where no plan is small enough; other errors pass.
    """
    for plan, below in zip(plans, [*plans[1:], None], strict=True):
        reason = None
        try:
            return run(plan), plan
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        # Outside of `except`, where the error no longer holds the failed run's tensors.
        _free()
        if below is None:
            raise DeviceError(
                f"out of memory ({reason}), even {_words(plan)}: use a smaller --resolution or --batch-size 1, close "
                "other programs that use the memory, or use a smaller model (--model nano)"
            )
        say(f"out of memory ({reason}); trying again {_step(plan, below)}")
    raise ValueError("no plan to run with")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that a device's memory, or the main memory, is used up."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def can_tile(vae: Any) -> bool:
    """Whether a VAE can work in tiles."""
    return hasattr(vae, "tile_latent_min_size") or hasattr(vae, "tile_sample_min_height")


@contextmanager
def vae_as(vae: Any, plan: MemoryPlan) -> Iterator[None]:
    """Encode and decode as `plan` says; afterwards as before. For a VAE that cannot tile nothing changes."""
    if not can_tile(vae):
        yield
        return
    wanted = {"use_tiling": plan.tiling, **_tile_sizes(vae)}
    before = {name: getattr(vae, name) for name in wanted}
    for name, value in wanted.items():
        setattr(vae, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)


def _tile_sizes(vae: Any) -> dict[str, int]:
    """A VAE's fields for the size of tiles. A config may name any: SDXL's says 1024, where one is the whole picture."""
    if hasattr(vae, "tile_latent_min_size"):
        latent_size = _TILE // 2 ** (len(vae.config.block_out_channels) - 1)
        return {"tile_sample_min_size": _TILE, "tile_latent_min_size": latent_size}
    # Qwen-Image's says how far apart tiles lie, not how much of them is blended: a quarter, as the others do.
    sides = ("height", "width")
    return {f"tile_sample_min_{side}": _TILE for side in sides} | {
        f"tile_sample_stride_{side}": _TILE * 3 // 4 for side in sides
    }


def _words(plan: MemoryPlan) -> str:
    parts = [
        "one prediction at a time" if plan.max_rows == 1 else "",
        "with the VAE in tiles" if plan.tiling else "",
        f"with --offload {plan.offload}" if plan.offload != "none" else "",
    ]
    return ", ".join(part for part in parts if part) or "as it is"


def _step(plan: MemoryPlan, below: MemoryPlan) -> str:
    """What the plan `below` does besides what `plan` did."""
    if below.max_rows != plan.max_rows:
        return "one prediction at a time (slower)"
    if below.tiling != plan.tiling:
        return "with the VAE in tiles (slower; tones may shift a little)"
    return f"with --offload {below.offload} (slower)"


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
