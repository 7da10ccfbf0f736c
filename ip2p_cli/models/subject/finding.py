"""Finds the subject of a photo with the weights that the package holds."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from ip2p_cli.models.library_logging import making_modules
from ip2p_cli.models.subject.network import SIDE, SubjectNet

WEIGHTS = Path(__file__).parent / "subject.safetensors"


@lru_cache(maxsize=1)
def subject_net() -> SubjectNet:
    """Load the network."""
    with making_modules:
        net = SubjectNet()
    # What is missing are counters of batch norms, which only training needs.
    net.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()}, strict=False)
    return net.eval().requires_grad_(False)


@torch.no_grad()
def find_subject(photo: npt.NDArray[np.float32], net: SubjectNet | None = None) -> npt.NDArray[np.float32]:
    """Return how much each pixel of a photo belongs to its subject.

    The network sees the photo and its mirror image; the mean of both is taken.

    Args:
        photo: (H, W, 3) RGB in [0, 1]; small is enough, as the network sees SIDE x SIDE pixels.
        net: The network; None for the package's.

    Returns:
        (H, W) in [0, 1], smooth.
    """
    net = subject_net() if net is None else net
    small = np.asarray(cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)
    both = np.ascontiguousarray(np.stack([small, small[:, ::-1]]))
    logits = net(torch.from_numpy(both).permute(0, 3, 1, 2) * 2 - 1)[:, 0]
    mean = (logits[0] + logits[1].flip(-1)) / 2
    found = mean.sigmoid().numpy()
    return np.asarray(cv2.resize(found, photo.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.float32).clip(0, 1)
