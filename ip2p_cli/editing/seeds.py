"""The seed of an edit's own noise, a function of (seed, photo, instruction, position) and of nothing else."""

from __future__ import annotations

import hashlib


def item_seed(seed: int, digest: str, instruction: str, position: int = 0) -> int:
    """Return the seed of an edit's own generator, so that order, shards and other photos do not change its noise.

    Args:
        seed: The user's.
        digest: SHA-256 of the photo's file, in hex.
        instruction: What the edit asks for.
        position: Of the edit in a chain, from 0.

    Returns:
        A seed in 0 .. 2**63 - 1.
    """
    text = f"{seed}\n{digest}\n{instruction}" + (f"\n{position}" if position else "")
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1
