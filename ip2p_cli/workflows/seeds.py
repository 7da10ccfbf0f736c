"""Noise that belongs to an item: a function of (seed, what the photo holds, instruction) and of nothing else."""

from __future__ import annotations

import hashlib


def item_seed(seed: int, digest: str, instruction: str, position: int = 0) -> int:
    """The seed of an item's own generator, in 0 .. 2**63 - 1.

    seed: the user's. digest: sha256 of the photo's file. position: of the edit in a chain, from 0. So
    neither the order of a batch, nor a shard, nor a file that was added, changes another item.
    """
    text = f"{seed}\n{digest}\n{instruction}" + (f"\n{position}" if position else "")
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1
